//! How a run ends, in the words of the store.

use loadgen::Outcome;
use shared::{Reason, ReasonCode, State, report::Histograms};
use store::{Ending, StoredRequests};

use crate::lease::StopCause;

/// The end of a run whose load was driven.
///
/// - `lost`: what has become of another runner that made the load with this one, where it did not
///   make its part to the end.
pub(crate) fn of_outcome(
    outcome: Outcome,
    cause: Option<StopCause>,
    lost: Option<Reason>,
    requests: Option<StoredRequests>,
) -> Ending {
    let failure = outcome.failure();
    let (to, reason) = match cause.filter(|_| outcome.stopped) {
        Some(StopCause::ShardLost) | None if lost.is_some() => (State::Failed, lost),
        Some(cause) => of_stop(cause),
        None if failure.is_some() => (State::Failed, failure),
        None => (State::Completed, None),
    };
    let Outcome { report, series, histograms, .. } = outcome;
    Ending { to, reason, report: Some(report), series, histograms, requests }
}

/// The end of a run that never sent load.
pub(crate) fn without_load(to: State, reason: Reason) -> Ending {
    of_nothing(to, Some(reason))
}

/// The end of a run that measured nothing.
pub(crate) fn of_nothing(to: State, reason: Option<Reason>) -> Ending {
    Ending {
        to,
        reason,
        report: None,
        series: Vec::new(),
        histograms: Histograms::new(),
        requests: None,
    }
}

/// The end of a run that was stopped for `cause`.
pub(crate) fn of_stop(cause: StopCause) -> (State, Option<Reason>) {
    let (to, code, detail) = match cause {
        StopCause::Cancelled => {
            (State::Cancelled, ReasonCode::CancelRequested, "cancelled on request")
        }
        StopCause::LeaseLost => (
            State::Failed,
            ReasonCode::LeaseLost,
            "the runner could not renew its lease and stopped by itself",
        ),
        StopCause::Shutdown => {
            (State::Failed, ReasonCode::RunnerShutdown, "the runner was stopped")
        }
        StopCause::ShardLost | StopCause::Braked => {
            (State::Failed, ReasonCode::ShardLost, "another runner of this load was lost")
        }
        StopCause::Overrun => (
            State::TimedOut,
            ReasonCode::RunTimeout,
            "it was not over long after its duration and grace",
        ),
    };
    (to, Some(Reason::new(code, detail)))
}
