//! One load made by several runners: together it is the load that was asked for, its report is that
//! of one, and where one of them is lost, all stop.

use std::time::Duration;

use serde_json::json;
use shared::{Benchmark, BenchmarkId, ReasonCode, State};
use testkit::process::Process;

use crate::yard::{Yard, quick, simulate, stats};

/// Requests that the server got of the runs, by their own word: those of the load alone.
async fn sent(url: &str) -> u64 {
    stats(url).await.runs.iter().map(|run| run.requests).sum()
}

/// Waits until nothing more comes.
async fn silence(url: &str) -> u64 {
    let mut before = sent(url).await;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = sent(url).await;
        if now == before {
            return now;
        }
        before = now;
    }
}

/// Whether `process` is the runner of that name.
pub(crate) fn is_runner(process: &Process, name: &str) -> bool {
    name.ends_with(&format!("-{}", process.id()))
}

impl Yard {
    async fn runners(&self, count: usize) -> Vec<Process> {
        let mut runners = Vec::new();
        for _ in 0..count {
            runners.push(self.runner_with(&[("DRAIN_TIMEOUT_S", "0")]).await);
        }
        runners
    }

    /// Splits the runners into the one that holds the run and the others.
    async fn holder_of(&self, id: BenchmarkId, runners: Vec<Process>) -> (Process, Vec<Process>) {
        let holder = self.read(id).await.runner.expect("a runner has it");
        let runner = self.store.runners().await.expect("a database");
        let name = &runner.iter().find(|it| it.id.0 == holder).expect("it is known").name;
        let (holders, others): (Vec<_>, Vec<_>) =
            runners.into_iter().partition(|process| is_runner(process, name));
        let [holder] = <[_; 1]>::try_from(holders).unwrap_or_else(|_| panic!("who is {name}?"));
        (holder, others)
    }
}

fn clocks_are_close(ended: &Benchmark, of: usize) {
    let shards = &ended.report.as_ref().expect("a report").environment.shards;
    assert_eq!(shards.len(), of, "{shards:?}");
    for (nth, shard) in shards.iter().enumerate() {
        assert_eq!(shard.shard as usize, nth);
        assert!(shard.clock_error_ms > 0.0 && shard.clock_error_ms <= 50.0, "{shard:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_runners_send_a_schedule_together_each_request_once() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let _runners = yard.runners(3).await;
        let fields = json!({"runners": 3, "rate": 40, "duration": 3, "user": null, "spawnrate": null,
            "grace": 20});
        let ended = yard.ended(yard.submit(&url, fields).await).await;
        assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
        clocks_are_close(&ended, 3);
        let report = ended.report.as_ref().unwrap();
        assert_eq!((report.requests.scheduled, report.requests.completed), (120, 120));
        assert_eq!(sent(&url).await, 120);
        let latency = report.latency.e2e_ms.as_ref().unwrap();
        assert_eq!(latency.n, 120);
        assert!(!ended.results.partial);
        let series = yard.store.timeseries(ended.id).await.unwrap();
        assert_eq!(series.iter().map(|second| second.started).sum::<u64>(), 120);
        assert_eq!(ended.progress.requests, 120);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_shared_and_a_second_run_waits_for_its_runners() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let _first = yard.runner().await;
        let fields = json!({"runners": 2, "user": 5, "duration": 2, "max_requests": 101});
        let id = yard.submit(&url, fields).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(yard.read(id).await.status, State::Queued, "one runner is not enough");
        let _second = yard.runner().await;
        let ended = yard.ended(id).await;
        assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
        clocks_are_close(&ended, 2);
        let requests = &ended.report.as_ref().unwrap().requests;
        assert_eq!((requests.started, sent(&url).await), (101, 101));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_users_than_one_runner_takes_are_made_by_as_many_as_it_takes() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let mut runners = Vec::new();
        for _ in 0..3 {
            runners.push(yard.runner_with(&[("RUNNER_MAX_USERS", "20")]).await);
        }
        let users = json!({"user": 60, "requests_per_user": 1, "duration": 5});
        let open = json!({"arrival": "all_at_once", "max_requests": 59, "user": null,
            "spawnrate": null, "duration": 5});
        let mut before = 0;
        for (fields, requests) in [(users, 60), (open, 59)] {
            let ended = yard.ended(yard.submit(&url, fields).await).await;
            assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
            clocks_are_close(&ended, 3);
            let counted = &ended.report.as_ref().unwrap().requests;
            let now = sent(&url).await;
            assert_eq!((counted.completed, now - before), (requests, requests));
            before = now;
        }
        let too_many = yard.submit(&url, json!({"user": 61})).await;
        assert_eq!(yard.store.queue_state().await.unwrap().too_large, 1);
        assert_eq!(yard.read(too_many).await.status, State::Queued);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_shard_ends_the_run_and_keeps_what_was_measured() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let runners = yard.runners(2).await;
        let id = yard.submit(&url, json!({"runners": 2, "user": 4, "duration": 300})).await;
        yard.measured(id).await;
        let (_holder, others) = yard.holder_of(id, runners).await;
        for other in others {
            other.kill();
        }
        let ended = yard.ended(id).await;
        assert_eq!(ended.status, State::Failed);
        let reason = ended.reason.as_ref().unwrap();
        assert_eq!(reason.code, ReasonCode::ShardLost, "{reason:?}");
        assert!(reason.detail.contains("of shard 1 went silent"), "{reason:?}");
        assert!(ended.results.partial);
        clocks_are_close(&ended, 2);
        let requests = &ended.report.as_ref().unwrap().requests;
        let sent = silence(&url).await;
        assert!(requests.completed > 0 && requests.started < sent, "{requests:?} of {sent}");
        assert_eq!(yard.claims(id).await, 1, "its load is never repeated");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_told_to_stop_stops_them_all_and_loses_no_figures() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let runners = yard.runners(2).await;
        let id = yard.submit(&url, json!({"runners": 2, "user": 4, "duration": 300})).await;
        yard.measured(id).await;
        let (_holder, others) = yard.holder_of(id, runners).await;
        for other in others {
            other.terminate();
            let ended = other.wait().await;
            assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        }
        let ended = yard.ended(id).await;
        let reason = ended.reason.as_ref().unwrap();
        assert_eq!((ended.status, reason.code), (State::Failed, ReasonCode::ShardLost));
        assert!(reason.detail.contains("the runner was stopped"), "{reason:?}");
        let started = ended.report.as_ref().unwrap().requests.started;
        assert_eq!(started, silence(&url).await, "what each has sent is counted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_holder_is_lost_the_others_stop_before_anybody_begins_again() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let runners = yard.runners(3).await;
        let fields = json!({"runners": 2, "user": 4, "duration": 8, "on_lost": "rerun"});
        let id = yard.submit(&url, fields).await;
        yard.measured(id).await;
        let (holder, _others) = yard.holder_of(id, runners).await;
        holder.kill();
        let ended = yard.ended(id).await;
        assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
        let runs = stats(&url).await.runs;
        let [first, second] = &*runs else { panic!("two runs: {runs:?}") };
        assert!(first.last_ms < second.first_ms, "their loads overlap: {runs:?}");
        let requests = &ended.report.as_ref().unwrap().requests;
        assert_eq!(requests.started, second.requests);
        assert_eq!(yard.claims(id).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_stops_all_of_its_runners() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let _runners = yard.runners(2).await;
        let id = yard.submit(&url, json!({"runners": 2, "user": 4, "duration": 300})).await;
        yard.measured(id).await;
        yard.store.cancel(id).await.unwrap();
        let ended = yard.ended(id).await;
        assert_eq!(ended.status, State::Cancelled);
        let started = ended.report.as_ref().unwrap().requests.started;
        assert_eq!(started, silence(&url).await, "what each has sent is counted");
        // they are free again
        let next = yard.submit(&url, json!({"runners": 2, "user": 2})).await;
        assert_eq!(yard.ended(next).await.status, State::Completed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_of_them_finds_ends_the_load_of_all() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let _runners = yard.runners(2).await;
        // 100 tokens take twice the time that an answer may have
        let fields = json!({"runners": 2, "user": 4, "duration": 300, "max_error_rate": 0.5,
            "max_tokens": 100, "min_tokens": 100, "ignore_eos": true, "timeout_total": 0.1});
        let ended = yard.ended(yard.submit(&url, fields).await).await;
        assert_eq!(ended.status, State::Failed);
        let reason = ended.reason.unwrap();
        assert!(
            matches!(reason.code, ReasonCode::ErrorRate | ReasonCode::AllRequestsFailed),
            "{reason:?}"
        );
        assert!(ended.report.unwrap().stopped.is_some());
    }
}
