//! One load, several runners: who takes which part, when all begin, and what ends their right to it.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::report::ShardEnvironment;
use shared::{BenchmarkId, Progress, Reason, ReasonCode, RunnerId, State};
use store::{
    Claim, HeldShard, Lease, Registration, Renewal, ShardClaim, ShardStatus, Store, StoreError,
};

use crate::world::{World, ending, registration, report, request, worlds};

pub(crate) const AHEAD: Duration = Duration::from_secs(2);

impl World {
    /// Runners of these names, there and free, each for 1,000 users.
    pub(crate) async fn runners(&self, names: &[&str]) {
        for name in names {
            let registration = Registration { max_users: 1_000, ..registration(name) };
            self.store.register(&registration).await.unwrap();
        }
    }

    pub(crate) async fn submit_with(&self, fields: &[(&str, &str)]) -> BenchmarkId {
        let port = 1_000 + self.count("SELECT count(*) FROM benchmark").await;
        let url = format!("http://llm.example:{port}");
        let fields: Vec<_> = [("url", &*url)].into_iter().chain(fields.iter().copied()).collect();
        self.store.create(request(&fields)).await.unwrap().id
    }

    pub(crate) async fn claim_of(&self, runner: &str) -> Option<Claim> {
        self.store.claim(&RunnerId(runner.into()), 1_000).await.unwrap()
    }

    pub(crate) async fn shard_of(&self, runner: &str) -> Option<ShardClaim> {
        self.store.claim_shard(&RunnerId(runner.into()), 1_000).await.unwrap()
    }

    /// A run of three runners, `a`, `b` and `c`; `b` and `c` have their shards and are ready.
    pub(crate) async fn gathered(&self) -> (Claim, HeldShard, HeldShard) {
        self.runners(&["a", "b", "c"]).await;
        self.submit_with(&[("runners", "3")]).await;
        let claim = self.claim_of("a").await.unwrap();
        let mut held = Vec::new();
        for runner in ["b", "c"] {
            let shard = self.shard_of(runner).await.unwrap().held;
            ready(&self.store, &shard).await.unwrap();
            held.push(shard);
        }
        let [b, c] = held.try_into().unwrap();
        (claim, b, c)
    }
}

async fn ready(store: &Store, held: &HeldShard) -> Result<(), StoreError> {
    let environment = ShardEnvironment { shard: held.shard, ..ShardEnvironment::default() };
    store.shard_ready(held, &environment).await
}

#[tokio::test]
async fn it_waits_for_as_many_runners_as_it_wants_and_lets_others_go_first() {
    for world in worlds().await {
        world.runners(&["a"]).await;
        let together = world.submit_with(&[("runners", "2")]).await;
        let alone = world.submit_with(&[]).await;
        assert_eq!(world.claim_of("a").await.unwrap().held.id, alone, "nobody else is there");
        world.runners(&["b", "c"]).await;
        // a is busy, and there are enough; b and c are free
        let claim = world.claim_of("b").await.unwrap();
        assert_eq!((claim.held.id, claim.shards), (together, 2));

        // with b's run and a's there is no third and fourth for the next
        let next = world.submit_with(&[("runners", "2")]).await;
        let shard = world.shard_of("c").await.unwrap();
        assert_eq!((shard.held.run, shard.held.shard, shard.of), (claim.held, 1, 2));
        world.runners(&["d"]).await;
        assert!(world.claim_of("d").await.is_none(), "d is free, and nobody else");
        assert_eq!(world.status(next).await, State::Queued);
    }
}

#[tokio::test]
async fn after_a_while_runners_are_kept_free_for_it() {
    for world in worlds().await {
        world.runners(&["a", "b"]).await;
        let first = world.submit_with(&[]).await;
        assert_eq!(world.claim_of("a").await.unwrap().held.id, first);
        let together = world.submit_with(&[("runners", "2")]).await;
        let alone = world.submit_with(&[]).await;
        for column in ["run_at_ms", "queued_at_ms"] {
            let longer =
                format!("UPDATE benchmark SET {column} = {column} - 31000 WHERE id = {together}");
            world.execute(&longer).await.unwrap();
        }
        assert!(world.claim_of("b").await.is_none(), "b is kept free");
        let held = store::Held { id: first, fence: 1 };
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        let claim = world.claim_of("b").await.unwrap();
        assert_eq!((claim.held.id, claim.shards), (together, 2));
        let shard = world.shard_of("a").await.unwrap();
        world.store.end_shard(&shard.held, None, None).await.unwrap();
        assert_eq!(world.claim_of("a").await.unwrap().held.id, alone);
    }
}

#[tokio::test]
async fn more_users_than_one_runner_takes_are_shared_by_as_many_as_it_takes() {
    for world in worlds().await {
        world.runners(&["a", "b"]).await;
        let id = world.submit_with(&[("user", "2500")]).await;
        assert!(world.claim_of("a").await.is_none(), "two take 2,000");
        world.runners(&["c"]).await;
        let claim = world.claim_of("a").await.unwrap();
        assert_eq!((claim.held.id, claim.shards), (id, 3));
        let users = world.count("SELECT sum(users) FROM benchmark_shard").await;
        assert_eq!(users, 833 + 833, "the first has 834");
        let small = world.store.claim_shard(&RunnerId("b".into()), 800).await.unwrap();
        assert!(small.is_none(), "800 are too few");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_shard_is_taken_once_however_many_ask() {
    for world in worlds().await {
        world.runners(&["a", "b", "c", "d", "e"]).await;
        world.submit_with(&[("runners", "5"), ("api_key", "sk-1")]).await;
        let claim = world.claim_of("a").await.unwrap();
        let mut asking = tokio::task::JoinSet::new();
        for nth in 0..8 {
            let store = world.another_store().await;
            asking.spawn(async move {
                store.claim_shard(&RunnerId(format!("runner-{nth}")), 1_000).await.unwrap()
            });
        }
        let mut taken = BTreeSet::new();
        for shard in asking.join_all().await.into_iter().flatten() {
            assert_eq!((shard.held.run, shard.of), (claim.held, 5));
            assert_eq!(shard.spec, claim.spec);
            assert!(shard.api_key.unwrap().is_some());
            assert!(taken.insert(shard.held.shard), "twice: {}", shard.held);
        }
        while let Some(shard) = world.shard_of("late").await {
            assert!(taken.insert(shard.held.shard));
        }
        assert_eq!(taken, BTreeSet::from([1, 2, 3, 4]));
    }
}

#[tokio::test]
async fn no_load_begins_before_all_are_ready_and_then_all_begin_at_one_instant() {
    for world in worlds().await {
        world.runners(&["a", "b", "c"]).await;
        let id = world.submit_with(&[("runners", "3")]).await;
        let claim = world.claim_of("a").await.unwrap();
        let start = async || world.store.load_starts_together(&claim.held, "tiny", 3, AHEAD).await;
        assert!(matches!(start().await, Err(StoreError::NotGathered(_))));
        let b = world.shard_of("b").await.unwrap().held;
        let c = world.shard_of("c").await.unwrap().held;
        ready(&world.store, &b).await.unwrap();
        assert!(matches!(start().await, Err(StoreError::NotGathered(_))), "c prepares still");
        assert_eq!(world.store.shard_start(&b).await.unwrap(), None);
        let begun = "SELECT count(*) FROM benchmark WHERE load_started_at_ms IS NOT NULL";
        assert_eq!(world.count(begun).await, 0);

        ready(&world.store, &c).await.unwrap();
        let before = world.store.clock_us().await.unwrap();
        let start_at = start().await.unwrap();
        assert!((1_900_000..12_000_000).contains(&(start_at - before)), "{start_at} {before}");
        for shard in [&b, &c] {
            assert_eq!(world.store.shard_start(shard).await.unwrap(), Some(start_at));
        }
        assert_eq!(start().await.unwrap(), start_at, "the answer was lost, and it is asked again");
        assert_eq!(world.count(begun).await, 1);
        let states = world.store.shards(&claim.held).await.unwrap();
        let shards: Vec<u32> = states.iter().map(|state| state.shard).collect();
        assert_eq!(shards, [1, 2]);
        assert!(states.iter().all(|state| state.status == ShardStatus::Ready && !state.is_silent));
        assert_eq!(world.status(id).await, State::Running);
    }
}

#[tokio::test]
async fn what_shards_tell_is_there_until_the_run_is_over() {
    for world in worlds().await {
        let (claim, b, c) = world.gathered().await;
        let store = &world.store;
        store.load_starts_together(&claim.held, "tiny", 3, AHEAD).await.unwrap();
        let progress = Progress { requests: 7, ..Progress::default() };
        store.shard_progress(&b, &progress, None).await.unwrap();
        assert!(store.shard_figures(&claim.held).await.unwrap().is_empty());
        store.shard_progress(&b, &progress, Some(vec![1, 0, 255])).await.unwrap();
        store.shard_measured(&b, None, Some((&progress, vec![2]))).await.unwrap();
        store.end_shard(&b, None, None).await.unwrap();
        let reason = Reason::new(ReasonCode::RunnerShutdown, "stopped");
        store.end_shard(&c, Some(&reason), None).await.unwrap();
        let told = store.shard_figures(&claim.held).await.unwrap();
        assert_eq!(told, [(1, vec![2])]);
        let [first, second] = store.shards(&claim.held).await.unwrap().try_into().unwrap();
        assert_eq!((first.status, first.figures_seq), (ShardStatus::Ended, 2));
        assert_eq!(first.progress, Some(progress.clone()));
        assert_eq!((second.status, second.reason), (ShardStatus::Failed, Some(reason)));
        // who has told his end tells nothing more
        let more = store.shard_progress(&b, &progress, None).await;
        assert!(matches!(more, Err(StoreError::Lost(_))), "{more:?}");

        store.finish(&claim.held, ending(State::Completed)).await.unwrap();
        assert_eq!(world.count("SELECT count(*) FROM benchmark_shard").await, 0);
        assert_eq!(store.renew_shard(&c).await.unwrap().0, Renewal::Lost);
    }
}

#[tokio::test]
async fn when_the_run_is_lost_no_shard_may_write_or_go_on() {
    for world in worlds().await {
        let (claim, b, c) = world.gathered().await;
        let store = &world.store;
        store.load_starts_together(&claim.held, "tiny", 3, AHEAD).await.unwrap();
        world.execute(&world.asking_to_rerun(claim.held.id)).await.unwrap();
        world.expire(claim.held.id).await;
        // before anybody has swept, and after it
        assert_eq!(store.renew_shard(&b).await.unwrap().0, Renewal::Lost);
        store.sweep().await.unwrap();
        assert_eq!(world.status(claim.held.id).await, State::Queued);
        for shard in [&b, &c] {
            assert_eq!(store.renew_shard(shard).await.unwrap().0, Renewal::Lost);
            let wrote = store.end_shard(shard, None, None).await;
            assert!(matches!(wrote, Err(StoreError::Lost(_))), "{wrote:?}");
        }
        // the next try has shards of its own
        let again = world.claim_of("a").await.unwrap();
        assert_eq!((again.held.id, again.held.fence, again.shards), (claim.held.id, 3, 3));
        let next = world.shard_of("b").await.unwrap();
        assert_eq!((next.held.run, next.held.shard), (again.held, 1));
        assert!(matches!(ready(store, &b).await, Err(StoreError::Lost(_))), "an older fence");
    }
}

#[tokio::test]
async fn a_shard_may_send_no_longer_than_the_runner_that_holds_the_run() {
    for world in worlds().await {
        let (claim, b, _) = world.gathered().await;
        let lease = Lease::default();
        let (renewal, left) = world.store.renew_shard(&b).await.unwrap();
        assert_eq!(renewal, Renewal::Held);
        assert!(left <= lease.ttl && left > lease.ttl / 2, "{left:?}");
        let sooner = "UPDATE benchmark SET lease_until_ms = lease_until_ms - 40000";
        world.execute(sooner).await.unwrap();
        let (renewal, left) = world.store.renew_shard(&b).await.unwrap();
        assert_eq!(renewal, Renewal::Held);
        assert!(left <= lease.ttl.saturating_sub(Duration::from_secs(40)), "{left:?}");
        world.store.renew(&claim.held).await.unwrap();
        let (_, left) = world.store.renew_shard(&b).await.unwrap();
        assert!(left > lease.ttl / 2, "{left:?}");
    }
}

#[tokio::test]
async fn shards_hear_of_a_cancellation_and_of_the_order_to_stop() {
    for world in worlds().await {
        let (claim, b, c) = world.gathered().await;
        let store = &world.store;
        assert_eq!(store.shard_asked_to_stop(&b).await.unwrap().0, Renewal::Held);
        store.stop_shards(&claim.held).await.unwrap();
        assert_eq!(store.shard_asked_to_stop(&b).await.unwrap().0, Renewal::CancelRequested);
        store.end_shard(&b, None, None).await.unwrap();
        store.cancel(claim.held.id).await.unwrap();
        assert_eq!(store.renew_shard(&c).await.unwrap().0, Renewal::CancelRequested);
        store.finish(&claim.held, ending(State::Cancelled)).await.unwrap();
        let late = store.stop_shards(&claim.held).await;
        assert!(matches!(late, Err(StoreError::Lost(_))), "{late:?}");
    }
}

#[tokio::test]
async fn before_the_load_a_silent_runner_s_shard_goes_to_another() {
    for world in worlds().await {
        let (claim, b, c) = world.gathered().await;
        let store = &world.store;
        world
            .execute("UPDATE benchmark_shard SET lease_until_ms = 1 WHERE shard = 1")
            .await
            .unwrap();
        assert!(store.shards(&claim.held).await.unwrap()[0].is_silent);
        let start = store.load_starts_together(&claim.held, "tiny", 3, AHEAD).await;
        assert!(matches!(start, Err(StoreError::NotGathered(_))), "{start:?}");
        store.offer_shards_again(&claim.held).await.unwrap();
        assert!(matches!(ready(store, &b).await, Err(StoreError::Lost(_))), "b comes back late");
        store.give_back_shard(&c).await.unwrap();
        for (runner, shard) in [("d", 1), ("e", 2)] {
            let taken = world.shard_of(runner).await.unwrap().held;
            assert_eq!(taken.shard, shard);
            ready(store, &taken).await.unwrap();
        }
        store.load_starts_together(&claim.held, "tiny", 3, AHEAD).await.unwrap();
        // and from then on to nobody
        world.execute("UPDATE benchmark_shard SET lease_until_ms = 1").await.unwrap();
        store.offer_shards_again(&claim.held).await.unwrap();
        assert!(world.shard_of("f").await.is_none());
        assert!(report(1).environment.shards.is_empty());
    }
}
