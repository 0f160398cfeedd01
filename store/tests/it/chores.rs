//! What one process does for all, and what becomes of it when that one dies.

use std::time::{Duration, Instant};

use futures::future::join_all;
use store::Lease;
use tokio::time::sleep;

use crate::world::{World, worlds};

/// A lease whose sweep is due twice a second.
const SHORT: Lease = Lease { ttl: Duration::from_secs(2), grace: Duration::ZERO };

/// Eight processes ask at once; how many of them swept.
async fn ask_all(world: &World) -> usize {
    let stores = join_all((0..8).map(|_| world.another_store())).await;
    let swept = join_all(stores.iter().map(store::Store::sweep_if_due)).await;
    swept.into_iter().filter_map(Result::unwrap).count()
}

async fn due_at(world: &World, at: &str) {
    let moved = format!("UPDATE chore SET due_at_ms = {at} WHERE name = 'sweep'");
    assert_eq!(world.execute(&moved).await.unwrap(), 1);
}

/// The database's clock, as SQL.
fn now(world: &World) -> &'static str {
    if world.database.is_postgres() {
        "(extract(epoch from clock_timestamp()) * 1000)::bigint"
    } else {
        "cast(unixepoch('subsec') * 1000 as integer)"
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_all_processes_one_sweeps_at_a_time() {
    for world in worlds().await {
        assert_eq!(ask_all(&world).await, 1);
        assert_eq!(ask_all(&world).await, 0, "it has just been done");
        due_at(&world, "1").await;
        assert_eq!(ask_all(&world).await, 1);
        // The server's clock was an hour ahead, and has been put right.
        due_at(&world, &format!("{} + 3600000", now(&world))).await;
        assert_eq!(ask_all(&world).await, 1);
    }
}

#[tokio::test]
async fn a_sweeper_that_dies_over_it_delays_nothing_by_more_than_one_interval() {
    for world in worlds().await {
        let store = world.another_store_with(SHORT).await;
        let held = world.loading().await;
        world.expire(held.id).await;
        let begun = Instant::now();
        // As somebody leaves it who took the chore and did nothing.
        let due_ms = SHORT.sweep_every().as_millis();
        due_at(&world, &format!("{} + {due_ms}", now(&world))).await;
        let swept = loop {
            if let Some(swept) = store.sweep_if_due().await.unwrap() {
                break swept;
            }
            sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(swept.lost, [held.id]);
        assert!(begun.elapsed() <= SHORT.sweep_every() + Duration::from_millis(200));
    }
}

#[tokio::test]
async fn whoever_is_alone_sweeps_each_time_it_asks() {
    for world in worlds().await {
        let store = world.another_store_with(SHORT).await;
        for _ in 0..4 {
            assert!(store.sweep_if_due().await.unwrap().is_some());
            sleep(SHORT.sweep_every()).await;
        }
    }
}

#[tokio::test]
async fn what_is_old_is_thrown_away_by_one_process_in_ten_minutes() {
    for world in worlds().await {
        let gone = || async {
            let runner = "INSERT INTO runner (id, name, version, state, max_users, booted_at_ms, \
                          last_seen_ms) VALUES ('r', 'r', '1', 'gone', 1, 1, 1)";
            world.execute(runner).await.unwrap();
        };
        gone().await;
        assert_eq!(world.another_store().await.sweep().await.unwrap().pruned, 1);
        gone().await;
        assert_eq!(world.another_store().await.sweep().await.unwrap().pruned, 0);
        world.prune_is_due().await;
        assert_eq!(world.another_store().await.sweep().await.unwrap().pruned, 1);
    }
}
