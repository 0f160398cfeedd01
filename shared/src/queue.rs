//! The queue as a whole: how it stands.

use serde::{Deserialize, Serialize};

use crate::{Labels, State};

/// How the queue stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object), oai(rename = "Queue"))]
pub struct QueueState {
    /// Whether nothing is begun.
    pub paused: bool,
    /// Benchmarks in each state there is one of.
    pub states: Vec<InState>,
    /// Queued benchmarks whose time has come.
    pub due: u64,
    /// Seconds for which the oldest of them has been due.
    pub oldest_due_s: Option<u64>,
    /// Targets with something queued, active or paused, the first 1,000 by their name.
    pub targets: Vec<TargetState>,
    /// Labels that queued benchmarks ask for and no runner that takes work has, the first 1,000.
    #[serde(default)]
    pub unplaced: Vec<Unplaced>,
    /// Queued benchmarks that want more runners than take work, or more users than those have room
    /// for together; 0 where there is no runner.
    #[serde(default)]
    pub too_large: u64,
    /// Runners that live and take work.
    pub runners: u64,
    /// Those of them that have none.
    pub free_runners: u64,
}

impl QueueState {
    /// Benchmarks in `state`.
    pub fn count(&self, state: State) -> u64 {
        self.states.iter().filter(|of| of.status == state).map(|of| of.count).sum()
    }
}

/// Benchmarks in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct InState {
    /// The state.
    pub status: State,
    /// How many.
    pub count: u64,
}

/// How one target stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object), oai(rename = "OfTarget"))]
pub struct TargetState {
    /// Scheme, host, port and path.
    pub target: String,
    /// Benchmarks that wait for it.
    pub queued: u64,
    /// Benchmarks that load it.
    pub active: u64,
    /// Whether nothing is begun on it.
    pub paused: bool,
}

/// Benchmarks whose labels no runner has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Unplaced {
    /// What each of them asks for.
    pub labels: Labels,
    /// How many wait.
    pub queued: u64,
}

/// What an abort came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Aborted {
    /// Benchmarks that waited and are cancelled.
    pub cancelled: u64,
    /// Benchmarks that are asked to stop.
    pub asked_to_stop: u64,
}
