//! What is left when a runner is killed or stopped, or a run is cancelled.

use std::time::Duration;

use serde_json::json;
use shared::{ReasonCode, State};

use crate::yard::{Yard, quick, simulate, stats};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_runner_loses_its_run_but_not_its_figures() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let runner = yard.runner().await;
        let lost = yard.submit(&url, json!({"duration": 300})).await;
        let next = yard.submit(&url, json!({})).await;
        yard.measured(lost).await;
        runner.kill();

        let _other = yard.runner().await;
        let lost = yard.ended(lost).await;
        assert_eq!(lost.status, State::Lost);
        assert_eq!(lost.reason.as_ref().unwrap().code, ReasonCode::RunnerLost);
        assert!(lost.results.is_final && lost.results.partial);
        assert!(lost.report.unwrap().requests.completed > 0);
        assert_eq!(yard.claims(lost.id).await, 1, "its load is never repeated");

        let next = yard.ended(next).await;
        assert_eq!(next.status, State::Completed, "{:?}", next.reason);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_runner_stores_what_it_has_and_takes_nothing_more() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let runner = yard.runner_with(&[("DRAIN_TIMEOUT_S", "0")]).await;
        let running = yard.submit(&url, json!({"duration": 300})).await;
        let waiting = yard.submit(&url, json!({})).await;
        yard.measured(running).await;
        runner.terminate();
        let ended = runner.wait().await;
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);

        let running = yard.read(running).await;
        assert_eq!(running.status, State::Failed);
        assert_eq!(running.reason.unwrap().code, ReasonCode::RunnerShutdown);
        assert!(running.report.unwrap().requests.completed > 0);
        assert_eq!(yard.read(waiting).await.status, State::Queued);

        let _other = yard.runner().await;
        assert_eq!(yard.ended(waiting).await.status, State::Completed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_was_frozen_beyond_its_lease_sends_nothing_when_it_wakes() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let frozen = yard.runner().await;
        let id = yard.submit(&url, json!({"duration": 300, "user": 32, "max_tokens": 64})).await;
        yard.measured(id).await;
        frozen.pause();
        // Nothing but what it had sent before can arrive from here on, and that has arrived soon.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sent = stats(&url).await.requests;

        let _other = yard.runner().await;
        let lost = yard.ended(id).await;
        assert_eq!(lost.status, State::Lost, "{:?}", lost.reason);
        frozen.resume();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(stats(&url).await.requests, sent, "requests after it woke");
        let told = lost.report.unwrap();
        assert_eq!(yard.read(id).await.report.unwrap(), told, "nothing stale was written");

        // It is a runner like any other again.
        frozen.terminate();
        let ended = frozen.wait().await;
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("belongs to somebody else now"), "{}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_keeps_its_figures_and_sends_nothing_more() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let _runner = yard.runner().await;
        let id = yard.submit(&url, json!({"duration": 300, "user": 4})).await;
        yard.measured(id).await;
        yard.store.cancel(id).await.unwrap();
        let cancelled = yard.ended(id).await;
        assert_eq!(cancelled.status, State::Cancelled);
        assert!(cancelled.report.unwrap().requests.completed > 0);
        let sent = stats(&url).await.requests;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(stats(&url).await.requests, sent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_api_loses_nothing_and_disturbs_no_run() {
    for yard in Yard::each().await {
        let (api, _) = yard.api().await;
        let _runner = yard.runner().await;
        let url = simulate(quick()).await;
        let running = yard.submit(&url, json!({"duration": 4})).await;
        let waiting = yard.submit(&url, json!({})).await;
        yard.measured(running).await;
        api.kill();

        let (_api, again) = yard.api().await;
        for id in [running, waiting] {
            yard.ended(id).await;
            let path = format!("{again}/api/v1/benchmarks/{id}");
            let read = testkit::process::get(&path).await.expect("the benchmark is there");
            let read: shared::Benchmark = serde_json::from_str(&read).expect("a benchmark");
            assert_eq!(read.status, State::Completed, "{:?}", read.reason);
            assert_eq!(yard.claims(id).await, 1);
        }
    }
}
