//! One runner wins, one run a target, and who has lost may write nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::{BenchmarkId, Phase, Progress, RunnerId, State};
use store::{Held, Renewal, StoreError};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::world::{World, ending, report, request, second, worlds};

/// Claims from `runners` processes at once until nobody gets anything; how often each was claimed.
pub(crate) async fn claim_all(world: &World, runners: usize) -> BTreeMap<BenchmarkId, u32> {
    let barrier = Arc::new(Barrier::new(runners));
    let mut claiming = JoinSet::new();
    for runner in 0..runners {
        let store = world.another_store().await;
        let barrier = Arc::clone(&barrier);
        claiming.spawn(async move {
            let runner = RunnerId(format!("runner-{runner}"));
            let mut claimed = Vec::new();
            barrier.wait().await;
            while let Some(claim) = store.claim(&runner, 10_000).await.unwrap() {
                claimed.push(claim.held.id);
            }
            claimed
        });
    }
    let mut claimed = BTreeMap::new();
    for id in claiming.join_all().await.into_iter().flatten() {
        *claimed.entry(id).or_insert(0) += 1;
    }
    claimed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_runners_exactly_one_claims_each() {
    for world in worlds().await {
        for _ in 0..12 {
            world.submit().await;
        }
        let claimed = claim_all(&world, 4).await;
        assert_eq!(claimed.len(), 12);
        assert!(claimed.values().all(|times| *times == 1), "{claimed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_benchmarks_of_one_target_exactly_one_is_claimed() {
    for world in worlds().await {
        for url in ["http://llm.example", "http://LLM.example:80/v1", "http://llm.example/v1/"] {
            world.submit_to(url).await;
        }
        assert_eq!(claim_all(&world, 4).await.len(), 1);
    }
}

#[tokio::test]
async fn a_claim_says_what_to_do_and_holds_a_lease() {
    for world in worlds().await {
        let submitted = world.submit().await;
        let claim = world.claim("runner-a").await.unwrap();
        assert_eq!(claim.held, Held { id: submitted.id, fence: 1 });
        assert_eq!(claim.spec, submitted.spec);
        assert!(claim.api_key.unwrap().is_none());
        let running = world.get(submitted.id).await;
        assert_eq!((running.status, running.progress.phase), (State::Running, Phase::Preparing));
        assert_eq!(running.runner.as_deref(), Some("runner-a"));
        assert!(running.started_at >= Some(running.queued_at));
        let left = world.count("SELECT lease_until_ms - started_at_ms FROM benchmark").await;
        assert_eq!(left, 60_000);
        assert_eq!(world.store.renew(&claim.held).await.unwrap(), Renewal::Held);
        assert_eq!(world.store.cancel_requested(&claim.held).await.unwrap(), Renewal::Held);
    }
}

#[tokio::test]
async fn a_busy_target_is_passed_over_until_it_is_free() {
    for world in worlds().await {
        let a = world.submit_to("http://a.example").await.id;
        let again = world.submit_to("http://a.example/").await.id;
        let b = world.submit_to("http://b.example").await.id;
        let first = world.claim("r").await.unwrap().held;
        assert_eq!(first.id, a);
        assert_eq!(world.claim("r").await.unwrap().held.id, b);
        assert!(world.claim("r").await.is_none());

        // A target that is being cancelled is still under load.
        world.store.cancel(a).await.unwrap();
        assert!(world.claim("r").await.is_none());

        let tickets = world.tickets().await;
        world.store.finish(&first, ending(State::Completed)).await.unwrap();
        assert_eq!(world.tickets().await, tickets + 1, "the target is free: somebody must look");
        assert_eq!(world.claim("r").await.unwrap().held.id, again);
    }
}

#[tokio::test]
async fn higher_priority_goes_first_and_later_ones_wait_for_their_time() {
    for world in worlds().await {
        let [normal, urgent, later] =
            [world.submit().await.id, world.submit().await.id, world.submit().await.id];
        world
            .execute(&format!("UPDATE benchmark SET priority = 5 WHERE id = {urgent}"))
            .await
            .unwrap();
        let future = "run_at_ms = 4000000000000, priority = 10";
        world.execute(&format!("UPDATE benchmark SET {future} WHERE id = {later}")).await.unwrap();
        assert_eq!(world.claim("r").await.unwrap().held.id, urgent);
        assert_eq!(world.claim("r").await.unwrap().held.id, normal);
        assert!(world.claim("r").await.is_none());
    }
}

#[tokio::test]
async fn a_run_too_large_for_one_runner_waits_for_a_larger_one() {
    for world in worlds().await {
        let large = request(&[("url", "http://llm.example"), ("user", "2000")]);
        let large = world.store.create(large).await.unwrap().id;
        let runner = RunnerId("small".into());
        assert!(world.store.claim(&runner, 1_999).await.unwrap().is_none());
        assert_eq!(world.store.claim(&runner, 2_000).await.unwrap().unwrap().held.id, large);
    }
}

#[tokio::test]
async fn whoever_lost_a_run_can_write_nothing() {
    for world in worlds().await {
        let held = world.running().await;
        world.expire(held.id).await;
        assert_eq!(world.store.sweep().await.unwrap().requeued, [held.id]);
        let new = world.claim("runner-b").await.unwrap().held;
        assert!(new.fence > held.fence);

        let (store, progress) = (&world.store, Progress::default());
        assert_eq!(store.renew(&held).await.unwrap(), Renewal::Lost);
        assert_eq!(store.cancel_requested(&held).await.unwrap(), Renewal::Lost);
        let (report, rows) = (report(1), [second(0)]);
        let refused = [
            store.load_starts(&held, "tiny").await,
            store.progress(&held, &progress, None).await,
            store.progress(&held, &progress, Some((&report, &rows))).await,
            store.finish(&held, ending(State::Completed)).await.map(drop),
            store.give_back(&held).await,
        ];
        for outcome in refused {
            assert!(matches!(outcome, Err(StoreError::Lost(id)) if id == held.id), "{outcome:?}");
        }
        let untouched = world.get(held.id).await;
        assert_eq!((untouched.status, untouched.report), (State::Running, None));
        assert_eq!(world.count("SELECT count(*) FROM benchmark_partial").await, 0);
        assert_eq!(store.renew(&new).await.unwrap(), Renewal::Held);
    }
}

#[tokio::test]
async fn load_begins_once_and_not_with_a_lease_that_ran_out() {
    for world in worlds().await {
        let held = world.running().await;
        world.expire(held.id).await;
        let late = world.store.load_starts(&held, "tiny").await;
        assert!(matches!(late, Err(StoreError::Lost(_))), "{late:?}");
        world.store.renew(&held).await.unwrap();
        world.store.load_starts(&held, "ti\0ny").await.unwrap();
        let first = world.count("SELECT load_started_at_ms FROM benchmark").await;
        world.store.load_starts(&held, "other").await.unwrap();
        assert_eq!(world.count("SELECT load_started_at_ms FROM benchmark").await, first);
        assert_eq!(world.get(held.id).await.model, "ti\u{fffd}ny");
    }
}

#[tokio::test]
async fn a_runner_that_stops_gives_back_what_it_has_not_begun() {
    use State::{Queued, Running};

    for world in worlds().await {
        let held = world.running().await;
        let tickets = world.tickets().await;
        world.store.give_back(&held).await.unwrap();
        assert_eq!(world.tickets().await, tickets + 1);
        let queued = world.get(held.id).await;
        assert_eq!((queued.status, queued.runner, queued.started_at), (State::Queued, None, None));

        let again = world.claim("runner-b").await.unwrap().held;
        assert_eq!(again, Held { id: held.id, fence: 2 });
        assert_eq!(world.count("SELECT claims FROM benchmark").await, 1);
        world.store.load_starts(&again, "tiny").await.unwrap();
        let refused = world.store.give_back(&again).await;
        assert!(matches!(refused, Err(StoreError::LoadStarted(_))), "{refused:?}");
        assert_eq!(world.history(held.id).await, [Queued, Running, Queued, Running]);
    }
}

#[tokio::test]
async fn progress_is_read_back_while_it_runs() {
    for world in worlds().await {
        let held = world.loading().await;
        let progress = Progress {
            phase: Phase::Measuring,
            elapsed_s: 2.5,
            requests: 40,
            in_flight: 8,
            ..Progress::default()
        };
        world.store.progress(&held, &progress, None).await.unwrap();
        assert_eq!(world.get(held.id).await.progress, progress);
        assert_eq!(world.store.timeseries(held.id).await.unwrap(), []);

        for completed in [10, 20] {
            let rows = vec![second(0); usize::try_from(completed / 10).unwrap()];
            let measured = report(completed);
            world.store.progress(&held, &progress, Some((&measured, &rows))).await.unwrap();
            let read = world.get(held.id).await;
            assert_eq!(read.report, Some(measured));
            assert!(read.results.partial && !read.results.is_final);
            assert_eq!(world.store.timeseries(held.id).await.unwrap(), rows);
        }
        assert_eq!(world.count("SELECT seq FROM benchmark_partial").await, 2);
    }
}

#[tokio::test]
async fn a_row_that_is_locked_for_a_moment_is_claimed_all_the_same() {
    for world in worlds().await {
        if !world.database.is_postgres() {
            continue; // SQLite's writers wait for each other
        }
        let id = world.submit().await.id;
        let holding =
            "DO $$ BEGIN PERFORM 1 FROM benchmark FOR UPDATE; PERFORM pg_sleep(0.2); END $$";
        let locked = async {
            // Time for the lock to be there.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            world.claim("runner-a").await
        };
        let (held, claimed) = tokio::join!(world.execute(holding), locked);
        held.unwrap();
        assert_eq!(claimed.expect("the benchmark").held.id, id);
    }
}

#[tokio::test]
async fn behind_a_long_row_for_one_target_another_is_found_while_the_first_is_claimed() {
    for world in worlds().await {
        if !world.database.is_postgres() {
            continue; // SQLite's writers wait for each other
        }
        for _ in 0..10 {
            world.submit_to("http://a.example").await;
        }
        let other = world.submit_to("http://b.example").await.id;
        // As a claim of the first does that takes its time.
        let holding = "DO $$ BEGIN PERFORM 1 FROM benchmark ORDER BY id LIMIT 1 FOR UPDATE; \
                       PERFORM pg_sleep(1); END $$";
        let meanwhile = async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            world.claim("runner-a").await
        };
        let (held, claimed) = tokio::join!(world.execute(holding), meanwhile);
        held.unwrap();
        assert_eq!(claimed.expect("the other target's").held.id, other);
    }
}
