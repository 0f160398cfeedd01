//! How a benchmark lives: the states, and which may follow which.
//!
//! Pure; the database enforces the same table with a trigger, and a test holds the two together.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a benchmark stands. Clients must expect more words than these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted, waiting for a runner.
    Queued,
    /// A runner holds it.
    Running,
    /// A runner holds it and has been asked to stop.
    Cancelling,
    /// Ended with its full report.
    Completed,
    /// Ended without: see the reason.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
    /// Ended because it waited or ran too long.
    TimedOut,
    /// Its runner went silent while load may have been sent; what was measured until then is kept.
    Lost,
}

impl State {
    /// Every state, in the order of a benchmark's life.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Cancelling,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
        Self::Lost,
    ];

    /// Whether a benchmark in this state may go over to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Queued, Self::Running | Self::Cancelled | Self::TimedOut)
                | (
                    Self::Running,
                    Self::Queued
                        | Self::Cancelling
                        | Self::Completed
                        | Self::Failed
                        | Self::TimedOut
                        | Self::Lost
                )
                | (Self::Cancelling, Self::Cancelled)
        )
    }

    /// Whether nothing can follow.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Cancelling)
    }

    /// The word it is stored and sent as.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no status; known are queued, running, cancelling, completed, failed, cancelled, timed_out, lost"
)]
pub struct UnknownState(pub String);

impl std::str::FromStr for State {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| UnknownState(word.to_owned()))
    }
}

/// Why a benchmark did not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Reason {
    /// What kind of thing happened.
    pub code: ReasonCode,
    /// What happened, in words; where the target spoke, its words.
    pub detail: String,
}

impl Reason {
    /// A reason with its words.
    pub fn new(code: ReasonCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// The kinds of reasons. Clients must expect more words than these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// No connection to the target, or no answer from it.
    TargetUnreachable,
    /// The target refused the key.
    AuthRejected,
    /// The target does not serve the model.
    ModelMissing,
    /// The target answered the probe with something that is no chat completion.
    TargetUnusable,
    /// The target's address is one that must not be reached.
    PolicyBlocked,
    /// Every request failed.
    AllRequestsFailed,
    /// More requests failed than `max_error_rate` allows.
    ErrorRate,
    /// The prompts could not be loaded.
    Dataset,
    /// The tokenizer could not be loaded.
    Tokenizer,
    /// The trace could not be read.
    Trace,
    /// The run needs more than this runner has, e.g. open files.
    CapacityExceeded,
    /// The stored key could not be opened: another master key sealed it.
    SealedKey,
    /// The runner was stopped.
    RunnerShutdown,
    /// The runner lost its lease and stopped by itself.
    LeaseLost,
    /// The runner went silent.
    RunnerLost,
    /// One of several runners of it stopped or went silent; the others stopped for it.
    ShardLost,
    /// Not all of its runners were ready in time; no load was sent.
    GatherTimeout,
    /// Cancelled, and the runner went silent before it said so.
    CancelledRunnerLost,
    /// Somebody asked.
    CancelRequested,
    /// No runner took it in time.
    QueueTimeout,
    /// It ran longer than its plan allows.
    RunTimeout,
    /// Our fault; the runner's log has the cause.
    Internal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_transitions_exist_and_none_leaves_a_terminal_state() {
        let pairs = State::ALL.iter().flat_map(|from| State::ALL.map(|to| (*from, to)));
        let legal: Vec<_> = pairs.filter(|(from, to)| from.may_become(*to)).collect();
        assert_eq!(legal.len(), 10);
        assert!(legal.iter().all(|(from, _)| !from.is_terminal()));
    }

    #[test]
    fn a_state_is_read_back_from_its_word() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!("done".parse::<State>(), Err(UnknownState("done".into())));
    }
}
