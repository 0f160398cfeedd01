//! Open loops: as many requests as were planned, when they were, and never one in silence.

use serde_json::{Value, json};
use shared::{BenchmarkSpec, report::Verdict};
use simulator::Settings;

use super::{
    drive, drive_as, ms,
    simulated::{quick, simulate, stats},
    spec,
};

fn open_loop(url: &str, load: Value) -> BenchmarkSpec {
    let mut fields = json!({"url": url, "duration": 2, "grace": 5, "max_tokens": 8});
    let Value::Object(load) = load else { panic!("a load is an object") };
    fields.as_object_mut().expect("an object").extend(load);
    spec(&fields)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_constant_rate_sends_what_it_planned_to_the_request() {
    let url = simulate(quick()).await;
    let outcome = drive(open_loop(&url, json!({"rate": 50}))).await;
    let report = &outcome.report;
    assert_eq!((report.requests.scheduled, report.requests.dropped), (100, 0));
    assert_eq!(report.requests.completed, 100, "{:?}", report.failures);
    let served = stats(&url).await.completed;
    assert!((100..=104).contains(&served), "{served}: 100 and the probe");
    let started: Vec<u64> = outcome.series.iter().map(|second| second.started).collect();
    assert!((48..=52).contains(&started[0]), "{started:?}");
    assert_eq!((report.window.steady_from_s, report.window.steady_s), (Some(0.0), Some(2.0)));
    assert!((report.window.warmup_s).abs() < 1e-9);
    assert!(report.validity.reused_share.is_some_and(|share| share > 0.5), "connections are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_is_dropped_and_counted() {
    // answers of half a second, and room for two
    let url = simulate(Settings { ttft_ms: 500.0, itl_ms: 1.0, ..Settings::default() }).await;
    let load = json!({"rate": 20, "max_concurrency": 2});
    let outcome = drive(open_loop(&url, load)).await;
    let requests = &outcome.report.requests;
    assert_eq!(requests.scheduled, 40);
    assert!((6..=10).contains(&requests.started), "{requests:?}");
    assert_eq!(requests.dropped, 40 - requests.started);
    assert!(outcome.report.concurrency.peak <= 2);
    let validity = &outcome.report.validity;
    assert_eq!(validity.verdict, Verdict::Degraded, "{validity:?}");
    for word in ["found no room", "the planned rate was not achieved"] {
        assert!(validity.reasons.iter().any(|reason| reason.contains(word)), "{validity:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers_delay_no_request() {
    // each answer takes longer than the whole sending time
    let url = simulate(Settings { ttft_ms: 2_500.0, itl_ms: 1.0, ..Settings::default() }).await;
    let outcome = drive(open_loop(&url, json!({"rate": 25}))).await;
    let report = &outcome.report;
    assert_eq!((report.requests.completed, report.concurrency.peak), (50, 50));
    let lag = report.validity.schedule_lag_ms.as_ref().expect("a schedule lag");
    assert!(lag.p50 < 10.0, "{lag:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_sends_all_its_requests_at_the_start() {
    let url = simulate(quick()).await;
    let burst = json!({"arrival": "all_at_once", "max_requests": 32});
    let report = drive(open_loop(&url, burst)).await.report;
    assert_eq!((report.requests.scheduled, report.requests.completed), (32, 32));
    assert!(report.concurrency.peak >= 24, "{:?}", report.concurrency);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_loop_ends_with_its_last_request() {
    let url = simulate(quick()).await;
    let closed = json!({"user": 8, "spawnrate": 100, "max_requests": 20, "duration": 60});
    let report = drive(open_loop(&url, closed)).await.report;
    assert_eq!((report.requests.started, report.requests.completed), (20, 20));
    assert!(report.window.measured_s < 10.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stages_of_a_rate_and_of_users_follow_their_targets() {
    let url = simulate(quick()).await;
    let staged = |stages: &str, of: &str| {
        let load = json!({"stages": stages, "stages_of": of, "duration": null});
        open_loop(&url, load)
    };
    let outcome = drive(staged("20:1,60:1,0:1,10:1", "rate")).await;
    assert_eq!(outcome.report.requests.completed, 90);
    let started: Vec<u64> = outcome.series.iter().take(4).map(|second| second.started).collect();
    for (started, planned) in started.iter().zip([20_u64, 60, 0, 10]) {
        assert!(started.abs_diff(planned) <= 2, "{started} in a second, not {planned}");
    }
    let outcome = drive(staged("2:1,6:2,1:2", "users")).await;
    let peaks: Vec<u64> = outcome.series.iter().take(5).map(|second| second.in_flight).collect();
    assert_eq!((peaks[0], peaks[1], peaks[4]), (2, 6, 1), "{peaks:?}");
    assert!((outcome.report.window.warmup_s - 1.0).abs() < 1e-9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_sends_the_same_prompts_in_the_same_order_on_any_number_of_threads() {
    let prompts = async |seed: u64, threads: u32| -> Vec<String> {
        let chat = testkit::Chat::of(&["a"]).usage(4, 1).first_token_after(ms(1));
        let server = testkit::ScriptedServer::chat(&chat);
        let load = json!({"arrival": "poisson", "rate": 25, "seed": seed, "duration": 1});
        let report = drive_as(open_loop(&server.url(), load), threads).await.report;
        let requests = server.requests_to("/v1/chat/completions");
        let started = usize::try_from(report.requests.started).expect("few requests");
        let sent: Vec<String> = requests[requests.len() - started..]
            .iter()
            .map(|request| request.json()["messages"][0]["content"].to_string())
            .collect();
        assert!((10..=45).contains(&sent.len()), "{}", sent.len());
        sent
    };
    let (one, two, other) = (prompts(1, 1).await, prompts(1, 2).await, prompts(2, 1).await);
    assert_ne!(one, other);
    // requests a millisecond apart may overtake each other between two threads
    let moved = one.iter().zip(&two).filter(|(one, two)| one != two).count();
    assert!(moved <= 6, "{moved} of {}", one.len());
    let sorted = |mut prompts: Vec<String>| {
        prompts.sort();
        prompts
    };
    assert_eq!(sorted(one), sorted(two));
}
