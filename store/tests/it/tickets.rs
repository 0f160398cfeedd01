//! The queue's library consumes what our SQL pushes, wakes up soon, and loses nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::{BenchmarkId, RunnerId, State};
use store::{Lease, Renewal, Store, StoreError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::world::{World, ending, worlds};

const SOON: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(90);

/// Waits until `done`, for as long as even a slow machine may take.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < LONG, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_worker_is_woken_by_a_new_benchmark() {
    for world in worlds().await {
        let stop = CancellationToken::new();
        let (working, mut looks) = world.worker(&stop).await;
        let jobs = world.jobs();
        let done = format!("SELECT count(*) FROM {jobs} WHERE status = 'Done' AND attempts = 1");
        // The first also waits for the worker to register.
        for number in 1..=3 {
            world.submit().await;
            let patience = if number == 1 { LONG } else { SOON };
            timeout(patience, looks.recv()).await.expect("woken").unwrap();
            until("acknowledged", async || world.count(&done).await == number).await;
        }
        assert!(looks.try_recv().is_err(), "one look a ticket");
        stop.cancel();
        timeout(LONG, working).await.expect("stopped").unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_panics_does_not_end_the_worker() {
    for world in worlds().await {
        let (looked, mut looks) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let working = tokio::spawn({
            let (store, stop) = (world.store.clone(), stop.clone());
            async move {
                let look = move || {
                    let looked = looked.clone();
                    async move {
                        looked.send(()).unwrap();
                        panic!("this panic is the test's");
                    }
                };
                store.work(&RunnerId("runner-a".into()), look, stop).await
            }
        });
        for _ in 0..2 {
            world.submit().await;
            timeout(LONG, looks.recv()).await.expect("looked").unwrap();
        }
        stop.cancel();
        timeout(LONG, working).await.expect("stopped").unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_worker_told_to_stop_before_it_begins_stops() {
    for world in worlds().await {
        let stop = CancellationToken::new();
        stop.cancel();
        let runner = RunnerId("r".into());
        let working = world.store.work(&runner, || async {}, stop);
        timeout(LONG, working).await.expect("stopped").unwrap();
    }
}

#[tokio::test]
async fn old_tickets_and_workers_are_thrown_away() {
    for world in worlds().await {
        let postgres = world.database.is_postgres();
        let (workers, long_ago) = if postgres {
            ("apalis.workers", "now() - interval '25 hours'")
        } else {
            ("Workers", "unixepoch() - 90000")
        };
        for status in ["Done", "Done", "Pending"] {
            world.submit().await;
            let changed = world
                .execute(&format!(
                    "UPDATE {} SET status = '{status}', done_at = {long_ago} \
                     WHERE done_at IS NULL",
                    world.jobs()
                ))
                .await;
            assert_eq!(changed.unwrap(), 1);
        }
        let now = if postgres { "now()" } else { "unixepoch()" };
        for (name, seen) in [("old", long_ago), ("new", now)] {
            let worker = format!(
                "INSERT INTO {workers} (id, worker_type, storage_name, layers, last_seen) \
                 VALUES ('{name}', 'benchmarks', 's', '', {seen})"
            );
            world.execute(&worker).await.unwrap();
        }
        assert_eq!(world.store.sweep().await.unwrap().pruned, 3);
        assert_eq!(world.tickets().await, 3, "the one that waits, and two issued again");
        assert_eq!(world.count(&format!("SELECT count(*) FROM {workers}")).await, 1);
    }
}

#[tokio::test]
async fn tickets_of_benchmarks_that_no_longer_wait_are_thrown_away() {
    for world in worlds().await {
        let (jobs, older) = if world.database.is_postgres() {
            ("apalis.jobs", "run_at - interval '2 minutes'")
        } else {
            ("Jobs", "run_at - 120")
        };
        world.running().await;
        world.submit().await;
        world.prune_is_due().await;
        assert_eq!(world.store.sweep().await.unwrap().pruned, 0, "somebody may be at it");
        world.execute(&format!("UPDATE {jobs} SET run_at = {older}")).await.unwrap();
        world.prune_is_due().await;
        assert_eq!(world.store.sweep().await.unwrap().pruned, 1);
        assert_eq!(world.tickets().await, 1, "of the one that waits");
    }
}

/// Begun loads, by benchmark.
type Loads = Arc<Mutex<BTreeMap<BenchmarkId, u32>>>;

/// A runner in miniature: works tickets off, claims, begins, ends; starts again after an error.
async fn run(store: Store, runner: RunnerId, loads: Loads, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let look = {
            let (store, runner, loads) = (store.clone(), runner.clone(), Arc::clone(&loads));
            move || {
                let running = tokio::spawn(one(store.clone(), runner.clone(), Arc::clone(&loads)));
                async move { running.await.unwrap() }
            }
        };
        if let Err(error) = store.work(&runner, look, stop.clone()).await {
            assert!(error.is_outage(), "{error:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// One look: claim, begin, end, each again while the database cannot be reached.
async fn one(store: Store, runner: RunnerId, loads: Loads) {
    let Ok(Some(claim)) = store.claim(&runner, 10_000).await else { return };
    let held = claim.held;
    loop {
        match store.load_starts(&held, "tiny").await {
            Ok(()) => break,
            Err(error) if error.is_outage() => {
                if matches!(store.renew(&held).await, Ok(Renewal::Lost)) {
                    return;
                }
            }
            Err(StoreError::Lost(_)) => return,
            Err(error) => panic!("{error:?}"),
        }
    }
    *loads.lock().unwrap().entry(held.id).or_insert(0) += 1;
    loop {
        match store.finish(&held, ending(State::Completed)).await {
            Ok(_) | Err(StoreError::Lost(_)) => return,
            Err(error) if error.is_outage() => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn unfinished(world: &World) -> i64 {
    world.count("SELECT count(*) FROM benchmark WHERE finished_at_ms IS NULL").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_run_fifty_benchmarks_once_each() {
    for world in worlds().await {
        let (loads, stop) = (Loads::default(), CancellationToken::new());
        let mut runners = Vec::new();
        for runner in ["runner-a", "runner-b"] {
            let store = world.another_store().await;
            let (loads, stop) = (Arc::clone(&loads), stop.clone());
            runners.push(tokio::spawn(run(store, RunnerId(runner.into()), loads, stop)));
        }
        for _ in 0..50 {
            world.submit().await;
        }
        // A look that met an outage has used its ticket up; issuing it again is the sweep's.
        until("all have ended", async || {
            let _ = world.store.sweep().await;
            unfinished(&world).await == 0
        })
        .await;
        stop.cancel();
        for runner in runners {
            timeout(LONG, runner).await.expect("stopped").unwrap();
        }
        let loads = loads.lock().unwrap().clone();
        assert_eq!(loads.len(), 50);
        assert!(loads.values().all(|begun| *begun == 1), "{loads:?}");
        let completed = "SELECT count(*) FROM benchmark WHERE status = 'completed' AND fence = 1";
        assert_eq!(world.count(completed).await, 50);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_nothing_and_double_nothing() {
    for world in worlds().await {
        if !world.database.is_postgres() {
            continue;
        }
        let lease = Lease { ttl: Duration::from_secs(2), grace: Duration::ZERO };
        let store = world.another_store_with(lease).await;
        let (loads, stop) = (Loads::default(), CancellationToken::new());
        let working = tokio::spawn(run(
            store.clone(),
            RunnerId("runner-a".into()),
            Arc::clone(&loads),
            stop.clone(),
        ));
        for _ in 0..30 {
            world.submit().await;
        }
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid() \
                   AND application_name = 'llm-bench'";
        let mut cuts = 0;
        until("all have ended", async || {
            if cuts < 15 {
                world.count(cut).await;
                cuts += 1;
            }
            // Outages of the sweeper itself are among those that are cut.
            let _ = store.sweep().await;
            unfinished(&world).await == 0
        })
        .await;
        stop.cancel();
        timeout(LONG, working).await.expect("stopped").unwrap();
        let loads = loads.lock().unwrap().clone();
        assert!(loads.values().all(|begun| *begun == 1), "{loads:?}");
        let ended = "SELECT count(*) FROM benchmark WHERE status IN ('completed', 'lost')";
        assert_eq!(world.count(ended).await, 30);
    }
}

/// A worker told to stop is heard no more by the library, though its run goes on; and attempts do
/// not count there. So tickets come again, and more often than once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_that_comes_again_while_its_run_goes_on_begins_nothing() {
    for world in worlds().await {
        let id = world.submit().await.id;
        let (stop, go_on) = (CancellationToken::new(), CancellationToken::new());
        let first = tokio::spawn({
            let (store, stop) = (world.another_store().await, stop.clone());
            let (of_look, go_on) = (store.clone(), go_on.clone());
            let look = move || {
                let (store, go_on) = (of_look.clone(), go_on.clone());
                let running = tokio::spawn(async move {
                    let runner = RunnerId("runner-a".into());
                    let Some(claim) = store.claim(&runner, 10_000).await.unwrap() else { return };
                    store.load_starts(&claim.held, "tiny").await.unwrap();
                    go_on.cancelled().await;
                    store.finish(&claim.held, ending(State::Completed)).await.unwrap();
                });
                async move { running.await.unwrap() }
            };
            async move { store.work(&RunnerId("runner-a".into()), look, stop).await }
        });
        let begun = "SELECT count(*) FROM benchmark WHERE load_started_at_ms IS NOT NULL";
        until("begun", async || world.count(begun).await == 1).await;
        stop.cancel();

        let (other, loads) = (CancellationToken::new(), Loads::default());
        let second = tokio::spawn(run(
            world.another_store().await,
            RunnerId("runner-b".into()),
            Arc::clone(&loads),
            other.clone(),
        ));
        // As the library gives away the tickets of a worker that it has not heard for a while.
        let given_away = format!(
            "UPDATE {} SET status = 'Pending', lock_by = NULL, lock_at = NULL, done_at = NULL, \
             attempts = attempts + 1",
            world.jobs()
        );
        let done = format!("SELECT count(*) FROM {} WHERE status = 'Done'", world.jobs());
        for _ in 0..3 {
            assert_eq!(world.execute(&given_away).await.unwrap(), 1);
            until("worked off again", async || world.count(&done).await == 1).await;
        }
        assert_eq!(world.status(id).await, State::Running);
        go_on.cancel();
        until("completed", async || world.status(id).await == State::Completed).await;
        other.cancel();
        // The first one acknowledges a ticket that is its own no more: the library may say so.
        let _ = timeout(LONG, first).await.expect("stopped").unwrap();
        timeout(LONG, second).await.expect("stopped").unwrap();
        assert!(loads.lock().unwrap().is_empty());
        let once = "SELECT count(*) FROM benchmark WHERE status = 'completed' AND fence = 1";
        assert_eq!(world.count(once).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_at_work_keeps_no_tickets_from_another() {
    for world in worlds().await {
        for _ in 0..4 {
            world.submit().await;
        }
        let (stop, go_on) = (CancellationToken::new(), CancellationToken::new());
        let (looked, mut long_looks) = mpsc::unbounded_channel();
        let first = tokio::spawn({
            let (store, stop, go_on) = (world.another_store().await, stop.clone(), go_on.clone());
            let look = move || {
                looked.send(()).unwrap();
                let go_on = go_on.clone();
                async move { go_on.cancelled().await }
            };
            async move { store.work(&RunnerId("runner-b".into()), look, stop).await }
        });
        timeout(LONG, long_looks.recv()).await.expect("looked").unwrap();
        let (second, mut looks) = world.worker(&stop).await;
        // One is being worked off, and the next may be in hand.
        for _ in 0..2 {
            timeout(LONG, looks.recv()).await.expect("looked").unwrap();
        }
        // And nobody takes from the other what that is at.
        sleep(SOON).await;
        let again = std::iter::from_fn(|| looks.try_recv().ok()).count();
        assert!(again <= 1, "{again} more");
        assert!(long_looks.try_recv().is_err(), "it is at its first");
        go_on.cancel();
        stop.cancel();
        for working in [first, second] {
            timeout(LONG, working).await.expect("stopped").unwrap().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_of_one_name_work_each_ticket_off_once() {
    for world in worlds().await {
        let stop = CancellationToken::new();
        let (first, mut looks) = world.worker(&stop).await;
        let (second, mut other_looks) = world.worker(&stop).await;
        let workers = if world.database.is_postgres() { "apalis.workers" } else { "Workers" };
        let registered = format!("SELECT count(*) FROM {workers}");
        until("both are registered", async || world.count(&registered).await == 2).await;
        for _ in 0..10 {
            world.submit().await;
        }
        let done = format!("SELECT count(*) FROM {} WHERE status = 'Done'", world.jobs());
        until("all are worked off", async || world.count(&done).await == 10).await;
        let of_both = [&mut looks, &mut other_looks]
            .map(|looks| std::iter::from_fn(|| looks.try_recv().ok()).count());
        assert_eq!(of_both.iter().sum::<usize>(), 10, "{of_both:?}");
        stop.cancel();
        for working in [first, second] {
            timeout(LONG, working).await.expect("stopped").unwrap().unwrap();
        }
    }
}
