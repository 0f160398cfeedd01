//! Quotas, pauses, aborts, and what is thrown away in time.

use std::time::Duration;

use shared::request::NewBenchmark;
use shared::{QueueState, RunnerId, RunnerState, State, TargetState, TargetUrl};
use store::{Artifacts, Rules, Store, StoreError, StoredRequests, requests_of};

use crate::world::{World, ending, registration, request, worlds};

async fn under(world: &World, rules: Rules) -> Store {
    world.another_store().await.with_rules(rules)
}

fn asked() -> NewBenchmark {
    request(&[("url", "http://a.example")])
}

fn url(text: &str) -> TargetUrl {
    text.to_owned().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_no_more_are_accepted_than_one_may_have() {
    for world in worlds().await {
        let rules = Rules { quota_queued: Some(5), ..Rules::default() };
        let mut submitting = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let store = under(&world, rules.clone()).await;
            submitting.spawn(async move { store.submit(asked(), "alice", None).await });
        }
        let outcomes = submitting.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
        for refused in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(
                refused.to_string(),
                "at most 5 benchmarks may be queued or active; try again when one has ended"
            );
        }
        let store = under(&world, rules).await;
        let bobs = store.submit(asked(), "bob", None).await.unwrap();
        let [queued] = bobs.quotas[..] else { panic!("{bobs:?}") };
        assert_eq!((queued.name, queued.limit, queued.left), ("queued", 5, 4), "his own");
        // What is active counts, what is over does not.
        let held = store.claim(&RunnerId("r".into()), 10_000).await.unwrap().unwrap().held;
        assert!(store.submit(asked(), "alice", None).await.is_err());
        store.finish(&held, ending(State::Completed)).await.unwrap();
        assert!(store.submit(asked(), "alice", None).await.is_ok());
    }
}

#[tokio::test]
async fn an_hour_has_so_many_and_deleting_gives_none_back() {
    for world in worlds().await {
        let rules = Rules { quota_runs_per_hour: Some(2), ..Rules::default() };
        let store = under(&world, rules).await;
        for left in [1, 0] {
            let submission = store.submit(asked(), "alice", None).await.unwrap();
            let [runs] = submission.quotas[..] else { panic!("{submission:?}") };
            assert_eq!((runs.name, runs.left), ("runs", left));
            store.delete(submission.benchmark.id, true).await.unwrap();
        }
        for _ in 0..2 {
            let refused = store.submit(asked(), "alice", None).await.unwrap_err();
            let StoreError::Quota(reached) = refused else { panic!("{refused}") };
            assert_eq!((reached.name, reached.limit, reached.left), ("runs", 2, 0));
            assert_eq!(reached.window_s, Some(3_600));
            assert!((3_590..=3_600).contains(&reached.more_in_s.unwrap()), "{reached:?}");
        }
        world.execute("UPDATE quota SET hour_from_ms = hour_from_ms - 3600000").await.unwrap();
        assert!(store.submit(asked(), "alice", None).await.is_ok());
    }
}

#[tokio::test]
async fn a_pause_keeps_runs_from_beginning_and_its_end_wakes_a_worker() {
    for world in worlds().await {
        let a = world.submit_to("http://a.example").await.id;
        let b = world.submit_to_all("http://b.example", "http://c.example").await.id;
        let store = &world.store;
        store.pause(Some(&url("http://C.example/v1"))).await.unwrap();
        assert_eq!(world.claim("r").await.unwrap().held.id, a);
        assert!(world.claim("r").await.is_none());
        store.pause(None).await.unwrap();
        store.pause(None).await.unwrap();
        store.resume(Some(&url("http://c.example"))).await.unwrap();
        assert!(world.claim("r").await.is_none(), "the queue is paused still");
        // Every ticket has been used.
        world.execute(&format!("DELETE FROM {}", world.jobs())).await.unwrap();
        assert_eq!(store.sweep().await.unwrap().tickets, 0);
        store.resume(None).await.unwrap();
        assert_eq!(world.tickets().await, 1);
        assert_eq!(world.claim("r").await.unwrap().held.id, b);
    }
}

#[tokio::test]
async fn the_queue_tells_how_it_stands() {
    for world in worlds().await {
        let store = &world.store;
        assert_eq!(store.queue_state().await.unwrap(), QueueState::default());
        store.register(&registration("a")).await.unwrap();
        store.register(&registration("b")).await.unwrap();
        store.beat(&RunnerId("b".into()), RunnerState::Draining).await.unwrap();
        world.submit_to("http://a.example").await;
        world.claim("a").await.unwrap();
        world.submit_to("http://a.example").await;
        world.submit_to_all("http://b.example", "http://a.example").await;
        let later = request(&[("url", "http://a.example"), ("run_at", "4000000000")]);
        assert!(store.create(later).await.is_err());
        world
            .execute("UPDATE benchmark SET run_at_ms = run_at_ms - 90500 WHERE id = 2")
            .await
            .unwrap();
        // One user more than a runner has room for.
        world.execute("UPDATE benchmark SET users = 501 WHERE id = 3").await.unwrap();
        store.pause(Some(&url("http://idle.example"))).await.unwrap();
        let state = store.queue_state().await.unwrap();
        let counts = [State::Queued, State::Running].map(|status| state.count(status));
        assert_eq!((counts, state.states.len(), state.too_large), ([2, 1], 2, 1));
        assert_eq!((state.paused, state.due, state.runners, state.free_runners), (false, 2, 1, 0));
        assert!((90..95).contains(&state.oldest_due_s.unwrap()), "{state:?}");
        let target = |target: &str, queued, active, paused| TargetState {
            target: target.to_owned(),
            queued,
            active,
            paused,
        };
        let keys = ["http://a.example", "http://b.example", "http://idle.example"];
        let [a, b, idle] = keys.map(|given| url(given).key().as_str().to_owned());
        let expected =
            [target(&a, 2, 1, false), target(&b, 1, 0, false), target(&idle, 0, 0, true)];
        assert_eq!(state.targets, expected);
    }
}

#[tokio::test]
async fn an_abort_cancels_what_waits_and_on_request_what_runs() {
    for world in worlds().await {
        let running = world.running().await;
        let mut queued = Vec::new();
        for _ in 0..3 {
            queued.push(world.submit().await.id);
        }
        let aborted = world.store.abort(false).await.unwrap();
        assert_eq!((aborted.cancelled, aborted.asked_to_stop), (3, 0));
        for id in queued {
            assert_eq!(world.history(id).await, [State::Queued, State::Cancelled]);
        }
        assert_eq!(world.status(running.id).await, State::Running);
        let aborted = world.store.abort(true).await.unwrap();
        assert_eq!((aborted.cancelled, aborted.asked_to_stop), (0, 1));
        assert_eq!(world.status(running.id).await, State::Cancelling);
    }
}

#[tokio::test]
async fn what_was_measured_goes_in_time_and_the_report_stays() {
    for world in worlds().await {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::in_folder(folder.path()).unwrap();
        let day = Duration::from_hours(24);
        let rules = Rules { retain: Some(day), ..Rules::default() };
        let mut ids = Vec::new();
        for _ in 0..3 {
            let held = world.loading().await;
            let file = tempfile::tempfile().unwrap();
            let key = artifacts.put_rows(&held, &requests_of(0), file, 0).await.unwrap();
            let mut ending = ending(State::Completed);
            ending.requests = Some(StoredRequests { key, rows: 0, bytes: 0 });
            world.store.finish(&held, ending).await.unwrap();
            ids.push(held.id);
        }
        let [old, older, new] = ids[..] else { panic!("three") };
        // Past the trigger that keeps what is over as it is: they ended two days ago.
        let age = |id| {
            let finished = "finished_at_ms = finished_at_ms - 172800000";
            format!("UPDATE benchmark SET {finished} WHERE id = {id}")
        };
        let guard = if world.database.is_postgres() {
            "ALTER TABLE benchmark DISABLE TRIGGER benchmark_guard"
        } else {
            "DROP TRIGGER benchmark_over"
        };
        world.execute(guard).await.unwrap();
        for id in [old, older] {
            world.execute(&age(id)).await.unwrap();
        }
        let before = world.get(old).await;
        let forgetful = || async {
            world.prune_is_due().await;
            world.another_store().await.with_artifacts(artifacts.clone())
        };
        assert_eq!(forgetful().await.sweep().await.unwrap().pruned, 0, "kept for ever");
        let pruned = forgetful().await.with_rules(rules.clone()).sweep().await.unwrap().pruned;
        assert_eq!(pruned, 2);
        for id in [old, older] {
            assert!(world.store.events(id, 0).await.unwrap().is_empty());
            assert!(world.store.timeseries(id).await.unwrap().is_empty());
            assert_eq!(world.store.histograms(id).await.unwrap(), None);
            assert_eq!(world.store.requests(id).await.unwrap(), []);
            assert!(
                !folder.path().join(format!("benchmarks/{id}/run-1/requests.parquet")).exists()
            );
        }
        assert_eq!(world.get(old).await, before);
        assert!(before.report.is_some());
        assert_eq!(world.store.events(new, 0).await.unwrap().len(), 3);
        assert_eq!(world.store.timeseries(new).await.unwrap().len(), 2);
        let kept = world.store.requests(new).await.unwrap().remove(0);
        assert!(folder.path().join(kept.key).exists());
        assert_eq!(forgetful().await.with_rules(rules).sweep().await.unwrap().pruned, 0);
    }
}
