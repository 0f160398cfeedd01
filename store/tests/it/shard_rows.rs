//! The rows of a load that several runners make: each tells where its own are, and its run has them
//! however it ends.

use shared::{Reason, ReasonCode, RunnerId, State};
use store::{
    Artifacts, Claim, Ending, HeldShard, LeftRows, Renewal, Rules, Store, StoreError,
    StoredRequests, requests_of,
};

use crate::shards::AHEAD;
use crate::world::{World, ending, worlds};

fn file(claim: &Claim, shard: u32) -> StoredRequests {
    let (held, name) = (claim.held, requests_of(shard));
    let key = format!("benchmarks/{}/run-{}/{name}.parquet", held.id, held.fence);
    StoredRequests { key, rows: 10 + u64::from(shard), bytes: 4 }
}

fn ending_with(claim: &Claim, to: State) -> Ending {
    Ending { requests: Some(file(claim, 0)), ..ending(to) }
}

impl World {
    /// A run of `a`, `b` and `c` whose load has begun.
    async fn loading_together(&self) -> (Claim, HeldShard, HeldShard) {
        let (claim, b, c) = self.gathered().await;
        self.store.load_starts_together(&claim.held, "tiny", 3, AHEAD).await.unwrap();
        (claim, b, c)
    }

    /// Ends the shard with its rows.
    async fn told(&self, claim: &Claim, shard: &HeldShard) -> Result<(), StoreError> {
        self.store.shard_measured(shard, None, None).await?;
        let stored = Ok(file(claim, shard.shard));
        self.store.end_shard(shard, None, Some(&stored)).await
    }

    async fn files(&self, claim: &Claim) -> Vec<StoredRequests> {
        self.store.requests(claim.held.id).await.unwrap()
    }

    async fn left(&self, claim: &Claim, shard: u32) -> LeftRows {
        let holder = RunnerId("a".to_owned());
        self.store.left_rows(&claim.held, &holder, &requests_of(shard)).await.unwrap()
    }

    async fn keep_left(&self, claim: &Claim, shard: u32) -> LeftRows {
        let (holder, name) = (RunnerId("a".to_owned()), requests_of(shard));
        let stored = file(claim, shard);
        self.store.keep_left_rows(&claim.held, &holder, &name, stored).await.unwrap()
    }
}

#[tokio::test]
async fn a_run_has_the_rows_of_all_its_runners_when_it_ends_and_not_before() {
    for world in worlds().await {
        let (claim, b, c) = world.loading_together().await;
        world.told(&claim, &c).await.unwrap();
        world.told(&claim, &b).await.unwrap();
        assert_eq!(world.files(&claim).await, []);
        let told = world.store.shards(&claim.held).await.unwrap();
        let told: Vec<_> = told.into_iter().map(|shard| shard.requests).collect();
        assert_eq!(told, [Some(Ok(file(&claim, 1))), Some(Ok(file(&claim, 2)))]);

        let ending = ending_with(&claim, State::Completed);
        world.store.finish(&claim.held, ending.clone()).await.unwrap();
        let all = [0, 1, 2].map(|shard| file(&claim, shard));
        assert_eq!(world.files(&claim).await, all);
        for shard in 0..3 {
            assert_eq!(world.left(&claim, shard).await, LeftRows::Unwanted, "it has them");
        }
        // its answer was lost, and it ends it again
        world.store.finish(&claim.held, ending).await.unwrap();
        assert_eq!(world.files(&claim).await, all);
    }
}

#[tokio::test]
async fn a_run_that_somebody_else_ends_has_the_rows_that_were_told_of() {
    for world in worlds().await {
        for to in [State::Lost, State::Cancelled, State::TimedOut] {
            let (claim, b, _) = world.loading_together().await;
            world.told(&claim, &b).await.unwrap();
            let id = claim.held.id;
            match to {
                State::Lost => world.expire(id).await,
                State::Cancelled => {
                    world.store.cancel(id).await.unwrap();
                    world.expire(id).await;
                }
                _ => {
                    let overdue = "UPDATE benchmark SET run_deadline_ms = 1 WHERE id =";
                    world.execute(&format!("{overdue} {id}")).await.unwrap();
                }
            }
            world.store.sweep().await.unwrap();
            assert_eq!(world.status(id).await, to);
            assert_eq!(world.files(&claim).await, [file(&claim, 1)]);
            // Those of the others are wanted still.
            assert_eq!(world.left(&claim, 1).await, LeftRows::Unwanted);
            for shard in [0, 2] {
                assert_eq!(world.keep_left(&claim, shard).await, LeftRows::Wanted);
            }
            assert_eq!(world.files(&claim).await, [0, 1, 2].map(|shard| file(&claim, shard)));
        }
    }
}

#[tokio::test]
async fn a_run_that_is_sent_again_has_no_rows_of_the_first_time() {
    for world in worlds().await {
        let (claim, b, c) = world.loading_together().await;
        world.execute(&world.asking_to_rerun(claim.held.id)).await.unwrap();
        world.told(&claim, &b).await.unwrap();
        world.expire(claim.held.id).await;
        assert_eq!(world.store.sweep().await.unwrap().requeued, [claim.held.id]);
        let late = world.told(&claim, &c).await;
        assert!(matches!(late, Err(StoreError::Lost(_))), "{late:?}");
        for shard in 0..3 {
            assert_eq!(world.left(&claim, shard).await, LeftRows::Unwanted);
        }
        let again = world.claim_of("a").await.unwrap();
        world.shard_of("b").await.unwrap();
        let ending = ending_with(&again, State::Failed);
        world.store.finish(&again.held, ending).await.unwrap();
        assert_eq!(world.files(&claim).await, [file(&again, 0)]);
    }
}

#[tokio::test]
async fn who_comes_after_the_end_brings_the_rows_as_those_of_a_lost_run_are_brought() {
    for world in worlds().await {
        let (claim, b, c) = world.loading_together().await;
        world.told(&claim, &b).await.unwrap();
        for shard in 0..3 {
            assert_eq!(world.left(&claim, shard).await, LeftRows::Early);
        }
        let ending = ending_with(&claim, State::Failed);
        world.store.finish(&claim.held, ending).await.unwrap();
        let late = world.told(&claim, &c).await;
        assert!(matches!(late, Err(StoreError::Lost(_))), "{late:?}");
        assert_eq!(world.keep_left(&claim, 2).await, LeftRows::Wanted);
        assert_eq!(world.keep_left(&claim, 2).await, LeftRows::Unwanted);
        assert_eq!(world.files(&claim).await, [0, 1, 2].map(|shard| file(&claim, shard)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_told_of_in_the_moment_of_the_end_are_kept_or_their_runner_hears_that_it_is_too_late()
{
    for world in worlds().await {
        let other = world.another_store().await;
        for _ in 0..8 {
            let (claim, b, c) = world.loading_together().await;
            let telling = async |shard: &HeldShard| {
                let stored = Ok(file(&claim, shard.shard));
                other.end_shard(shard, None, Some(&stored)).await
            };
            let ending = ending_with(&claim, State::Completed);
            let (ended, of_b, of_c) =
                tokio::join!(world.store.finish(&claim.held, ending), telling(&b), telling(&c));
            assert_eq!(ended.unwrap(), State::Completed);
            let mut expected = vec![file(&claim, 0)];
            for (shard, told) in [(1, of_b), (2, of_c)] {
                match told {
                    Ok(()) => expected.push(file(&claim, shard)),
                    Err(StoreError::Lost(_)) => {
                        assert_eq!(world.left(&claim, shard).await, LeftRows::Wanted);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
            assert_eq!(world.files(&claim).await, expected);
        }
    }
}

#[tokio::test]
async fn a_runner_that_has_measured_keeps_its_shard_until_its_rows_are_stored() {
    for world in worlds().await {
        let (claim, b, c) = world.loading_together().await;
        let store = &world.store;
        let reason = Reason::new(ReasonCode::RunnerShutdown, "stopped");
        // its answer was lost, and it tells it again
        for _ in 0..2 {
            store.shard_measured(&b, Some(&reason), None).await.unwrap();
        }
        assert_eq!(store.renew_shard(&b).await.unwrap().0, Renewal::Held);
        let [first, second] = store.shards(&claim.held).await.unwrap().try_into().unwrap();
        assert_eq!((first.is_measured, first.status.is_over()), (true, false));
        assert_eq!((first.reason, first.requests), (Some(reason.clone()), None));
        assert!(!second.is_measured);

        let unkept = Err("the artifact store failed".to_owned());
        store.end_shard(&b, Some(&reason), Some(&unkept)).await.unwrap();
        store.end_shard(&c, None, None).await.unwrap();
        let [first, second] = store.shards(&claim.held).await.unwrap().try_into().unwrap();
        assert!(first.is_measured && first.status.is_over() && second.is_measured);
        assert_eq!((first.requests, second.requests), (Some(unkept), None));
        store.finish(&claim.held, ending_with(&claim, State::Failed)).await.unwrap();
        assert_eq!(world.files(&claim).await, [file(&claim, 0)]);
    }
}

#[tokio::test]
async fn a_shard_knows_who_holds_its_run() {
    for world in worlds().await {
        world.gathered().await;
        world
            .execute("UPDATE benchmark_shard SET status = 'waiting', runner_id = NULL")
            .await
            .unwrap();
        let shard = world.shard_of("d").await.unwrap();
        assert_eq!(shard.holder, RunnerId("a".to_owned()));
    }
}

/// A store with artifacts, and a run that has ended with a file of each of its runners there.
async fn with_files(world: &World, folder: &std::path::Path) -> (Store, Claim) {
    let artifacts = Artifacts::in_folder(folder).unwrap();
    let (claim, b, c) = world.loading_together().await;
    for shard in 0..3 {
        let empty = tempfile::tempfile().unwrap();
        let key = artifacts.put_rows(&claim.held, &requests_of(shard), empty, 0).await.unwrap();
        assert_eq!(key, file(&claim, shard).key);
    }
    for shard in [&b, &c] {
        world.told(&claim, shard).await.unwrap();
    }
    world.store.finish(&claim.held, ending_with(&claim, State::Completed)).await.unwrap();
    (world.store.clone().with_artifacts(artifacts), claim)
}

#[tokio::test]
async fn all_files_go_with_their_benchmark_or_when_they_were_kept_for_long_enough() {
    for world in worlds().await {
        let folder = tempfile::tempdir().unwrap();
        let (store, claim) = with_files(&world, folder.path()).await;
        let there = |claim: &Claim| {
            let files = (0..3).map(|shard| folder.path().join(file(claim, shard).key));
            files.filter(|file| file.exists()).count()
        };
        assert_eq!(there(&claim), 3);
        store.delete(claim.held.id, false).await.unwrap();
        assert_eq!(there(&claim), 0);

        let (store, claim) = with_files(&world, folder.path()).await;
        assert_eq!(there(&claim), 3);
        world.prune_is_due().await;
        let rules = Rules { retain: Some(std::time::Duration::ZERO), ..Rules::default() };
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert_eq!(store.with_rules(rules).sweep().await.unwrap().pruned, 1);
        assert_eq!(there(&claim), 0);
        assert_eq!(world.files(&claim).await, []);
    }
}
