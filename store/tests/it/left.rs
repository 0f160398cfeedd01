//! Rows that a claim has left in a file: who may have them.

use shared::{RunnerId, State};
use store::{Artifacts, Deletion, Held, LeftRows, Store, StoredRequests, requests_of};
use tempfile::TempDir;

use crate::world::{World, ending, worlds};

fn runner(id: &str) -> RunnerId {
    RunnerId(id.to_owned())
}

fn stored(held: &Held) -> StoredRequests {
    StoredRequests {
        key: format!("benchmarks/{}/run-{}/requests.parquet", held.id, held.fence),
        rows: 3,
        bytes: 4,
    }
}

async fn left(world: &World, held: &Held) -> LeftRows {
    world.store.left_rows(held, &runner("runner-a"), &requests_of(0)).await.unwrap()
}

async fn keep(world: &World, held: &Held) -> LeftRows {
    let (runner, stored) = (runner("runner-a"), stored(held));
    world.store.keep_left_rows(held, &runner, &requests_of(0), stored).await.unwrap()
}

#[tokio::test]
async fn a_lost_run_gets_its_rows_once_and_not_before_it_is_lost() {
    for world in worlds().await {
        let held = world.loading().await;
        assert_eq!(left(&world, &held).await, LeftRows::Early);
        assert_eq!(keep(&world, &held).await, LeftRows::Early);
        assert_eq!(world.store.requests(held.id).await.unwrap(), []);

        world.expire(held.id).await;
        assert_eq!(world.store.sweep().await.unwrap().lost, [held.id]);
        let lost = world.get(held.id).await;
        assert_eq!(left(&world, &held).await, LeftRows::Wanted);
        assert_eq!(keep(&world, &held).await, LeftRows::Wanted);
        assert_eq!(world.store.requests(held.id).await.unwrap(), [stored(&held)]);
        assert_eq!(world.get(held.id).await, lost, "nothing else of it has changed");

        assert_eq!(left(&world, &held).await, LeftRows::Unwanted);
        assert_eq!(keep(&world, &held).await, LeftRows::Unwanted);
    }
}

#[tokio::test]
async fn of_many_that_have_them_at_once_one_gives_them() {
    for world in worlds().await {
        let held = world.loading().await;
        world.expire(held.id).await;
        world.store.sweep().await.unwrap();
        let all = futures::future::join_all((0..6).map(|_| keep(&world, &held))).await;
        let given = all.iter().filter(|left| **left == LeftRows::Wanted).count();
        assert_eq!(given, 1, "{all:?}");
        assert!(all.iter().all(|left| matches!(left, LeftRows::Wanted | LeftRows::Unwanted)));
    }
}

#[tokio::test]
async fn a_run_that_its_runner_has_ended_wants_the_rows_it_has_not_got() {
    for world in worlds().await {
        let held = world.loading().await;
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        assert_eq!(left(&world, &held).await, LeftRows::Wanted);

        let held = world.loading().await;
        let whole = store::Ending { requests: Some(stored(&held)), ..ending(State::Completed) };
        world.store.finish(&held, whole).await.unwrap();
        assert_eq!(left(&world, &held).await, LeftRows::Unwanted);
    }
}

#[tokio::test]
async fn a_run_that_was_cancelled_while_its_runner_was_silent_gets_its_rows() {
    for world in worlds().await {
        let held = world.loading().await;
        world.store.cancel(held.id).await.unwrap();
        assert_eq!(left(&world, &held).await, LeftRows::Early);
        world.expire(held.id).await;
        assert_eq!(world.store.sweep().await.unwrap().cancelled, [held.id]);
        assert_eq!(keep(&world, &held).await, LeftRows::Wanted);
    }
}

#[tokio::test]
async fn a_run_that_is_sent_again_has_no_use_for_the_rows_of_the_first_time() {
    for world in worlds().await {
        let held = world.loading().await;
        world.execute(&world.asking_to_rerun(held.id)).await.unwrap();
        world.expire(held.id).await;
        assert_eq!(world.store.sweep().await.unwrap().requeued, [held.id]);
        assert_eq!(left(&world, &held).await, LeftRows::Unwanted, "it waits");

        let again = world.claim("runner-b").await.unwrap().held;
        assert_eq!(left(&world, &held).await, LeftRows::Unwanted, "it is claimed");
        world.store.load_starts(&again, "m").await.unwrap();
        world.store.finish(&again, ending(State::Completed)).await.unwrap();
        assert_eq!(keep(&world, &held).await, LeftRows::Unwanted, "it is over");
        assert_eq!(world.store.requests(held.id).await.unwrap(), []);
    }
}

#[tokio::test]
async fn rows_of_another_database_or_of_a_deleted_benchmark_are_nobodys() {
    for world in worlds().await {
        let held = world.loading().await;
        world.expire(held.id).await;
        world.store.sweep().await.unwrap();
        // A run with the same number and fence, elsewhere.
        let other = runner("runner-of-another-database");
        let judged = world.store.left_rows(&held, &other, &requests_of(0)).await.unwrap();
        assert_eq!(judged, LeftRows::Unknown);
        let later = Held { fence: held.fence + 1, ..held };
        assert_eq!(left(&world, &later).await, LeftRows::Unknown);

        assert_eq!(world.store.delete(held.id, false).await.unwrap(), Deletion::Deleted);
        assert_eq!(left(&world, &held).await, LeftRows::Unknown);
        assert_eq!(keep(&world, &held).await, LeftRows::Unknown);
    }
}

/// The world's store with artifacts, and a file of `held` among them.
async fn with_file(world: &World, held: &Held) -> (Store, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::in_folder(folder.path()).unwrap();
    let file = tempfile::tempfile().unwrap();
    let key = artifacts.put_rows(held, &requests_of(0), file, 0).await.unwrap();
    assert_eq!(key, stored(held).key);
    let store = world.store.clone().with_artifacts(artifacts);
    (store, folder)
}

#[tokio::test]
async fn rows_are_withdrawn_from_the_artifact_store_unless_they_are_the_runs() {
    for world in worlds().await {
        let held = world.loading().await;
        let (store, folder) = with_file(&world, &held).await;
        let file = folder.path().join(stored(&held).key);
        world.expire(held.id).await;
        store.sweep().await.unwrap();
        assert_eq!(keep(&world, &held).await, LeftRows::Wanted);
        store.withdraw_rows(&held, &requests_of(0)).await.unwrap();
        assert!(file.exists(), "they are its rows");

        let other = Held { fence: held.fence + 1, ..held };
        let (store, folder) = with_file(&world, &other).await;
        let file = folder.path().join(stored(&other).key);
        assert!(file.exists());
        store.withdraw_rows(&other, &requests_of(0)).await.unwrap();
        assert!(!file.exists(), "nobody names them");
    }
}
