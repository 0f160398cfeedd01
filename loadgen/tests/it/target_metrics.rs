//! What the target says of itself, beside what the client saw.

use serde_json::json;
use simulator::Settings;
use testkit::{Chat, Script, ScriptedServer};

use super::{DRIVERS, drive, drive_by, ms, short, simulated::simulate};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_works_on_is_what_the_client_has_in_flight() {
    // users come two a second, so that each second has its own number
    let url = simulate(Settings { ttft_ms: 50.0, itl_ms: 5.0, ..Settings::default() }).await;
    for driver in DRIVERS {
        let load = json!({"user": 8, "spawnrate": 2, "duration": 5, "max_tokens": 100});
        let outcome = drive_by(driver, short(&url, load)).await;
        let metrics = outcome.report.target_metrics.as_ref().expect("vLLM's names");
        assert_eq!((metrics.server.as_str(), metrics.missed), ("vllm", 0));
        assert!((5..=6).contains(&metrics.readings), "{metrics:?}");
        let rows = &outcome.series[..5];
        for row in rows {
            let running = row.target_running.expect("a reading in each second");
            #[expect(clippy::cast_precision_loss, reason = "a handful of users")]
            let in_flight = row.in_flight as f64;
            // between an answer and the next request a user has none open
            assert!(in_flight - running <= 2.0 && running <= in_flight, "{driver:?}: {row:?}");
            assert_eq!((row.target_queue, row.target_kv_cache), (Some(0.0), None));
        }
        let running: Vec<_> = rows.iter().filter_map(|row| row.target_running).collect();
        assert!(running[0] <= 2.0 && running[4] >= 6.0, "{running:?}");
        let highest = running.iter().copied().fold(0.0, f64::max);
        assert!(metrics.running.as_ref().unwrap().max >= highest);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_who_shall_not_be_or_says_nothing() {
    let chat = Chat::of(&["a"]).usage(4, 1).first_token_after(ms(10));
    let server = ScriptedServer::chat(&chat);
    let outcome = drive(short(&server.url(), json!({"duration": 2}))).await;
    assert_eq!(outcome.report.target_metrics, None);
    assert!(outcome.series.iter().all(|row| row.target_running.is_none()));
    assert_eq!(server.requests_to("/metrics").len(), 1, "asked once, before the load");

    let outcome = drive(short(&server.url(), json!({"scrape": false}))).await;
    assert_eq!(outcome.report.target_metrics, None);
    assert_eq!(server.requests_to("/metrics").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_that_cease_are_given_up_and_cost_no_request() {
    let chat = Chat::of(&["a"]).usage(4, 1).first_token_after(ms(10));
    let page = Script::answer(200, "text/plain", "vllm:num_requests_running 1\n");
    let server = ScriptedServer::scripted()
        .on("GET /v1/models", chat.models())
        .on("POST /v1/chat/completions", chat.script())
        .once("GET /metrics", page.clone())
        .once("GET /metrics", page)
        .on("GET /metrics", Script::answer(500, "text/plain", "broken"))
        .start();
    let report = drive(short(&server.url(), json!({"duration": 8}))).await.report;
    let metrics = report.target_metrics.unwrap();
    assert_eq!((metrics.readings, metrics.missed), (1, 5));
    assert_eq!(server.requests_to("/metrics").len(), 1 + 1 + 5);
    assert_eq!(report.requests.failed, 0);
}
