//! What time brings about. Time is moved in the rows, not waited for.

use std::time::Duration;

use shared::{Progress, ReasonCode, RunnerId, RunnerState, State};
use store::{Lease, Renewal, StoreError, Swept};

use crate::world::{ending, registration, report, second, worlds};

#[tokio::test]
async fn a_run_whose_runner_went_silent_is_lost_with_what_it_measured() {
    for world in worlds().await {
        let held = world.loading().await;
        let waiting = world.submit_to("http://llm.example:1000").await.id;
        let measured = (&report(6), &[second(0)][..]);
        world.store.progress(&held, &Progress::default(), Some(measured)).await.unwrap();
        world.expire(held.id).await;
        let tickets = world.tickets().await;

        let swept = world.store.sweep().await.unwrap();
        assert_eq!(swept.lost, [held.id]);
        let lost = world.get(held.id).await;
        assert_eq!(lost.status, State::Lost);
        assert_eq!(lost.reason.unwrap().code, ReasonCode::RunnerLost);
        assert_eq!(lost.report, Some(report(6)));
        assert!(lost.results.partial && lost.results.is_final);
        assert_eq!(world.store.timeseries(held.id).await.unwrap(), [second(0)]);
        let events = world.store.events(held.id, 2).await.unwrap();
        assert_eq!((events[0].actor.as_str(), events[0].fence), ("sweeper", held.fence + 1));

        // Its runner comes back: too late.
        assert_eq!(world.store.renew(&held).await.unwrap(), Renewal::Lost);
        let late = world.store.finish(&held, ending(State::Completed)).await;
        assert!(matches!(late, Err(StoreError::Lost(_))), "{late:?}");

        // And the next on that target runs.
        assert!(world.tickets().await > tickets);
        assert_eq!(world.claim("runner-b").await.unwrap().held.id, waiting);
    }
}

#[tokio::test]
async fn a_lost_run_is_run_again_only_where_it_asks_for_that_and_thrice_at_most() {
    for world in worlds().await {
        let mut held = world.loading().await;
        world.execute(&world.asking_to_rerun(held.id)).await.unwrap();
        for attempt in 2..=3 {
            let measured = (&report(6), &[second(0)][..]);
            world.store.progress(&held, &Progress::default(), Some(measured)).await.unwrap();
            world.expire(held.id).await;
            assert_eq!(world.store.sweep().await.unwrap().requeued, [held.id]);
            let queued = world.get(held.id).await;
            assert_eq!((queued.status, &queued.report), (State::Queued, &None));
            let events = world.store.events(held.id, 0).await.unwrap();
            let back = events.last().unwrap();
            assert_eq!((back.fence, back.to), (held.fence + 1, State::Queued));
            assert_eq!(back.reason.as_ref().unwrap().code, ReasonCode::RunnerLost);
            assert_eq!(world.store.renew(&held).await.unwrap(), Renewal::Lost);

            let again = world.claim("runner-b").await.unwrap();
            assert_eq!((again.held.id, again.attempt), (held.id, attempt));
            held = again.held;
            world.store.load_starts(&held, "m").await.unwrap();
        }
        world.expire(held.id).await;
        assert_eq!(world.store.sweep().await.unwrap().lost, [held.id]);
    }
}

#[tokio::test]
async fn a_run_that_its_living_runner_does_not_end_is_timed_out_with_what_it_measured() {
    for world in worlds().await {
        let held = world.loading().await;
        let limit = "SELECT run_deadline_ms - load_started_at_ms FROM benchmark";
        let limit_ms = world.count(limit).await;
        let load_ms = 1_000 * world.count("SELECT duration_s FROM benchmark").await;
        assert!((load_ms + 60_000..load_ms + 3_600_000).contains(&limit_ms), "{limit_ms}");
        let measured = (&report(6), &[second(0)][..]);
        world.store.progress(&held, &Progress::default(), Some(measured)).await.unwrap();
        assert_eq!(world.store.renew(&held).await.unwrap(), Renewal::Held);
        assert_eq!(world.store.sweep().await.unwrap(), Swept::default());

        world.execute("UPDATE benchmark SET run_deadline_ms = 1").await.unwrap();
        assert_eq!(world.store.sweep().await.unwrap().timed_out, [held.id]);
        let over = world.get(held.id).await;
        assert_eq!(over.status, State::TimedOut);
        assert_eq!(over.reason.unwrap().code, ReasonCode::RunTimeout);
        assert_eq!(over.report, Some(report(6)));
        let events = world.store.events(held.id, 2).await.unwrap();
        assert_eq!((events[0].actor.as_str(), events[0].fence), ("sweeper", held.fence + 1));
        assert_eq!(world.store.renew(&held).await.unwrap(), Renewal::Lost);
        let late = world.store.finish(&held, ending(State::Completed)).await;
        assert!(matches!(late, Err(StoreError::Lost(_))), "{late:?}");

        let held = world.loading().await;
        world.store.cancel(held.id).await.unwrap();
        let past = format!("UPDATE benchmark SET run_deadline_ms = 1 WHERE id = {}", held.id);
        world.execute(&past).await.unwrap();
        assert_eq!(world.store.sweep().await.unwrap().cancelled, [held.id]);
        assert_eq!(world.get(held.id).await.status, State::Cancelled);
    }
}

#[tokio::test]
async fn a_run_that_had_sent_nothing_is_tried_with_two_more_runners() {
    for world in worlds().await {
        let held = world.running().await;
        for _ in 0..2 {
            world.expire(held.id).await;
            let tickets = world.tickets().await;
            assert_eq!(world.store.sweep().await.unwrap().requeued, [held.id]);
            assert_eq!(world.tickets().await, tickets + 1);
            let again = world.claim("runner-b").await.unwrap().held;
            assert_eq!(again.id, held.id);
            assert!(again.fence > held.fence);
        }
        world.expire(held.id).await;
        assert_eq!(world.store.sweep().await.unwrap().lost, [held.id]);
        assert!(world.get(held.id).await.reason.unwrap().detail.starts_with("3 runners"));
    }
}

#[tokio::test]
async fn a_run_that_was_being_cancelled_is_cancelled() {
    for world in worlds().await {
        let held = world.loading().await;
        world.store.cancel(held.id).await.unwrap();
        world.expire(held.id).await;
        assert_eq!(world.store.sweep().await.unwrap().cancelled, [held.id]);
        let cancelled = world.get(held.id).await;
        assert_eq!(cancelled.status, State::Cancelled);
        assert_eq!(cancelled.reason.unwrap().code, ReasonCode::CancelledRunnerLost);
    }
}

#[tokio::test]
async fn a_lease_is_let_be_until_its_grace_is_over() {
    for world in worlds().await {
        let held = world.loading().await;
        let now = if world.database.is_postgres() {
            "(extract(epoch from clock_timestamp()) * 1000)::bigint"
        } else {
            "unixepoch() * 1000"
        };
        let minute_ago = format!("UPDATE benchmark SET lease_until_ms = {now} - 60000");
        world.execute(&minute_ago).await.unwrap();
        let grace = Duration::from_hours(1);
        let patient = world.another_store_with(Lease { grace, ..Lease::default() }).await;
        assert_eq!(patient.sweep().await.unwrap().lost, []);
        assert_eq!(world.store.renew(&held).await.unwrap(), Renewal::Held);
        world.execute(&minute_ago).await.unwrap();
        assert_eq!(world.store.sweep().await.unwrap().lost, [held.id]);
    }
}

#[tokio::test]
async fn waiting_ends_at_its_deadline() {
    for world in worlds().await {
        let [late, waiting] = [world.submit().await.id, world.submit().await.id];
        world
            .execute(&format!("UPDATE benchmark SET queued_deadline_ms = 1 WHERE id = {late}"))
            .await
            .unwrap();
        let claimed = world.claim("r").await.unwrap().held;
        assert_eq!(claimed.id, waiting, "what is overdue is not claimed");
        assert_eq!(world.store.sweep().await.unwrap().timed_out, [late]);
        let timed_out = world.get(late).await;
        assert_eq!(timed_out.status, State::TimedOut);
        assert_eq!(timed_out.reason.unwrap().code, ReasonCode::QueueTimeout);
    }
}

#[tokio::test]
async fn a_lost_ticket_is_issued_again_once_for_each_free_target() {
    for world in worlds().await {
        world.running().await;
        world.submit_to("http://llm.example:1000").await;
        for url in ["http://a.example", "http://a.example", "http://b.example"] {
            world.submit_to(url).await;
        }
        assert_eq!(world.store.sweep().await.unwrap().tickets, 0, "all have theirs");
        world.execute(&format!("DELETE FROM {}", world.jobs())).await.unwrap();
        assert_eq!(world.store.sweep().await.unwrap().tickets, 2);
        assert_eq!(world.tickets().await, 2);
        assert_eq!(world.store.sweep().await.unwrap().tickets, 0);
    }
}

#[tokio::test]
async fn nothing_due_is_nothing_done() {
    for world in worlds().await {
        world.loading().await;
        world.submit().await;
        world.store.sweep().await.unwrap();
        assert_eq!(world.store.sweep().await.unwrap(), Swept::default());
    }
}

#[tokio::test]
async fn runners_are_listed_with_what_they_run_and_go_when_silent() {
    for world in worlds().await {
        let store = &world.store;
        store.register(&registration("runner-a")).await.unwrap();
        store.register(&registration("runner-a")).await.unwrap();
        let held = world.running().await;
        let runners = store.runners().await.unwrap();
        assert_eq!(runners.len(), 1);
        assert_eq!((runners[0].state, runners[0].benchmark), (RunnerState::Active, Some(held.id)));
        assert_eq!((runners[0].name.as_str(), runners[0].max_users), ("host-runner-a", 500));

        let id = RunnerId("runner-a".into());
        store.beat(&id, RunnerState::Draining).await.unwrap();
        assert_eq!(store.runners().await.unwrap()[0].state, RunnerState::Draining);
        assert!(!store.beat(&id, RunnerState::Active).await.unwrap());
        for _ in 0..2 {
            let asked = store.drain(&id).await.unwrap();
            assert_eq!((asked.state, asked.benchmark), (RunnerState::Draining, Some(held.id)));
        }
        assert_eq!(store.runners().await.unwrap()[0].state, RunnerState::Draining);
        assert!(store.beat(&id, RunnerState::Active).await.unwrap(), "it learns it with its beat");
        let unknown = store.drain(&RunnerId("no\0body".into())).await;
        assert!(matches!(unknown, Err(StoreError::UnknownRunner(_))), "{unknown:?}");
        let unknown = store.beat(&RunnerId("nobody".into()), RunnerState::Active).await;
        assert!(matches!(unknown, Err(StoreError::UnknownRunner(_))), "{unknown:?}");

        world.execute("UPDATE runner SET last_seen_ms = 1").await.unwrap();
        assert_eq!(store.runners().await.unwrap()[0].state, RunnerState::Gone);
        let gone = store.drain(&id).await;
        assert!(matches!(gone, Err(StoreError::RunnerGone(_))), "{gone:?}");
        store.register(&registration("runner-a")).await.unwrap();
        store.beat(&id, RunnerState::Active).await.unwrap();
        assert_eq!(store.runners().await.unwrap()[0].state, RunnerState::Active);

        world.execute("UPDATE runner SET last_seen_ms = 1").await.unwrap();
        world.prune_is_due().await;
        let swept = store.sweep().await.unwrap();
        assert_eq!((swept.runners_gone, swept.pruned), (1, 1), "gone for more than a day");
        assert_eq!(store.runners().await.unwrap(), []);
    }
}
