//! What a run leaves behind beside its report, and how it goes.

use std::{fs, io::Write as _, path::Path};

use shared::report::{HistogramUnit, HistogramV2, Histograms};
use shared::{BenchmarkId, State};
use store::{Artifacts, Deletion, Ending, Store, StoreError, StoredRequests, requests_of};
use tempfile::TempDir;

use crate::world::{World, ending, worlds};

fn keeping(world: &World) -> (Store, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::in_folder(folder.path()).unwrap();
    (world.store.clone().with_artifacts(artifacts), folder)
}

fn histograms() -> Histograms {
    let histogram = HistogramV2 {
        unit: HistogramUnit::Us,
        n: 2,
        // beyond what a JSON number may hold
        sum: "340282366920938463463374607431768211455".to_owned(),
        sum_of_squares: "5".to_owned(),
        min: Some(1),
        max: Some(u64::from(u32::MAX)),
        hdr_v2: "HISTF".to_owned(),
    };
    Histograms::from([("ttft_ms".to_owned(), histogram)])
}

fn file(words: &str) -> fs::File {
    use std::io::Seek as _;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(words.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

fn files_below(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|e| if e.path().is_dir() { files_below(&e.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn what_was_measured_stays_as_it_is_and_goes_with_its_benchmark() {
    for world in worlds().await {
        let (store, folder) = keeping(&world);
        let held = world.loading().await;
        assert_eq!(store.requests(held.id).await.unwrap(), []);
        assert_eq!(store.histograms(held.id).await.unwrap(), None);

        let artifacts = store.artifacts().unwrap();
        let key = artifacts.put_rows(&held, &requests_of(0), file("rows"), 4).await.unwrap();
        let stored = StoredRequests { key, rows: 3, bytes: 4 };
        let complete = Ending {
            histograms: histograms(),
            requests: Some(stored.clone()),
            ..ending(State::Completed)
        };
        store.finish(&held, complete).await.unwrap();
        let kept = store.requests(held.id).await.unwrap();
        assert_eq!(kept, std::slice::from_ref(&stored));
        assert_eq!(store.histograms(held.id).await.unwrap(), Some(histograms()));
        assert_eq!(artifacts.read(&stored.key, 1..4).await.unwrap().as_ref(), b"ows");

        for change in [
            "UPDATE benchmark_artifact SET row_count = 4",
            "UPDATE benchmark_histogram SET benchmark_id = 9",
        ] {
            let refused = world.execute(change).await.unwrap_err().to_string();
            assert!(refused.contains("do not change"), "{refused}");
        }

        // what a runner left that lost this run before
        let earlier = store::Held { fence: 0, ..held };
        artifacts.put_rows(&earlier, &requests_of(0), file("x"), 1).await.unwrap();
        assert_eq!(files_below(folder.path()), 2);
        assert_eq!(store.delete(held.id, false).await.unwrap(), Deletion::Deleted);
        assert_eq!(files_below(folder.path()), 0);
        for table in ["benchmark_artifact", "benchmark_histogram"] {
            assert_eq!(world.count(&format!("SELECT count(*) FROM {table}")).await, 0);
        }
    }
}

#[tokio::test]
async fn a_run_that_measured_nothing_has_neither() {
    for world in worlds().await {
        let (store, _folder) = keeping(&world);
        let held = world.running().await;
        let failed = Ending { report: None, ..ending(State::Failed) };
        store.finish(&held, failed).await.unwrap();
        assert_eq!(store.requests(held.id).await.unwrap(), []);
        assert_eq!(store.histograms(held.id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn without_an_artifact_store_there_are_no_files_and_benchmarks_go_all_the_same() {
    for world in worlds().await {
        assert!(matches!(world.store.artifacts(), Err(StoreError::NoArtifacts)));
        let held = world.loading().await;
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        world.store.delete(held.id, false).await.unwrap();
        let gone = world.store.get(BenchmarkId(held.id.0)).await;
        assert!(matches!(gone, Err(StoreError::NotFound(_))));
    }
}
