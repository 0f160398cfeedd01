//! What a client says of how its benchmark waits, and that it does wait so.

use std::time::Duration;

use shared::State;
use shared::request::{Edit, Fields};
use store::StoreError;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::world::{request, worlds};

fn priority(written: &str) -> Edit {
    let fields = Fields::from([("priority".to_owned(), written.into())]);
    Edit::parse(&fields).unwrap()
}

#[tokio::test]
async fn priority_time_and_deadline_are_stored_and_shown() {
    for world in worlds().await {
        let now = world.submit().await.created_at.unix_ms();
        let run_at = (now / 1_000 + 3_600).to_string();
        let asked = [
            ("url", "http://a.example"),
            ("priority", "7"),
            ("run_at", run_at.as_str()),
            ("queue_timeout", "60"),
        ];
        let waits = world.store.create(request(&asked)).await.unwrap();
        let due = (now / 1_000 + 3_600) * 1_000;
        assert_eq!(waits.priority.get(), 7);
        assert_eq!(waits.run_at.unwrap().unix_ms(), due);
        assert_eq!(waits.queue_deadline.unwrap().unix_ms(), due + 60_000);
        assert_eq!(world.get(waits.id).await, waits);
    }
}

#[tokio::test]
async fn a_time_too_far_ahead_is_refused_by_the_databases_clock() {
    for world in worlds().await {
        let now = world.submit().await.created_at.unix_ms() / 1_000;
        for (days, accepted) in [(29, true), (31, false)] {
            let run_at = (now + days * 86_400).to_string();
            let new = request(&[("url", "http://a.example"), ("run_at", &run_at)]);
            match world.store.create(new).await {
                Ok(_) => assert!(accepted),
                Err(StoreError::Refused(errors)) => {
                    assert!(!accepted);
                    assert!(
                        errors[0].detail.starts_with("run_at must be at most 30 days ahead, "),
                        "{errors:?}"
                    );
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(world.count("SELECT count(*) FROM benchmark").await, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_benchmark_wakes_a_worker_when_it_is_due_and_not_before() {
    for world in worlds().await {
        let stop = CancellationToken::new();
        let (working, mut looks) = world.worker(&stop).await;
        // Once it has come here, the worker stands.
        let now = world.submit().await.created_at.unix_ms();
        timeout(Duration::from_secs(90), looks.recv()).await.unwrap().unwrap();
        let run_at = (now / 1_000 + 6).to_string();
        let late = request(&[("url", "http://late.example"), ("run_at", &run_at)]);
        let late = world.store.create(late).await.unwrap();
        let left = late.run_at.unwrap().unix_ms() - late.created_at.unix_ms();
        let left = Duration::from_millis(u64::try_from(left).unwrap().saturating_sub(300));
        assert!(timeout(left, looks.recv()).await.is_err(), "woken too early");
        // Nobody sweeps here: it is its own ticket that wakes the worker.
        timeout(Duration::from_secs(5), looks.recv()).await.expect("woken").unwrap();
        sleep(Duration::from_millis(50)).await;
        assert_eq!(world.claim("r").await.map(|claim| claim.held.id != late.id), Some(true));
        assert_eq!(world.claim("r").await.unwrap().held.id, late.id);
        stop.cancel();
        timeout(Duration::from_secs(90), working).await.expect("stopped").unwrap().unwrap();
    }
}

#[tokio::test]
async fn one_that_waited_longer_than_it_may_has_timed_out() {
    for world in worlds().await {
        let short = [("url", "http://a.example"), ("queue_timeout", "1")];
        let short = world.store.create(request(&short)).await.unwrap();
        assert_eq!(world.store.sweep().await.unwrap().timed_out, []);
        sleep(Duration::from_millis(1_100)).await;
        assert!(world.claim("r").await.is_none());
        assert_eq!(world.store.sweep().await.unwrap().timed_out, [short.id]);
        assert_eq!(world.status(short.id).await, State::TimedOut);
    }
}

#[tokio::test]
async fn a_priority_changes_while_its_benchmark_is_queued_and_no_longer() {
    for world in worlds().await {
        let [first, second] = [world.submit().await.id, world.submit().await.id];
        let edited = world.store.edit(second, &priority("3")).await.unwrap();
        assert_eq!(edited.priority.get(), 3);
        assert_eq!(world.claim("r").await.unwrap().held.id, second);
        let refused = world.store.edit(second, &priority("4")).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "priority can change while a benchmark is queued, and this one is running"
        );
        // The one that is there may be named.
        assert_eq!(world.store.edit(second, &priority("3")).await.unwrap().status, State::Running);
        assert_eq!(world.claim("r").await.unwrap().held.id, first);
    }
}
