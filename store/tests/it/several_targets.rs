//! One run a target, for each target of a run that has several.

use std::{collections::BTreeSet, time::Duration};

use shared::{State, TargetUrl};
use store::{Held, Neighbour, Rules, StoreError};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    claiming::claim_all,
    world::{World, ending, request, worlds},
};

const A: &str = "http://a.example";
const B: &str = "http://b.example";
const C: &str = "http://c.example";
const D: &str = "http://d.example";

async fn active(world: &World) -> i64 {
    world.count("SELECT count(*) FROM benchmark_target WHERE active").await
}

#[tokio::test]
async fn two_runs_that_share_only_their_second_target_never_overlap() {
    for world in worlds().await {
        let first = world.submit_to_all(A, B).await.id;
        let second = world.submit_to_all(C, &format!("{B}/v1/")).await.id;
        let held = world.claim("r").await.unwrap().held;
        assert_eq!((held.id, active(&world).await), (first, 2));
        assert!(world.claim("r").await.is_none(), "b.example is under load");
        // What is being cancelled is under load still.
        world.store.cancel(first).await.unwrap();
        assert!(world.claim("r").await.is_none());

        let tickets = world.tickets().await;
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        assert_eq!(world.tickets().await, tickets + 1, "its second target is free");
        assert_eq!(world.claim("r").await.unwrap().held.id, second);
        assert_eq!(active(&world).await, 2);
    }
}

#[tokio::test]
async fn a_further_target_keeps_runs_away_that_have_it_alone_and_the_other_way_round() {
    for world in worlds().await {
        let several = world.submit_to_all(A, &format!("{B},{C}")).await.id;
        let alone = world.submit_to(C).await.id;
        let elsewhere = world.submit_to_all(D, "http://e.example").await.id;
        let held = world.claim("r").await.unwrap().held;
        assert_eq!(held.id, several);
        assert_eq!(world.claim("r").await.unwrap().held.id, elsewhere);
        assert!(world.claim("r").await.is_none());
        world.store.give_back(&held).await.unwrap();
        // Given back, it holds nothing, and is the next again.
        assert_eq!(active(&world).await, 2);
        let held = world.claim("r").await.unwrap().held;
        assert_eq!(held.id, several);
        world.store.finish(&held, ending(State::Failed)).await.unwrap();
        assert_eq!(world.claim("r").await.unwrap().held.id, alone);

        let again = world.submit_to_all(A, C).await.id;
        assert!(world.claim("r").await.is_none(), "c.example has a run of its own");
        world
            .execute(&format!("UPDATE benchmark SET lease_until_ms = 1 WHERE id = {alone}"))
            .await
            .unwrap();
        assert_eq!(world.store.sweep().await.unwrap().requeued, [alone]);
        assert_eq!(world.claim("r").await.unwrap().held.id, alone, "it was there before");
        assert_eq!(world.status(again).await, State::Queued);
    }
}

#[tokio::test]
async fn the_end_of_a_run_wakes_whoever_waits_for_any_of_its_targets() {
    for world in worlds().await {
        world.submit_to_all(A, B).await;
        let held = world.claim("r").await.unwrap().held;
        let of_a = world.submit_to(A).await.id;
        let of_b = world.submit_to_all(C, B).await.id;
        let of_both = world.submit_to_all(B, A).await.id;
        let tickets = world.tickets().await;
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        assert_eq!(world.tickets().await, tickets + 2, "one for each that can go on now");
        assert_eq!(world.claim("r").await.unwrap().held.id, of_a);
        assert_eq!(world.claim("r").await.unwrap().held.id, of_b);
        assert!(world.claim("r").await.is_none());
        assert_eq!(world.status(of_both).await, State::Queued);
    }
}

#[tokio::test]
async fn lost_tickets_are_issued_again_for_those_alone_whose_targets_are_all_free() {
    for world in worlds().await {
        world.submit_to_all(A, B).await;
        world.claim("r").await.unwrap();
        world.submit_to_all(C, B).await;
        let free = world.submit_to_all(D, "http://e.example").await.id;
        world.execute(&format!("DELETE FROM {}", world.jobs())).await.unwrap();
        assert_eq!(world.store.sweep().await.unwrap().tickets, 1);
        assert_eq!(world.claim("r").await.unwrap().held.id, free);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_claims_at_once_in_every_order_of_targets_neither_overlap_nor_get_stuck() {
    for world in worlds().await {
        for round in 0..3 {
            for (url, urls) in [(A, "B,C"), (B, "C,A"), (C, "A,B"), (C, "B"), (B, "A"), (D, "C,A")]
            {
                let urls = urls.replace('A', A).replace('B', B).replace('C', C);
                world.submit_to_all(url, &urls).await;
            }
            let claimed = tokio::time::timeout(Duration::from_mins(1), claim_all(&world, 6));
            let claimed = claimed.await.expect("nobody waits for ever");
            assert!(!claimed.is_empty(), "round {round}");
            let twice = "SELECT count(*) FROM (SELECT target_key FROM benchmark_target \
                         WHERE active GROUP BY target_key HAVING count(*) > 1) AS t";
            assert_eq!(world.count(twice).await, 0);
            // Everything that meets a or c: one runs at a time, or one of each that do not meet.
            let running = "SELECT count(*) FROM benchmark WHERE status = 'running'";
            let all = i64::try_from(claimed.len()).unwrap();
            assert_eq!(world.count(running).await, all);
            let mut ending_all = JoinSet::new();
            for id in claimed.into_keys() {
                let store = world.store.clone();
                ending_all.spawn(async move {
                    let held = store::Held { id, fence: 1 };
                    store.finish(&held, ending(State::Completed)).await.map(drop)
                });
            }
            for ended in ending_all.join_all().await {
                ended.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn the_database_itself_refuses_two_active_runs_with_a_target_in_common() {
    for world in worlds().await {
        let first = world.submit_to_all(A, B).await.id;
        let second = world.submit_to_all(C, B).await.id;
        let force = async |id| {
            let forced =
                "status = 'running', lease_until_ms = 1, claims = claims + 1, fence = fence + 1";
            world.execute(&format!("UPDATE benchmark SET {forced} WHERE id = {id}")).await
        };
        force(first).await.unwrap();
        let refused = force(second).await.unwrap_err();
        assert!(
            matches!(refused.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_))),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_deleted_benchmark_leaves_no_targets_behind() {
    for world in worlds().await {
        let id = world.submit_to_all(A, B).await.id;
        world.store.delete(id, true).await.unwrap();
        assert_eq!(world.count("SELECT count(*) FROM benchmark_target").await, 0);
        let gone = world.store.get(id).await;
        assert!(matches!(gone, Err(StoreError::NotFound(_))));
    }
}

#[tokio::test]
async fn a_long_url_is_a_target_of_its_own_among_others() {
    for world in worlds().await {
        let long = |end: &str| format!("http://b.example/{}{end}", "x".repeat(1_900));
        let new = request(&[("url", A), ("urls", &long("1"))]);
        world.store.create(new).await.unwrap();
        world.submit_to(&long("2")).await;
        world.submit_to(&long("1")).await;
        assert_eq!(claim_all(&world, 2).await.len(), 2);
    }
}

#[tokio::test]
async fn names_that_stand_for_one_target_have_one_run_together() {
    for world in worlds().await {
        let aliases = "http://name.example=http://llm.example:8000".parse().unwrap();
        let rules = Rules { aliases, ..Rules::default() };
        let store = world.another_store().await.with_rules(rules);
        for fields in [
            &[("url", "http://llm.example:8000")][..],
            &[("url", "http://name.example/v1")],
            &[("url", "http://name.example"), ("urls", "http://llm.example:8000")],
        ] {
            store.create(request(fields)).await.unwrap();
        }
        for left in [2, 1, 0] {
            let held = world.claim("a").await.unwrap().held;
            assert!(world.claim("b").await.is_none(), "{left} wait, and one of them is taken, too");
            world.store.finish(&held, ending(State::Completed)).await.unwrap();
        }
        let name = TargetUrl::try_from("http://name.example".to_owned()).unwrap();
        store.pause(Some(&name)).await.unwrap();
        world.submit_to("http://llm.example:8000").await;
        assert!(world.claim("a").await.is_none(), "paused by its other name");
    }
}

#[tokio::test]
async fn who_had_load_at_the_same_address_meanwhile_is_told_and_nobody_else() {
    for world in worlds().await {
        let begin = async |address: &str| {
            let held = world.running().await;
            let address = address.parse().unwrap();
            world.store.note_addresses(&held, &BTreeSet::from([address])).await.unwrap();
            world.store.load_starts(&held, "tiny").await.unwrap();
            // So that no two things happen in one millisecond.
            sleep(Duration::from_millis(5)).await;
            held
        };
        let end = async |held| {
            world.store.finish(held, ending(State::Completed)).await.unwrap();
            sleep(Duration::from_millis(5)).await;
        };
        let before = begin("10.0.0.1:80").await;
        end(&before).await;
        let (long, elsewhere) = (begin("10.0.0.1:80").await, begin("10.0.0.1:81").await);
        let short = begin("10.0.0.1:80").await;
        let neighbour = |held: &Held| Neighbour { id: held.id, address: "10.0.0.1:80".to_owned() };
        assert_eq!(world.store.neighbours(&short).await.unwrap(), [neighbour(&long)]);
        end(&short).await;
        // Over by now, and it was there.
        assert_eq!(world.store.neighbours(&long).await.unwrap(), [neighbour(&short)]);
        assert_eq!(world.store.neighbours(&elsewhere).await.unwrap(), []);
        let refused = world.store.note_addresses(&short, &BTreeSet::new()).await;
        assert!(matches!(refused, Err(StoreError::Lost(_))), "{refused:?}");
    }
}
