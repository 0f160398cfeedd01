//! The rows of a load that several runners make: all of them are kept, also of those that are
//! killed.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use records::{Layout, Tail};
use serde_json::{Value, json};
use shared::{Benchmark, BenchmarkId, ReasonCode, State};
use testkit::process::{Process, answer};

use crate::{
    shards::is_runner,
    spooled::Machine,
    yard::{Yard, quick, simulate, stats},
};

/// The rows as the API hands them out, in this format.
async fn download(api: &str, id: BenchmarkId, format: &str) -> Vec<u8> {
    let url = format!("{api}/api/v1/benchmarks/{id}/requests?format={format}");
    let (status, body) = answer(&url).await.expect("an answer");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    body
}

/// The rows, as many in each format, and none of them twice.
async fn rows(api: &str, id: BenchmarkId) -> Vec<Value> {
    let lines = String::from_utf8(download(api, id, "jsonl").await).expect("text");
    let rows: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    let csv = String::from_utf8(download(api, id, "csv").await).expect("text");
    assert_eq!(csv.lines().count(), rows.len() + 1);
    let parquet = download(api, id, "parquet").await;
    let length = parquet.len() as u64;
    let Ok(Tail::Whole(layout)) = Layout::read(&parquet.into(), length) else {
        panic!("that is no file");
    };
    assert_eq!(layout.rows(), rows.len() as u64);
    let indexes: BTreeSet<_> = rows.iter().map(|row| row["index"].as_u64()).collect();
    assert_eq!(indexes.len(), rows.len(), "indexes of their own");
    let requests: BTreeSet<_> =
        rows.iter().map(|row| (row["user"].as_u64(), row["nth"].as_u64())).collect();
    assert_eq!(requests.len(), rows.len(), "no request twice");
    rows
}

/// How many of them shard `shard` of two has sent: it has every second user.
fn of_shard(rows: &[Value], shard: u64) -> u64 {
    let theirs = rows.iter().filter(|row| row["user"].as_u64().expect("a user") % 2 == shard);
    assert!(theirs.clone().all(|row| row["index"].as_u64().expect("an index") % 2 == shard));
    theirs.count() as u64
}

/// A load of two runners, each on a machine of its own, that would take long: their rows are on the
/// disk of each. Where the runner is that holds the run comes first.
async fn under_way(yard: &Yard, url: &str) -> (BenchmarkId, [(Machine, Process); 2]) {
    let mut runners = Vec::new();
    for _ in 0..2 {
        let machine = Machine::new();
        let runner = machine.runner(yard).await;
        runners.push((machine, runner));
    }
    let id = yard.submit(url, json!({"runners": 2, "user": 4, "duration": 300})).await;
    yard.measured(id).await;
    for (machine, _) in &runners {
        machine.checkpointed().await;
    }
    let holder = yard.read(id).await.runner.expect("a runner has it");
    let known = yard.store.runners().await.expect("a database");
    let name = &known.iter().find(|it| it.id.0 == holder).expect("it is known").name;
    if !is_runner(&runners[0].1, name) {
        runners.reverse();
    }
    (id, runners.try_into().unwrap_or_else(|_| panic!("two runners")))
}

/// Waits until `id` has as many files.
async fn has_files(yard: &Yard, id: BenchmarkId, count: usize) {
    let begun = Instant::now();
    loop {
        let files = yard.store.requests(id).await.expect("a database");
        if files.len() == count {
            return;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{files:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All rows of a load of two runners, once one starts on the `machine` of those that were killed.
async fn once_one_starts(yard: &Yard, machine: &Machine, api: &str, id: BenchmarkId) -> Vec<Value> {
    let _again = machine.runner(yard).await;
    has_files(yard, id, 2).await;
    let all = rows(api, id).await;
    machine.emptied().await;
    all
}

fn error(ended: &Benchmark) -> Option<&str> {
    ended.report.as_ref()?.recorded.as_ref()?.error.as_deref()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_a_load_has_its_row_whoever_sent_it() {
    for yard in Yard::each().await {
        let (_api, api) = yard.api().await;
        let url = simulate(quick()).await;
        // two of them in one folder
        let machine = Machine::new();
        let _two = (machine.runner(&yard).await, machine.runner(&yard).await);
        let _third = yard.runner().await;
        let fields = json!({"runners": 3, "rate": 40, "duration": 3, "user": null,
            "spawnrate": null, "grace": 20});
        let ended = yard.ended(yard.submit(&url, fields).await).await;
        assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
        let recorded = ended.report.as_ref().unwrap().recorded.as_ref().unwrap();
        assert_eq!((recorded.rows, recorded.missing, &recorded.error), (120, 0, &None));
        let files = yard.store.requests(ended.id).await.unwrap();
        let each: Vec<_> = files.iter().map(|file| file.rows).collect();
        assert_eq!(each, [40, 40, 40]);
        let rows = rows(&api, ended.id).await;
        let sent: BTreeSet<_> = rows.iter().map(|row| row["nth"].as_u64().unwrap()).collect();
        assert!(sent.into_iter().eq(0..120), "each request of the schedule");
        let indexes: BTreeSet<_> = rows.iter().map(|row| row["index"].as_u64().unwrap()).collect();
        assert!(indexes.into_iter().eq(0..120));
        machine.emptied().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_runner_that_is_killed_the_rows_come_once_one_starts_in_its_folder() {
    for yard in Yard::each().await {
        let (_api, api) = yard.api().await;
        let url = simulate(quick()).await;
        let (id, [(own, _holder), (killed, other)]) = under_way(&yard, &url).await;
        other.kill();
        let ended = yard.ended(id).await;
        assert_eq!(ended.reason.as_ref().unwrap().code, ReasonCode::ShardLost);
        let kept = rows(&api, id).await;
        assert!(of_shard(&kept, 0) > 0 && of_shard(&kept, 1) == 0);
        let recorded = ended.report.as_ref().unwrap().recorded.as_ref().unwrap();
        let started = ended.report.as_ref().unwrap().requests.started;
        assert_eq!((recorded.rows, recorded.rows + recorded.missing), (kept.len() as u64, started));
        let words = "shard 1: its runner had not stored them when the run ended";
        assert_eq!(error(&ended), Some(words));
        own.emptied().await;

        let all = once_one_starts(&yard, &killed, &api, id).await;
        assert_eq!(of_shard(&all, 0), kept.len() as u64);
        assert!(of_shard(&all, 1) > 0 && all.len() as u64 <= stats(&url).await.requests);
        assert_eq!(yard.read(id).await.report, ended.report, "nothing else of it has changed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_run_whose_holder_is_killed_the_others_keep_their_rows() {
    for yard in Yard::each().await {
        let (_api, api) = yard.api().await;
        let url = simulate(quick()).await;
        let (id, [(killed, holder), (own, _other)]) = under_way(&yard, &url).await;
        holder.kill();
        assert_eq!(yard.ended(id).await.status, State::Lost);
        has_files(&yard, id, 1).await;
        let kept = rows(&api, id).await;
        assert!(of_shard(&kept, 0) == 0 && of_shard(&kept, 1) > 0);
        own.emptied().await;

        let all = once_one_starts(&yard, &killed, &api, id).await;
        assert_eq!(of_shard(&all, 1), kept.len() as u64);
        assert!(of_shard(&all, 0) > 0 && all.len() as u64 <= stats(&url).await.requests);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runners_that_share_a_folder_and_are_killed_together_leave_the_rows_of_each() {
    for yard in Yard::each().await {
        let (_api, api) = yard.api().await;
        let url = simulate(quick()).await;
        let machine = Machine::new();
        let runners = [machine.runner(&yard).await, machine.runner(&yard).await];
        let id = yard.submit(&url, json!({"runners": 2, "user": 4, "duration": 300})).await;
        yard.measured(id).await;
        machine.checkpointed_by(2).await;
        for runner in runners {
            runner.kill();
        }
        let all = once_one_starts(&yard, &machine, &api, id).await;
        assert!(of_shard(&all, 0) > 0 && of_shard(&all, 1) > 0);
        assert_eq!(yard.read(id).await.status, State::Lost);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_load_keeps_the_rows_of_all_and_says_where_some_could_not_be() {
    for yard in Yard::each().await {
        let (_api, api) = yard.api().await;
        let url = simulate(quick()).await;
        let (id, _runners) = under_way(&yard, &url).await;
        yard.store.cancel(id).await.unwrap();
        let ended = yard.ended(id).await;
        assert_eq!(ended.status, State::Cancelled);
        let report = ended.report.as_ref().unwrap();
        let recorded = report.recorded.as_ref().unwrap();
        let started = report.requests.started;
        assert_eq!((recorded.rows, recorded.missing, &recorded.error), (started, 0, &None));
        assert_eq!(rows(&api, id).await.len() as u64, started);

        // where the store wants a folder for the next there is a file
        let next = id.0 + 1;
        std::fs::write(yard.artifacts().join(format!("benchmarks/{next}")), "in the way").unwrap();
        let id = yard.submit(&url, json!({"runners": 2, "user": 2})).await;
        assert_eq!(id.0, next);
        let ended = yard.ended(id).await;
        assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
        let words = "shard 0: the artifact store failed; shard 1: the artifact store failed";
        assert_eq!(error(&ended), Some(words));
        let reasons = &ended.report.as_ref().unwrap().validity.reasons;
        assert!(reasons.iter().any(|reason| reason.contains(words)), "{reasons:?}");
        assert_eq!(yard.store.requests(id).await.unwrap(), []);
    }
}
