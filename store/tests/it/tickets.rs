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
