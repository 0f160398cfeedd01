//! The requests' rows through real processes: a runner writes them, an API hands them out.

use serde_json::{Value, json};
use shared::{
    Benchmark, BenchmarkId, State,
    report::{Distribution, Histograms},
};
use simulator::Settings;
use testkit::{Chat, Script, ScriptedServer};

use crate::yard::{Yard, files_below, quick, simulate};

async fn rows(api: &str, id: BenchmarkId) -> Vec<Value> {
    let path = format!("{api}/api/v1/benchmarks/{id}/requests?format=jsonl");
    let lines = testkit::process::get(&path).await.expect("the rows are there");
    lines.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

fn count(rows: &[Value], outcome: &str) -> u64 {
    rows.iter().filter(|row| row["outcome"] == outcome).count() as u64
}

/// As many rows of each outcome as the report has, and every one of them there.
fn assert_whole(benchmark: &Benchmark, rows: &[Value]) {
    let report = benchmark.report.as_ref().expect("a report");
    let requests = &report.requests;
    assert_eq!(rows.len() as u64, requests.started, "{requests:?}");
    assert_eq!(
        (count(rows, "completed"), count(rows, "failed"), count(rows, "cancelled")),
        (requests.completed, requests.failed, requests.cancelled)
    );
    let recorded = report.recorded.as_ref().expect("they were recorded");
    assert_eq!((recorded.rows, recorded.missing), (requests.started, 0));
    assert_eq!(recorded.error, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_a_run_can_be_read_and_its_figures_computed_anew() {
    for yard in Yard::each().await {
        let (_api, api) = yard.api().await;
        let _runner = yard.runner().await;
        let url = simulate(Settings { fault_500: 0.1, seed: 3, ..quick() }).await;
        let id = yard.submit(&url, json!({"user": 8, "duration": 2, "grace": 5})).await;
        let ended = yard.ended(id).await;
        assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
        let rows = rows(&api, id).await;
        assert_whole(&ended, &rows);
        let report = ended.report.expect("a report");
        assert!(report.requests.failed > 0 && report.requests.completed > 100);
        let completed = || rows.iter().filter(|row| row["outcome"] == "completed");
        let tokens: u64 = completed().filter_map(|row| row["output_tokens"].as_u64()).sum();
        assert_eq!(tokens, report.tokens.output);
        let mut ttfts: Vec<f64> = completed().filter_map(|row| row["ttft_ms"].as_f64()).collect();
        ttfts.sort_by(f64::total_cmp);
        let told = report.latency.ttft_ms.expect("a distribution");
        for (per_cent, told) in [(50, told.p50), (90, told.p90), (99, told.p99)] {
            let exact = ttfts[(ttfts.len() * per_cent).div_ceil(100) - 1];
            assert!((exact - told).abs() <= exact * 0.001 + 0.0005, "{exact} is not {told}");
        }

        let path = format!("{api}/api/v1/benchmarks/{id}/histograms");
        let told_histograms = testkit::process::get(&path).await.expect("histograms");
        let mut told_histograms: Value = serde_json::from_str(&told_histograms).expect("JSON");
        let histograms: Histograms =
            serde_json::from_value(told_histograms["histograms"].take()).expect("histograms");
        let restored = |name: &str| {
            let histogram = loadgen::Histogram::restored(&histograms[name]);
            let distribution = histogram.expect("a histogram").distribution();
            // The report came as JSON too, whose reader is free in the last digit.
            let json = serde_json::to_string(&distribution).expect("JSON");
            serde_json::from_str::<Option<Distribution>>(&json).expect("a distribution")
        };
        assert_eq!(restored("ttft_ms"), Some(told));
        assert_eq!(restored("itl_ms"), report.latency.itl_ms);
        assert_eq!(restored("token_speed_per_s"), report.token_speed_per_s);
        assert_eq!(restored("schedule_lag_ms"), report.validity.schedule_lag_ms);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_cancelled_or_failed_or_was_stopped_keeps_its_rows() {
    const CHAT: &str = "POST /v1/chat/completions";
    for yard in Yard::each().await {
        let (_api, api) = yard.api().await;
        let runner = yard.runner().await;
        let url = simulate(quick()).await;
        let cancelled = yard.submit(&url, json!({"duration": 300, "user": 4})).await;
        yard.measured(cancelled).await;
        yard.store.cancel(cancelled).await.unwrap();
        let ended = yard.ended(cancelled).await;
        assert_eq!(ended.status, State::Cancelled);
        let of_cancelled = rows(&api, cancelled).await;
        assert_whole(&ended, &of_cancelled);
        assert!(count(&of_cancelled, "cancelled") <= 4 && count(&of_cancelled, "completed") > 0);

        let good = Chat::of(&["a"]).usage(3, 1);
        let breaking = ScriptedServer::scripted()
            .on("GET /v1/models", good.models())
            .once(CHAT, good.script())
            .on(CHAT, Script::answer(503, "text/plain", "overloaded"))
            .start();
        let failed = yard.submit(&breaking.url(), json!({})).await;
        let ended = yard.ended(failed).await;
        assert_eq!(ended.status, State::Failed);
        let of_failed = rows(&api, failed).await;
        assert_whole(&ended, &of_failed);
        assert!(of_failed.iter().all(|row| row["http_status"] == 503), "{of_failed:?}");
        assert!(of_failed[0]["message"].as_str().unwrap().contains("overloaded"));

        let stopped = yard.submit(&url, json!({"duration": 300})).await;
        yard.measured(stopped).await;
        runner.terminate();
        assert_eq!(runner.wait().await.code(), Some(0));
        let ended = yard.read(stopped).await;
        assert_eq!(ended.status, State::Failed);
        assert_whole(&ended, &rows(&api, stopped).await);

        assert_eq!(files_below(yard.artifacts()), 3);
        for id in [cancelled, failed, stopped] {
            yard.store.delete(id, false).await.unwrap();
        }
        assert_eq!(files_below(yard.artifacts()), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_store_that_fails_costs_the_rows_and_not_the_report() {
    for yard in Yard::each().await {
        let (_api, api) = yard.api().await;
        let _runner = yard.runner().await;
        let url = simulate(quick()).await;
        // where the store wants a folder there is a file
        std::fs::write(yard.artifacts().join("benchmarks"), "in the way").unwrap();
        let id = yard.submit(&url, json!({})).await;
        let ended = yard.ended(id).await;
        assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
        let report = ended.report.expect("a report");
        assert!(report.requests.completed > 0);
        let error = report.recorded.and_then(|recorded| recorded.error);
        assert_eq!(error.as_deref(), Some("the artifact store failed"));
        let words = "the requests' rows were not kept";
        assert!(report.validity.reasons.iter().any(|reason| reason.contains(words)));
        let path = format!("{api}/api/v1/benchmarks/{id}/requests");
        assert_eq!(testkit::process::get(&path).await, None);
    }
}
