//! How a run ends, in the words of the store.

use loadgen::Outcome;
use shared::{Reason, ReasonCode, State};
use store::Ending;

use crate::lease::StopCause;

/// The end of a run whose load was driven.
pub(crate) fn of_outcome(outcome: Outcome, cause: Option<StopCause>) -> Ending {
    let failure = outcome.failure();
    let (to, reason) = match cause.filter(|_| outcome.stopped) {
        Some(cause) => of_stop(cause),
        None if failure.is_some() => (State::Failed, failure),
        None => (State::Completed, None),
    };
    Ending { to, reason, report: Some(outcome.report), series: outcome.series }
}

/// The end of a run that never sent load.
pub(crate) fn without_load(to: State, reason: Reason) -> Ending {
    Ending { to, reason: Some(reason), report: None, series: Vec::new() }
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
    };
    (to, Some(Reason::new(code, detail)))
}
