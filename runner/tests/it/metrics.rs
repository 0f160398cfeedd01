//! What a runner and an API tell Prometheus.

use serde_json::json;
use shared::State;
use testkit::process::get;

use crate::yard::{Yard, quick, simulate};

/// The sum of all samples of `name` whose labels hold `labels`.
fn value(text: &str, name: &str, labels: &str) -> u64 {
    let samples = text.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with([' ', '{']) && rest.contains(labels))
    });
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_counted_by_their_runner_and_the_queue_by_the_api() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let (_api, api) = yard.api().await;
        let waiting = yard.submit(&url, json!({})).await;
        yard.submit(&url, json!({})).await;
        let told = get(&format!("{api}/metrics")).await.expect("an answer");
        assert_eq!(value(&told, "llm_bench_queue_depth", "due"), 2, "{told}");
        assert_eq!(value(&told, "llm_bench_runs_active", ""), 0);
        assert!(value(&told, "llm_bench_tasks", "") > 0);

        let mut runner = yard.runner_with(&[("METRICS_ADDRESS", "127.0.0.1:0")]).await;
        let metrics = runner.url("telling metrics on").await;
        let ended = yard.ended(waiting).await;
        assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
        let cancelled = yard.submit(&url, json!({"duration": 300})).await;
        yard.measured(cancelled).await;
        let told = get(&metrics).await.expect("an answer");
        assert_eq!(value(&told, "llm_bench_claims_total", ""), 3, "{told}");
        assert_eq!(value(&told, "llm_bench_runs_ended_total", "completed"), 2);
        assert!(value(&told, "llm_bench_load_output_tokens_total", "") > 0);
        assert!(value(&told, "llm_bench_tasks", "") > 0);
        assert_eq!(value(&told, "llm_bench_queue_wait_seconds_count", ""), 3);
        assert!(told.contains("# HELP llm_bench_lease_renewal_age_seconds"), "{told}");
        yard.store.cancel(cancelled).await.expect("a database");
        yard.ended(cancelled).await;
        let told = get(&metrics).await.expect("an answer");
        assert_eq!(value(&told, "llm_bench_cancel_seconds_count", ""), 1, "{told}");
        assert_eq!(value(&told, "llm_bench_fenced_writes_refused_total", ""), 0);
        assert_eq!(value(&told, "llm_bench_load_in_flight", ""), 0);
        let told = get(&format!("{api}/metrics")).await.expect("an answer");
        assert_eq!(value(&told, "llm_bench_queue_depth", "due"), 0, "{told}");
    }
}
