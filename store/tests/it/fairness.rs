//! Owners take turns, whatever each has queued; targets are left alone for a while.

use std::time::Duration;

use shared::{BenchmarkId, State};
use store::{Rules, Store};
use tokio::time::sleep;

use crate::world::{World, ending, request, worlds};

/// Submits as `owner`, each to a target of its own.
async fn submit(world: &World, owner: &str, priority: &str) -> BenchmarkId {
    let port = 1_000 + world.count("SELECT count(*) FROM benchmark").await;
    let url = format!("http://llm.example:{port}");
    let asked = request(&[("url", &url), ("priority", priority)]);
    world.store.submit(asked, owner, None).await.unwrap().benchmark.id
}

async fn owner(world: &World, id: BenchmarkId) -> String {
    let known = ["alice", "bob", "carol"];
    for name in known {
        let sql = format!("SELECT count(*) FROM benchmark WHERE id = {id} AND owner = '{name}'");
        if world.count(&sql).await == 1 {
            return name.to_owned();
        }
    }
    panic!("{id} has no owner");
}

/// Claims and ends one after the other, as a single runner does; whose they were.
async fn worked_off(world: &World, most: usize) -> Vec<String> {
    let mut order = Vec::new();
    while order.len() < most {
        let Some(claim) = world.claim("r").await else { break };
        order.push(owner(world, claim.held.id).await);
        // So that no two began within one millisecond.
        sleep(Duration::from_millis(2)).await;
        world.store.finish(&claim.held, ending(State::Completed)).await.unwrap();
    }
    order
}

#[tokio::test]
async fn who_queues_two_does_not_wait_behind_twenty_of_another() {
    for world in worlds().await {
        for _ in 0..20 {
            submit(&world, "alice", "0").await;
        }
        for _ in 0..2 {
            submit(&world, "bob", "0").await;
        }
        let order = worked_off(&world, 30).await;
        assert_eq!(order.len(), 22);
        assert_eq!(order[..5], ["alice", "bob", "alice", "bob", "alice"]);
    }
}

#[tokio::test]
async fn whoever_has_fewer_active_goes_first_and_priority_before_that() {
    for world in worlds().await {
        for _ in 0..4 {
            submit(&world, "alice", "0").await;
        }
        for _ in 0..3 {
            world.claim("r").await.unwrap();
        }
        let bobs = [submit(&world, "bob", "0").await, submit(&world, "bob", "0").await];
        let carols = submit(&world, "carol", "1").await;
        let alices = submit(&world, "alice", "2").await;
        let mut next = Vec::new();
        for _ in 0..4 {
            next.push(world.claim("r").await.unwrap().held.id);
            sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(next, [alices, carols, bobs[0], bobs[1]]);
    }
}

#[tokio::test]
async fn one_owner_alone_is_worked_off_by_age() {
    for world in worlds().await {
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(submit(&world, "alice", "0").await);
        }
        for id in ids {
            assert_eq!(world.claim("r").await.unwrap().held.id, id);
        }
    }
}

#[tokio::test]
async fn a_benchmark_keeps_its_owner() {
    for world in worlds().await {
        submit(&world, "alice", "0").await;
        let refused = world.execute("UPDATE benchmark SET owner = 'bob'").await.unwrap_err();
        assert!(refused.to_string().contains("cannot change"), "{refused}");
    }
}

async fn with_cooldown(world: &World, cooldown: Duration) -> Store {
    world.another_store().await.with_rules(Rules { cooldown, ..Rules::default() })
}

#[tokio::test]
async fn targets_are_left_alone_after_a_run_that_loaded_them() {
    for world in worlds().await {
        let store = with_cooldown(&world, Duration::from_secs(3)).await;
        let runner = shared::RunnerId("r".into());
        let claim = async || store.claim(&runner, 10_000).await.unwrap().map(|claim| claim.held);
        world.submit_to_all("http://a.example", "http://b.example").await;
        let next = world.submit_to("http://b.example").await.id;
        let held = claim().await.unwrap();
        store.load_starts(&held, "tiny").await.unwrap();
        let tickets = world.tickets().await;
        store.finish(&held, ending(State::Completed)).await.unwrap();
        assert!(claim().await.is_none(), "b.example has been under load just now");
        assert_eq!(world.tickets().await, tickets + 1, "somebody must look later");
        let ahead = if world.database.is_postgres() {
            "SELECT count(*) FROM apalis.jobs WHERE run_at > now() + interval '1 second'"
        } else {
            "SELECT count(*) FROM Jobs WHERE run_at > unixepoch() + 1"
        };
        assert_eq!(world.count(ahead).await, 1, "and not before");
        assert_eq!(store.sweep().await.unwrap().tickets, 0);
        sleep(Duration::from_millis(3_050)).await;
        assert_eq!(claim().await.map(|held| held.id), Some(next));
    }
}

#[tokio::test]
async fn a_target_that_got_no_load_need_not_cool_down() {
    for world in worlds().await {
        let store = with_cooldown(&world, Duration::from_mins(1)).await;
        world.submit_to("http://a.example").await;
        let next = world.submit_to("http://a.example").await.id;
        let runner = shared::RunnerId("r".into());
        let held = store.claim(&runner, 10_000).await.unwrap().unwrap().held;
        store.finish(&held, ending(State::Failed)).await.unwrap();
        assert_eq!(store.claim(&runner, 10_000).await.unwrap().unwrap().held.id, next);
    }
}
