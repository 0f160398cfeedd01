//! Who is counted as free for a load of several runners is there for it, whatever else is claimed at
//! that moment.

use std::time::Duration;

use sea_orm::{ConnectionTrait, TransactionTrait};
use shared::{RunnerId, State};
use store::{Claim, Registration, ShardClaim, Store, StoreError};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    model::{clear, setting},
    world::{World, registration, worlds},
};

/// Statements of this database that wait for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// What a runner takes up in one look.
#[derive(Debug)]
enum Took {
    Run(Box<Claim>),
    Shard(Box<ShardClaim>),
    Nothing,
}

/// As a runner looks: a shard only where it is told that one waits.
async fn look(store: &Store, runner: &str) -> Took {
    let runner = RunnerId(runner.into());
    match store.claim(&runner, 1_000).await {
        Ok(claim) => claim.map_or(Took::Nothing, |claim| Took::Run(Box::new(claim))),
        Err(StoreError::ShardWaits) => {
            let shard = store.claim_shard(&runner, 1_000).await.unwrap();
            shard.map_or(Took::Nothing, |shard| Took::Shard(Box::new(shard)))
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// These look at the same moment, each in a process of its own; what each takes up.
async fn meeting<const N: usize>(
    world: &World,
    runners: [&'static str; N],
) -> Vec<(&'static str, Took)> {
    let mut looking = JoinSet::new();
    for name in runners {
        let store = world.another_store().await;
        looking.spawn(async move { (name, look(&store, name).await) });
    }
    looking.join_all().await
}

#[tokio::test]
async fn whom_a_load_waits_for_claims_nothing_before_it() {
    for world in worlds().await {
        world.runners(&["a", "b", "c"]).await;
        for name in ["a", "b"] {
            let labels = "gpu=h100".parse().unwrap();
            let labelled = Registration { max_users: 1_000, labels, ..registration(name) };
            world.store.register(&labelled).await.unwrap();
        }
        let together = world.submit_with(&[("runners", "2"), ("labels", "gpu=h100")]).await;
        let first = world.submit_with(&[]).await;
        let second = world.submit_with(&[]).await;
        let claim = world.claim_of("a").await.unwrap();
        assert_eq!((claim.held.id, claim.shards), (together, 2));

        let refused = world.store.claim(&RunnerId("b".into()), 1_000).await;
        assert!(matches!(refused, Err(StoreError::ShardWaits)), "{refused:?}");
        assert_eq!(world.claim_of("c").await.unwrap().held.id, first, "c has no such label");
        let few_users = world.store.claim(&RunnerId("b".into()), 49).await;
        assert!(few_users.unwrap().is_none(), "half of 100 users are too many for it");

        let shard = world.shard_of("b").await.unwrap().held;
        assert_eq!(shard.run, claim.held);
        world.store.end_shard(&shard, None, None).await.unwrap();
        assert_eq!(world.claim_of("b").await.unwrap().held.id, second);
    }
}

#[tokio::test]
async fn no_more_runners_than_64_make_a_load_however_many_there_are() {
    for world in worlds().await {
        for nth in 0..66 {
            let small = Registration { max_users: 10, ..registration(&format!("r{nth}")) };
            world.store.register(&small).await.unwrap();
        }
        let too_many = world.submit_with(&[("user", "641")]).await;
        let runner = RunnerId("r0".into());
        assert!(world.store.claim(&runner, 10).await.unwrap().is_none(), "64 take 640");
        assert_eq!(world.store.queue_state().await.unwrap().too_large, 1);
        let together = world.submit_with(&[("user", "640")]).await;
        let claim = world.store.claim(&runner, 10).await.unwrap().unwrap();
        assert_eq!((claim.held.id, claim.shards), (together, 64));
        assert_eq!(world.count("SELECT sum(users) FROM benchmark_shard").await, 630);
        assert_eq!(world.status(too_many).await, State::Queued);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_claims_something_at_that_moment_is_not_free() {
    for world in worlds().await {
        if !world.database.is_postgres() {
            continue; // it has one writer at a time
        }
        world.runners(&["a", "b"]).await;
        let alone = world.submit_with(&[("priority", "1")]).await;
        let together = world.submit_with(&[("runners", "2")]).await;
        // In the middle of its claim b has to wait for the row of its target.
        let target = world.sql.begin().await.unwrap();
        let lock =
            format!("SELECT 1 FROM benchmark_target WHERE benchmark_id = {alone} FOR UPDATE");
        target.execute_unprepared(&lock).await.unwrap();
        let mut looking = JoinSet::new();
        for (nth, name) in (1..).zip(["b", "a"]) {
            let store = world.another_store().await;
            looking.spawn(async move { look(&store, name).await });
            // Until it waits as well; or has ended, without having waited for b.
            for _ in 0..100 {
                if world.count(WAITING).await >= nth {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        target.rollback().await.unwrap();
        let mut runs = Vec::new();
        for took in looking.join_all().await {
            match took {
                Took::Run(claim) => runs.push((claim.held.id, claim.shards)),
                Took::Shard(shard) => panic!("nobody gathers: {shard:?}"),
                Took::Nothing => {}
            }
        }
        assert_eq!(runs, [(alone, 1)], "b was busy when a looked");
        assert_eq!(world.status(together).await, State::Queued);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_counted_comes_however_claims_meet() {
    for world in worlds().await {
        let (mut gathered, rounds) = (0, 8 * setting("MODEL_RACES", 1));
        for round in 0..rounds {
            clear(&world).await;
            world.runners(&["a", "b", "c", "d"]).await;
            for nth in 0..3 {
                let runners = if nth == round % 3 { "3" } else { "1" };
                world.submit_with(&[("runners", runners)]).await;
            }
            let took = meeting(&world, ["a", "b", "c", "d"]).await;
            let (mut wanted, mut came) = (0, 0);
            for (name, took) in &took {
                match took {
                    Took::Run(claim) => wanted += claim.shards - 1,
                    Took::Shard(_) => came += 1,
                    // Its look may have been over before there was a shard.
                    Took::Nothing => came += u32::from(world.shard_of(name).await.is_some()),
                }
            }
            assert_eq!(came, wanted, "round {round}: {took:?}");
            gathered += u32::from(wanted > 0);
        }
        println!("{:?}: gathered in {gathered} of {rounds} meetings", world.backend());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runners_that_are_promised_to_one_load_are_not_free_for_another() {
    for world in worlds().await {
        world.runners(&["a", "b", "c"]).await;
        for _ in 0..4 {
            world.submit_with(&[("runners", "2")]).await;
        }
        let took = meeting(&world, ["a", "b", "c"]).await;
        let claims = took.iter().filter(|(_, took)| matches!(took, Took::Run(_))).count();
        assert_eq!(claims, 1, "three runners are enough for one of them: {took:?}");
    }
}
