//! Asking to stop, and how soon the runner knows.

use std::time::Duration;

use futures::StreamExt;
use shared::{ReasonCode, State};
use store::{Renewal, StoreError};
use tokio::time::timeout;

use crate::world::{ending, worlds};

#[tokio::test]
async fn what_waits_is_cancelled_at_once() {
    for world in worlds().await {
        let id = world.submit().await.id;
        let cancelled = world.store.cancel(id).await.unwrap();
        assert_eq!(cancelled.status, State::Cancelled);
        assert_eq!(cancelled.reason.as_ref().unwrap().code, ReasonCode::CancelRequested);
        assert!(cancelled.finished_at.is_some() && cancelled.results.is_final);
        assert_eq!(world.store.cancel(id).await.unwrap(), cancelled, "again is fine");
        assert!(world.claim("r").await.is_none());
        assert_eq!(world.history(id).await, [State::Queued, State::Cancelled]);
    }
}

#[tokio::test]
async fn what_runs_is_asked_and_ends_as_cancelled_whatever_its_runner_says() {
    use State::{Cancelled, Cancelling, Queued, Running};

    for world in worlds().await {
        let held = world.loading().await;
        let asked = world.store.cancel(held.id).await.unwrap();
        assert_eq!(asked.status, State::Cancelling);
        assert_eq!(world.store.cancel(held.id).await.unwrap().status, State::Cancelling);
        assert_eq!(world.store.renew(&held).await.unwrap(), Renewal::CancelRequested);
        let seen = world.store.cancel_requested(&held).await.unwrap();
        assert_eq!(seen, Renewal::CancelRequested);

        let ended = world.store.finish(&held, ending(State::Completed)).await.unwrap();
        assert_eq!(ended, State::Cancelled);
        let cancelled = world.get(held.id).await;
        assert_eq!(cancelled.reason.as_ref().unwrap().code, ReasonCode::CancelRequested);
        assert!(cancelled.report.is_some() && cancelled.results.partial);
        assert_eq!(world.store.cancel(held.id).await.unwrap(), cancelled);
        assert_eq!(world.history(held.id).await, [Queued, Running, Cancelling, Cancelled]);
    }
}

#[tokio::test]
async fn what_was_cancelled_before_its_load_does_not_begin_and_does_not_go_back() {
    for world in worlds().await {
        let held = world.running().await;
        world.store.cancel(held.id).await.unwrap();
        for refused in
            [world.store.load_starts(&held, "tiny").await, world.store.give_back(&held).await]
        {
            assert!(matches!(refused, Err(StoreError::CancelRequested(_))), "{refused:?}");
        }
        assert_eq!(
            world.store.finish(&held, ending(State::Failed)).await.unwrap(),
            State::Cancelled
        );
    }
}

#[tokio::test]
async fn what_is_over_cannot_be_cancelled() {
    for world in worlds().await {
        let held = world.loading().await;
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        let refused = world.store.cancel(held.id).await;
        assert!(
            matches!(refused, Err(StoreError::AlreadyOver { state: State::Completed, .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_runner_hears_of_it_at_once() {
    for world in worlds().await {
        let held = world.loading().await;
        // Another process on PostgreSQL; on SQLite, the process that was asked.
        let runner = if world.database.is_postgres() {
            world.another_store().await
        } else {
            world.store.clone()
        };
        let mut cancellations = runner.cancellations();
        let heard = tokio::spawn(async move { cancellations.next().await });
        // It may not listen yet; whoever asks again tells again.
        let mut asked = 0;
        while !heard.is_finished() && asked < 200 {
            world.store.cancel(held.id).await.unwrap();
            asked += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let heard = timeout(Duration::from_secs(5), heard).await.expect("heard").unwrap();
        assert_eq!(heard, Some(held.id));
    }
}
