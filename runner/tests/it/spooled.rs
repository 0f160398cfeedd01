//! The requests' rows of runners that are killed, frozen or stopped: what is kept of them by
//! whoever shares their folder.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use shared::{BenchmarkId, ReasonCode, State};
use tempfile::TempDir;
use testkit::process::{Process, answer, get};

use crate::yard::{Yard, files_below, quick, simulate, stats};

/// How old the newest row that is kept may be when its runner is killed: a checkpoint a second, a
/// second until a row is on its way to it, and a machine that builds other things meanwhile.
const MOST_LOST: Duration = Duration::from_secs(4);

/// A folder for the data of several runners.
pub(crate) struct Machine(TempDir);

impl Machine {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) async fn runner(&self, yard: &Yard) -> Process {
        let folder = self.0.path().display().to_string();
        let settings =
            [("DATA_DIR", folder.as_str()), ("CHECKPOINT_S", "1"), ("TARGET_COOLDOWN_S", "0")];
        yard.runner_with(&settings).await
    }

    fn spool(&self) -> std::path::PathBuf {
        self.0.path().join("spool")
    }

    /// Waits until there is a checkpoint of the rows here.
    pub(crate) async fn checkpointed(&self) {
        self.checkpointed_by(1).await;
    }

    /// The same of the rows of so many runners.
    pub(crate) async fn checkpointed_by(&self, runners: usize) {
        let begun = Instant::now();
        let tails = || names(&self.spool()).into_iter().filter(|name| name.contains(".tail"));
        while tails().count() < runners {
            assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", names(&self.spool()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until no rows wait here.
    pub(crate) async fn emptied(&self) {
        let begun = Instant::now();
        while files_below(&self.spool()) > 0 {
            assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", names(&self.spool()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one"));
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What the API hands out, as soon as it does.
async fn rows(api: &str, id: BenchmarkId) -> Vec<Value> {
    let path = format!("{api}/api/v1/benchmarks/{id}/requests?format=jsonl");
    let begun = Instant::now();
    loop {
        if let Some(lines) = get(&path).await {
            return lines.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "no rows of {id}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Each request in its place, and none that the server has not seen.
fn assert_sound(rows: &[Value], seen: u64) {
    assert!(rows.iter().zip(0..).all(|(row, index)| row["index"] == index));
    let mut requests: Vec<_> = rows.iter().map(|row| (&row["user"], &row["nth"])).collect();
    requests.sort_by_key(|(user, nth)| (user.as_u64(), nth.as_u64()));
    requests.dedup();
    assert_eq!(requests.len(), rows.len(), "no request twice");
    assert!(rows.len() as u64 <= seen, "{} rows of {seen} requests", rows.len());
    assert!(rows.iter().all(|row| row["outcome"] == "completed"), "{:?}", rows.last());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_killed_runner_all_rows_but_the_newest_are_kept_by_those_it_shared_a_folder_with() {
    for yard in Yard::each().await {
        let (_api, api) = yard.api().await;
        let url = simulate(quick()).await;
        let machine = Machine::new();
        let killed = machine.runner(&yard).await;
        let lost = yard.submit(&url, json!({"duration": 300, "user": 8})).await;
        yard.measured(lost).await;
        let _other = machine.runner(&yard).await;

        // Some looks of the other one later, the rows are still there, and grow.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let names = names(&machine.spool());
        assert!(names.iter().any(|name| name.starts_with(&format!("run-{lost}-1-"))), "{names:?}");
        assert_eq!(yard.store.requests(lost).await.unwrap(), []);
        let before = stats(&url).await.completed;
        tokio::time::sleep(MOST_LOST).await;
        killed.kill();

        let ended = yard.ended(lost).await;
        assert_eq!(ended.status, State::Lost);
        let rows = rows(&api, lost).await;
        let seen = stats(&url).await;
        assert_sound(&rows, seen.requests);
        let (kept, before) = (rows.len() as u64, before - 8);
        assert!(kept >= before, "{kept} rows, but {before} answers were there long before");
        let stored = yard.store.requests(lost).await.unwrap().remove(0);
        assert_eq!(stored.rows, kept);
        machine.emptied().await;
        assert_eq!(files_below(yard.artifacts()), 1);
        assert_eq!(yard.claims(lost).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_starts_again_keeps_what_it_left_and_only_what_its_run_can_use() {
    for yard in Yard::each().await {
        let (_api, api) = yard.api().await;
        let url = simulate(quick()).await;
        let machine = Machine::new();
        let killed = machine.runner(&yard).await;
        let again = yard.submit(&url, json!({"duration": 8, "on_lost": "rerun"})).await;
        yard.measured(again).await;
        machine.checkpointed().await;
        killed.kill();

        let killed = machine.runner(&yard).await;
        let ended = yard.ended(again).await;
        assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
        let rows_of_again = rows(&api, again).await;
        assert_eq!(rows_of_again.len() as u64, ended.report.unwrap().requests.started);
        machine.emptied().await;

        let lost = yard.submit(&url, json!({"duration": 300})).await;
        yard.measured(lost).await;
        machine.checkpointed().await;
        killed.kill();
        let _third = machine.runner(&yard).await;
        assert_eq!(yard.ended(lost).await.status, State::Lost);
        assert_sound(&rows(&api, lost).await, stats(&url).await.requests);
        machine.emptied().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_was_frozen_and_lost_its_run_keeps_the_rows_when_it_wakes() {
    for yard in Yard::each().await {
        let (_api, api) = yard.api().await;
        let url = simulate(quick()).await;
        let machine = Machine::new();
        let frozen = machine.runner(&yard).await;
        let lost = yard.submit(&url, json!({"duration": 300})).await;
        yard.measured(lost).await;
        // Not while it holds SQLite's one lock: nobody could do anything then.
        loop {
            frozen.pause();
            let swept = tokio::time::timeout(Duration::from_secs(2), yard.store.sweep()).await;
            if matches!(swept, Ok(Ok(_))) {
                break;
            }
            frozen.resume();
        }
        let _other = machine.runner(&yard).await;
        let ended = yard.ended(lost).await;
        assert_eq!(ended.reason.as_ref().unwrap().code, ReasonCode::RunnerLost);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(yard.store.requests(lost).await.unwrap(), [], "it lives: its rows are its own");
        let requests = format!("{api}/api/v1/benchmarks/{lost}/requests");
        let (status, refusal) = answer(&requests).await.unwrap();
        assert_eq!(status, 404);
        let refusal = String::from_utf8(refusal).unwrap();
        assert!(refusal.contains("is kept once a runner starts in its folder"), "{refusal}");

        frozen.resume();
        let rows = rows(&api, lost).await;
        assert!(!rows.is_empty() && rows.len() as u64 <= stats(&url).await.requests);
        machine.emptied().await;
        let late = yard.read(lost).await;
        assert_eq!((late.status, late.report), (State::Lost, ended.report), "nothing else of it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ends_leaves_nothing_in_the_folder_however_it_ends() {
    for yard in Yard::each().await {
        let url = simulate(quick()).await;
        let machine = Machine::new();
        let runner = machine.runner(&yard).await;
        let completed = yard.submit(&url, json!({"duration": 3})).await;
        yard.measured(completed).await;
        assert!(files_below(&machine.spool()) > 0, "while it runs, there are some");
        assert_eq!(yard.ended(completed).await.status, State::Completed);
        machine.emptied().await;

        let cancelled = yard.submit(&url, json!({"duration": 300})).await;
        yard.measured(cancelled).await;
        yard.store.cancel(cancelled).await.unwrap();
        assert_eq!(yard.ended(cancelled).await.status, State::Cancelled);
        machine.emptied().await;

        // where the store wants a folder there is a file
        std::fs::remove_dir_all(yard.artifacts().join("benchmarks")).unwrap();
        std::fs::write(yard.artifacts().join("benchmarks"), "in the way").unwrap();
        let unkept = yard.submit(&url, json!({})).await;
        let ended = yard.ended(unkept).await;
        assert_eq!(ended.status, State::Completed);
        assert!(ended.report.unwrap().recorded.unwrap().error.is_some());
        machine.emptied().await;
        std::fs::remove_file(yard.artifacts().join("benchmarks")).unwrap();

        let stopped = yard.submit(&url, json!({"duration": 300})).await;
        yard.measured(stopped).await;
        // twice: now
        runner.terminate();
        tokio::time::sleep(Duration::from_millis(200)).await;
        runner.terminate();
        assert_eq!(runner.wait().await.code(), Some(0));
        assert_eq!(yard.read(stopped).await.status, State::Failed);
        assert_eq!(yard.store.requests(stopped).await.unwrap().len(), 1);
        assert_eq!(files_below(&machine.spool()), 0);
    }
}
