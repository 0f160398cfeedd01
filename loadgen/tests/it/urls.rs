//! Several servers of one model: each has its turn, and a bad one is seen.

use serde_json::{Value, json};
use shared::{
    BenchmarkSpec, ReasonCode, Report,
    report::{FailureClass, TargetFigures},
};
use testkit::{Chat, Script, ScriptedServer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Control, DRIVERS, Driver, Outcome, PrepareError, Settings, Snapshot, ms, prepare, settings,
    spec,
};

const CHAT: &str = "/v1/chat/completions";

fn chat() -> Chat {
    Chat::of(&["a", "b"]).usage(4, 2).first_token_after(ms(10))
}

/// A load on all of `urls`, the first of which is `url`.
fn load(urls: &[String], extra: Value) -> BenchmarkSpec {
    let mut fields = json!({
        "url": urls[0], "urls": urls[1..], "duration": 10, "grace": 2, "scrape": false,
    });
    let Value::Object(extra) = extra else { panic!("extra fields are an object") };
    fields.as_object_mut().expect("an object").extend(extra);
    spec(&fields)
}

fn urls_of(servers: &[ScriptedServer]) -> Vec<String> {
    servers.iter().map(ScriptedServer::url).collect()
}

/// Drives `load`; what happens once the servers have been asked is `then`.
async fn drive(
    driver: Driver,
    threads: u32,
    load: BenchmarkSpec,
    then: impl FnOnce(),
) -> Result<Outcome, PrepareError> {
    let settings = Settings { load_threads: Some(threads), ..settings(driver) };
    let prepared = prepare(load, Some("sk-canary".into()), &settings).await?;
    then();
    let snapshots = watch::Sender::new(Snapshot::default());
    Ok(prepared.run(Control { stop: CancellationToken::new(), snapshots }).await)
}

async fn report(driver: Driver, threads: u32, load: BenchmarkSpec) -> Report {
    drive(driver, threads, load, || ()).await.expect("servers that can be used").report
}

/// Requests that each server got of the load: without the one that asked what it can do.
fn served(servers: &[ScriptedServer]) -> Vec<u64> {
    servers.iter().map(|server| server.requests_to(CHAT).len() as u64 - 1).collect()
}

fn assert_even(counts: &[u64]) {
    let (fewest, most) = (counts.iter().min(), counts.iter().max());
    assert!(most.unwrap() - fewest.unwrap() <= 1, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_server_gets_its_share_to_the_request_in_any_load() {
    for driver in DRIVERS {
        for threads in [1, 2] {
            for shape in [
                json!({"user": 5, "max_requests": 100}),
                // Each user ends on its own, in the middle of a round.
                json!({"user": 4, "requests_per_user": 7, "wait_min": 0.001, "wait_max": 0.02}),
                json!({"user": 3, "duration": 1}),
                json!({"rate": 80, "duration": 1}),
                json!({"arrival": "all_at_once", "max_requests": 20}),
            ] {
                let servers: Vec<_> = (0..3).map(|_| ScriptedServer::chat(&chat())).collect();
                let report = report(driver, threads, load(&urls_of(&servers), shape.clone())).await;
                let context = format!("{driver:?}, {threads} threads, {shape}");
                let completed: Vec<u64> = report.targets.iter().map(|it| it.completed).collect();
                assert_eq!(completed, served(&servers), "{context}");
                assert_eq!(completed.iter().sum::<u64>(), report.requests.completed, "{context}");
                assert_eq!(report.requests.failed, 0, "{context}: {:?}", report.failures);
                assert!(report.requests.completed >= 20, "{context}");
                assert_even(&completed);
                for (figures, server) in report.targets.iter().zip(&servers) {
                    assert_eq!(figures.url.given(), server.url());
                    let ttft = figures.ttft_ms.as_ref().expect("answers");
                    assert!(ttft.min >= 9.0 && ttft.n == figures.completed, "{context}: {ttft:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_sends_each_request_to_the_same_server_whatever_drives_it() {
    let mut seen = Vec::new();
    for (driver, threads) in [(DRIVERS[0], 1), (DRIVERS[0], 2), (DRIVERS[1], 2)] {
        let servers: Vec<_> = (0..3).map(|_| ScriptedServer::chat(&chat())).collect();
        let shape = json!({"arrival": "poisson", "rate": 60, "duration": 1, "seed": 11});
        report(driver, threads, load(&urls_of(&servers), shape)).await;
        let prompts = |server: &ScriptedServer| {
            let mut prompts: Vec<String> = server
                .requests_to(CHAT)
                .iter()
                .map(|request| request.json()["messages"][0]["content"].to_string())
                .collect();
            prompts.sort();
            prompts
        };
        seen.push(servers.iter().map(prompts).collect::<Vec<_>>());
    }
    assert!(seen[0][0] != seen[0][1] && seen[0].iter().all(|prompts| prompts.len() > 10));
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept_for_each_server_and_shared_by_the_users() {
    for driver in DRIVERS {
        for shape in [json!({"user": 4, "max_requests": 200}), json!({"rate": 100, "duration": 1})]
        {
            let servers: Vec<_> = (0..2).map(|_| ScriptedServer::chat(&chat())).collect();
            let report = report(driver, 1, load(&urls_of(&servers), shape.clone())).await;
            let opened: Vec<u64> = report.targets.iter().map(|it| it.connections_opened).collect();
            let all = report.validity.connections_opened;
            assert_eq!(opened.iter().sum::<u64>(), all);
            assert!(opened.iter().all(|opened| (1..=8).contains(opened)), "{driver:?} {opened:?}");
            for (server, opened) in servers.iter().zip(opened) {
                let mut connections: Vec<usize> =
                    server.requests_to(CHAT).split_off(1).iter().map(|it| it.connection).collect();
                connections.sort_unstable();
                connections.dedup();
                assert_eq!(connections.len() as u64, opened, "{driver:?} {shape}");
            }
            let reused = report.validity.reused_share.expect("connections");
            assert!(reused > 0.9, "{driver:?} {shape}: {reused}");

            let mut fresh = shape;
            fresh["fresh_connections"] = true.into();
            let report = self::report(driver, 1, load(&urls_of(&servers), fresh)).await;
            assert_eq!(report.validity.connections_opened, report.requests.started);
            assert_eq!(report.requests.failed, 0, "{driver:?} {:?}", report.failures);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_a_server_closes_between_two_requests_cost_no_request() {
    for driver in DRIVERS {
        // It says that it keeps the connection and closes it a little after the answer.
        let closing = || ScriptedServer::chat_script(chat().script().after(ms(5)).close());
        let servers = [closing(), closing()];
        let shape = json!({"user": 3, "max_requests": 60, "wait_min": 0.03, "wait_max": 0.03});
        let report = report(driver, 1, load(&urls_of(&servers), shape)).await;
        assert_eq!(report.requests.completed, 60, "{driver:?} {:?}", report.failures);
        assert_even(&served(&servers));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_down_fails_its_own_requests_and_no_others() {
    for driver in DRIVERS {
        for shape in [json!({"user": 4, "max_requests": 60}), json!({"rate": 60, "duration": 1})] {
            let good = ScriptedServer::chat(&chat());
            let down = ScriptedServer::chat(&chat());
            let load = load(&[good.url(), down.url()], shape);
            let outcome = drive(driver, 1, load, move || drop(down)).await.expect("both were up");
            let report = &outcome.report;
            let [of_good, of_down]: &[TargetFigures; 2] =
                report.targets.as_slice().try_into().expect("two servers");
            assert_eq!((of_good.completed, of_good.failed), (30, 0), "{driver:?}");
            assert_eq!((of_down.completed, of_down.failed), (0, 30), "{driver:?}");
            assert_eq!((of_down.error_rate, &of_down.ttft_ms), (Some(1.0), &None));
            let [failure] = of_down.failures.as_slice() else { panic!("{of_down:?}") };
            assert_eq!((failure.class, failure.count), (FailureClass::Connect, 30));
            assert!(of_good.failures.is_empty());
            assert_eq!(report.failures, of_down.failures);
            assert_eq!(outcome.failure(), None, "half of it was answered");
        }
    }
}

#[tokio::test]
async fn every_server_gets_the_key_and_the_extra_headers() {
    for driver in DRIVERS {
        let servers: Vec<_> = (0..2).map(|_| ScriptedServer::chat(&chat())).collect();
        let shape = json!({"user": 1, "max_requests": 6, "extra_headers": {"x-tenant": "t1"}});
        report(driver, 1, load(&urls_of(&servers), shape)).await;
        for server in &servers {
            let requests = server.requests();
            // the list of models, the first question, three of the load
            assert_eq!(requests.len(), 5, "{driver:?}");
            for request in requests {
                assert_eq!(request.header("authorization"), Some("Bearer sk-canary"));
                assert_eq!(request.header("x-tenant"), Some("t1"));
            }
            let host = server.address().to_string();
            assert!(server.requests_to(CHAT).iter().all(|it| it.header("host") == Some(&host)));
        }
    }
}

async fn refused(urls: &[String]) -> shared::Reason {
    let load = load(urls, json!({"user": 1, "max_requests": 2}));
    match drive(Driver::default(), 1, load, || ()).await {
        Err(error) => error.reason(),
        Ok(outcome) => panic!("it ran: {:?}", outcome.report.requests),
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_named_before_any_load() {
    let good = ScriptedServer::chat(&chat());
    let other_model = ScriptedServer::chat(&chat().model("other"));
    let broken = ScriptedServer::scripted()
        .on("GET /v1/models", chat().models())
        .on("POST /v1/chat/completions", Script::json(401, &json!({"error": "no sk-canary"})))
        .start();
    let away = ScriptedServer::refusing_url();
    for (bad, code, words) in [
        (away.clone(), ReasonCode::TargetUnreachable, ""),
        (broken.url(), ReasonCode::AuthRejected, "401"),
        (other_model.url(), ReasonCode::ModelMissing, "does not list the model `tiny`"),
        ("http://192.0.2.1".to_owned(), ReasonCode::PolicyBlocked, ""),
    ] {
        let reason = refused(&[good.url(), bad.clone()]).await;
        assert_eq!(reason.code, code, "{reason:?}");
        assert!(reason.detail.starts_with(&format!("{bad}: ")), "{reason:?}");
        assert!(reason.detail.contains(words) && !reason.detail.contains("canary"), "{reason:?}");
    }
    let first = refused(&[away.clone(), good.url()]).await;
    assert!(first.detail.starts_with(&format!("{away}: ")), "{first:?}");
    assert!(served(std::slice::from_ref(&good)) <= vec![4], "questions, and no load");
}

#[tokio::test]
async fn a_field_that_one_server_refuses_is_sent_to_none() {
    let takes_all = ScriptedServer::chat(&chat());
    let plain = chat();
    let (answers, models) = (plain.script(), plain.models());
    let picky = ScriptedServer::scripted()
        .on("GET /v1/models", models)
        .with("POST /v1/chat/completions", move |request| {
            let refused = request.json().get("ignore_eos").is_some();
            let refusal = Script::json(400, &json!({"error": {"message": "unknown ignore_eos"}}));
            if refused { refusal } else { answers.clone() }
        })
        .start();
    for driver in DRIVERS {
        let shape = json!({"user": 1, "max_requests": 10, "ignore_eos": true});
        let urls = [takes_all.url(), picky.url()];
        let before = takes_all.requests_to(CHAT).len();
        let report = report(driver, 1, load(&urls, shape)).await;
        assert_eq!(report.requests.completed, 10, "{:?}", report.failures);
        assert!(!report.environment.target.ignore_eos);
        let of_the_load = takes_all.requests_to(CHAT).split_off(before + 1);
        assert!(of_the_load.iter().all(|request| request.json().get("ignore_eos").is_none()));
    }
}

#[tokio::test]
async fn one_server_alone_has_no_figures_of_its_own() {
    let server = ScriptedServer::chat(&chat());
    let report =
        report(Driver::default(), 1, load(&[server.url()], json!({"user": 1, "max_requests": 3})))
            .await;
    assert_eq!((report.requests.completed, report.targets), (3, Vec::new()));
}
