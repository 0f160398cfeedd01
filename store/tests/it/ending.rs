//! How runs end, and that what has ended stays as it is.

use shared::report::{Failure, FailureClass};
use shared::{Phase, Progress, Reason, ReasonCode, State};
use store::{Ending, Renewal, StoreError};

use crate::world::{ending, report, second, worlds};

#[tokio::test]
async fn a_completed_run_keeps_its_report_and_its_rows() {
    use State::{Completed, Queued, Running};

    for world in worlds().await {
        let held = world.loading().await;
        let measuring = Progress { phase: Phase::Measuring, in_flight: 3, ..Progress::default() };
        world.store.progress(&held, &measuring, Some((&report(3), &[second(0)]))).await.unwrap();
        let ended = world.store.finish(&held, ending(State::Completed)).await.unwrap();
        assert_eq!(ended, State::Completed);
        let read = world.get(held.id).await;
        assert_eq!((read.status, read.reason.clone()), (State::Completed, None));
        assert_eq!(read.report, Some(report(10)));
        assert_eq!((read.progress.phase, read.progress.in_flight), (Phase::Ended, 0));
        assert!(read.results.is_final && !read.results.partial && read.finished_at.is_some());
        assert_eq!(world.store.timeseries(held.id).await.unwrap(), [second(0), second(1)]);
        assert_eq!(world.count("SELECT count(*) FROM benchmark_partial").await, 0);
        assert_eq!(world.store.renew(&held).await.unwrap(), Renewal::Lost);
        assert_eq!(world.history(held.id).await, [Queued, Running, Completed]);
    }
}

#[tokio::test]
async fn an_end_whose_answer_was_lost_may_be_told_again() {
    for world in worlds().await {
        let held = world.loading().await;
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        let failed = Ending { report: None, ..ending(State::Failed) };
        assert_eq!(world.store.finish(&held, failed).await.unwrap(), State::Completed);
        assert_eq!(world.history(held.id).await.len(), 3);
    }
}

#[tokio::test]
async fn a_failure_keeps_its_reason_and_what_was_measured_before() {
    for world in worlds().await {
        let held = world.loading().await;
        let measured = (&report(4), &[second(0)][..]);
        world.store.progress(&held, &Progress::default(), Some(measured)).await.unwrap();
        let reason = Reason::new(ReasonCode::AllRequestsFailed, "HTTP 500: \0boom");
        let failed = Ending { reason: Some(reason), report: None, ..ending(State::Failed) };
        assert_eq!(world.store.finish(&held, failed).await.unwrap(), State::Failed);
        let read = world.get(held.id).await;
        let told = Reason::new(ReasonCode::AllRequestsFailed, "HTTP 500: \u{fffd}boom");
        assert_eq!(read.reason, Some(told.clone()));
        assert_eq!(read.report, Some(report(4)));
        assert!(read.results.partial && read.results.is_final);
        assert_eq!(world.store.timeseries(held.id).await.unwrap(), [second(0)]);
        let events = world.store.events(held.id, 2).await.unwrap();
        assert_eq!(
            (events[0].reason.as_ref(), events[0].actor.as_str()),
            (Some(&told), "runner-a")
        );
    }
}

#[tokio::test]
async fn what_a_hostile_target_says_can_be_stored() {
    for world in worlds().await {
        let held = world.loading().await;
        let mut measured = report(1);
        measured.failures = vec![Failure {
            class: FailureClass::Malformed,
            count: 1,
            sample: "\0\u{1}\u{fffd}\u{10ffff}'\"\\u0000".into(),
        }];
        let ending = Ending { report: Some(measured), ..ending(State::Completed) };
        world.store.finish(&held, ending).await.unwrap();
        let read = world.get(held.id).await.report.unwrap();
        assert_eq!(read.failures[0].sample, "\u{fffd}\u{1}\u{fffd}\u{10ffff}'\"\\u0000");
    }
}

#[tokio::test]
async fn a_run_cannot_end_as_what_is_no_end() {
    for world in worlds().await {
        let held = world.loading().await;
        for to in [State::Queued, State::Running, State::Cancelling, State::Lost] {
            let refused = world.store.finish(&held, ending(to)).await;
            assert!(matches!(refused, Err(StoreError::NotAnEnding { .. })), "{refused:?}");
        }
        let unreported = Ending { report: None, ..ending(State::Completed) };
        let refused = world.store.finish(&held, unreported).await;
        assert!(matches!(refused, Err(StoreError::NotAnEnding { .. })), "{refused:?}");
        assert_eq!(world.status(held.id).await, State::Running);
    }
}

#[tokio::test]
async fn a_run_that_took_too_long_has_timed_out() {
    for world in worlds().await {
        let held = world.loading().await;
        let reason = Reason::new(ReasonCode::RunTimeout, "still running after 90 s");
        let ending = Ending { reason: Some(reason.clone()), ..ending(State::TimedOut) };
        assert_eq!(world.store.finish(&held, ending).await.unwrap(), State::TimedOut);
        assert_eq!(world.get(held.id).await.reason, Some(reason));
    }
}
