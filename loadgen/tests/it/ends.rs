//! How a load ends before its time: by its users' counts, by failures, by overload.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::{Value, json};
use shared::{ReasonCode, report::StoppedBy};
use simulator::Settings;
use testkit::{Chat, Script, ScriptedServer};

use super::{
    DRIVERS, drive_by, ms, short,
    simulated::{quick, simulate, stats},
};

const CHAT: &str = "POST /v1/chat/completions";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_user_sends_its_share_and_the_run_ends_with_the_last() {
    for driver in DRIVERS {
        let url = simulate(quick()).await;
        let probed = stats(&url).await.requests;
        let load = json!({"user": 4, "requests_per_user": 5, "duration": 60, "max_tokens": 4});
        let report = drive_by(driver, short(&url, load)).await.report;
        assert_eq!((report.requests.started, report.requests.completed), (20, 20), "{driver:?}");
        assert!(report.window.measured_s < 20.0);
        let served = stats(&url).await.requests - probed;
        assert!((20..=24).contains(&served), "{served}: 20 and the probe");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_count_or_time_is_over_first_ends_the_load() {
    for driver in DRIVERS {
        let url = simulate(quick()).await;
        let started = async |load: Value| {
            let report = drive_by(driver, short(&url, load)).await.report;
            assert!(report.window.measured_s < 10.0);
            report.requests.started
        };
        let all = json!({"user": 4, "requests_per_user": 5, "max_requests": 7, "duration": 60});
        assert_eq!(started(all).await, 7, "{driver:?}");
        let time = json!({"user": 2, "requests_per_user": 1_000, "duration": 1});
        assert!((2..100).contains(&started(time).await), "{driver:?}");
        let waits = json!({"user": 3, "requests_per_user": 2, "wait_min": 0.1, "duration": 60});
        assert_eq!(started(waits).await, 6, "{driver:?}");
    }
}

/// A server that answers its first `well` chats, and then as `then` says.
fn turning_bad(well: usize, then: Script) -> ScriptedServer {
    let chat = Chat::of(&["a", "b"]).usage(4, 2).first_token_after(ms(2));
    let answered = AtomicUsize::new(0);
    let good = chat.script();
    ScriptedServer::scripted()
        .on("GET /v1/models", chat.models())
        .with(CHAT, move |_| {
            let nth = answered.fetch_add(1, SeqCst);
            if nth < well { good.clone() } else { then.clone() }
        })
        .start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_failures_stop_the_run_and_fail_it_with_its_figures() {
    for driver in DRIVERS {
        let broken = Script::json(500, &json!({"error": {"message": "out of memory"}}));
        let server = turning_bad(40, broken);
        let load = json!({"rate": 100, "duration": 60, "grace": 5, "max_error_rate": 0.2,
            "user": null, "spawnrate": null});
        let outcome = drive_by(driver, short(&server.url(), load)).await;
        let report = &outcome.report;
        let stopped = report.stopped.as_ref().expect("a run that was stopped");
        assert_eq!(stopped.by, StoppedBy::ErrorRate);
        assert!(stopped.at_s < 5.0 && report.window.measured_s < 10.0, "{stopped:?}");
        // the first twenty percent of those that ended, and what was on its way by then
        assert!((8..=20).contains(&report.requests.failed), "{:?}", report.requests);
        assert!(report.requests.completed >= 30, "{:?}", report.requests);
        let reason = outcome.failure().expect("a reason");
        assert_eq!(reason.code, ReasonCode::ErrorRate);
        for words in ["above max_error_rate 20 %", "`http_5xx`", "out of memory"] {
            assert!(reason.detail.contains(words), "{reason:?}");
        }
        let noted = |reason: &&String| reason.contains("stopped by its error rate");
        assert!(report.validity.reasons.iter().any(|reason| noted(&reason)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_run_is_held_against_its_error_rate_at_its_end() {
    for driver in DRIVERS {
        let end = async |most: f64| {
            let server = turning_bad(9, Script::json(404, &json!({"error": "gone"})));
            let load = json!({"user": 1, "max_requests": 14, "max_error_rate": most});
            drive_by(driver, short(&server.url(), load)).await
        };
        let outcome = end(0.05).await;
        let reason = outcome.failure().expect("a reason");
        assert_eq!(reason.code, ReasonCode::ErrorRate, "{reason:?}");
        assert!(outcome.report.stopped.is_none(), "fewer than 20 stop nothing");
        assert_eq!(end(0.9).await.failure(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_failures_stop_nothing() {
    for driver in DRIVERS {
        let url = simulate(Settings { fault_cut: 0.1, seed: 5, ..quick() }).await;
        let load = json!({"user": 8, "duration": 2, "max_tokens": 4, "max_error_rate": 0.5});
        // with faults the probe may be refused too; it then ends the run before any load
        let spec = short(&url, load);
        let outcome = loop {
            let control = tokio_util::sync::CancellationToken::new();
            if let Ok(outcome) = super::run(driver, spec.clone(), None, control).await {
                break outcome;
            }
        };
        assert!(outcome.report.requests.failed > 0, "{:?}", outcome.report.requests);
        assert_eq!((outcome.failure(), &outcome.report.stopped), (None, &None));
    }
}

/// Drives `load` by both drivers at once: overload takes seconds to show.
async fn overloads(server: impl Fn() -> ScriptedServer, load: Value) -> [String; 2] {
    let run = async |driver| {
        let server = server();
        let mut fields = json!({"stop_on_overload": true, "duration": 60, "grace": 1});
        let Value::Object(load) = load.clone() else { panic!("a load is an object") };
        fields.as_object_mut().expect("an object").extend(load);
        let outcome = drive_by(driver, short(&server.url(), fields)).await;
        assert_eq!(outcome.failure(), None, "what stops by overload is no failure");
        let report = &outcome.report;
        let stopped = report.stopped.clone().expect("a run that was stopped");
        assert_eq!(stopped.by, StoppedBy::Overload);
        assert!(report.window.measured_s < stopped.at_s + 3.0, "{:?}", report.window);
        assert!(report.requests.completed > 0);
        let seconds: BTreeMap<u32, u64> =
            outcome.series.iter().map(|second| (second.t_s, second.started)).collect();
        let after = seconds.iter().filter(|(t_s, _)| f64::from(**t_s) > stopped.at_s);
        assert_eq!(after.map(|(_, started)| started).sum::<u64>(), 0, "{seconds:?}");
        stopped.detail
    };
    tokio::join!(run(DRIVERS[0]), run(DRIVERS[1])).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_refuses_stops_a_run_that_asks_for_it() {
    let busy = || turning_bad(60, Script::json(429, &json!({"error": "busy"})));
    for detail in overloads(busy, json!({"user": 2, "wait_min": 0.02, "max_tokens": 4})).await {
        assert!(detail.contains("were refused with 429 or 503"), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_requests_stop_a_run_that_asks_for_it() {
    let slow = || {
        let chat = Chat::of(&["a"]).usage(4, 1).first_token_after(ms(400));
        ScriptedServer::chat(&chat)
    };
    let load = json!({"user": null, "spawnrate": null, "rate": 20, "max_concurrency": 2});
    for detail in overloads(slow, load).await {
        assert!(detail.contains("found no room"), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_growing_queue_stops_a_run_that_asks_for_it() {
    let stuck = || {
        let chat = Chat::of(&["a"]).usage(4, 1).first_token_after(ms(60_000));
        turning_bad(10, chat.script())
    };
    let load = json!({"user": null, "spawnrate": null, "rate": 10});
    for detail in overloads(stuck, load).await {
        assert!(detail.contains("waited for their first token"), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_objectives_stop_a_run_that_asks_for_it() {
    let slow = || {
        let chat = Chat::of(&["a", "b"]).usage(4, 2).first_token_after(ms(150));
        turning_bad(10, chat.script())
    };
    let load = json!({"user": 2, "slo_ttft_ms": 100});
    for detail in overloads(slow, load).await {
        assert!(detail.contains("met the objectives"), "{detail}");
    }
}
