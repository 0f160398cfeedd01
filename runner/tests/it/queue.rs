//! Many benchmarks over several runners.

use std::collections::HashMap;

use serde_json::json;
use shared::State;

use crate::yard::{Yard, quick, simulate, stats};

const BENCHMARKS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_benchmarks_run_once_each_and_a_late_runner_takes_its_share() {
    for yard in Yard::each().await {
        let (first, second) = (yard.runner().await, yard.runner().await);
        let mut submitted = Vec::new();
        for _ in 0..BENCHMARKS {
            let url = simulate(quick()).await;
            submitted.push((yard.submit(&url, json!({})).await, url));
        }
        yard.ended(submitted[5].0).await;
        let third = yard.runner().await;

        let mut by_runner: HashMap<String, usize> = HashMap::new();
        for (id, url) in &submitted {
            let benchmark = yard.ended(*id).await;
            assert_eq!(benchmark.status, State::Completed, "{:?}", benchmark.reason);
            assert_eq!(yard.claims(*id).await, 1, "benchmark {id}");
            let requests = benchmark.report.expect("a report").requests;
            // the load, and the one small request of one probe
            assert_eq!(stats(url).await.requests, requests.started + 1, "benchmark {id}");
            *by_runner.entry(benchmark.runner.expect("a runner")).or_default() += 1;
        }
        assert_eq!(by_runner.len(), 3, "{by_runner:?}");
        assert!(by_runner.values().all(|share| *share >= BENCHMARKS / 10), "{by_runner:?}");
        drop((first, second, third));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_target_has_one_run_at_a_time() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let mut runs = Vec::new();
        for _ in 0..3 {
            runs.push(yard.submit(&url, json!({})).await);
        }
        let _runners = (yard.runner().await, yard.runner().await);
        let mut spans = Vec::new();
        for id in runs {
            let ended = yard.ended(id).await;
            assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
            spans.push((ended.started_at.expect("a start"), ended.finished_at.expect("an end")));
        }
        spans.sort();
        assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
    }
}
