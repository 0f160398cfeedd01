//! Who drives load.

use serde::{Deserialize, Serialize};

use crate::{BenchmarkId, Labels, RunnerId, Timestamp};

/// Whether a runner takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum RunnerState {
    /// Takes work.
    Active,
    /// Finishes what it has and takes nothing new.
    Draining,
    /// Has said goodbye, or has been silent for longer than a lease.
    Gone,
}

/// What a runner's load threads bear, each at 60 % of its core; above, clocks begin to be late.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object), oai(rename_all = "camelCase"))]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// Streams of 10 token events a second each.
    pub streams: u32,
    /// Token events a second, over all streams.
    pub events_per_s: u32,
    /// CPU time that one of them takes, in microseconds: what was measured.
    pub cpu_us_per_event: f64,
}

/// One start of one runner process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object), oai(rename_all = "camelCase"))]
#[serde(rename_all = "camelCase")]
pub struct Runner {
    /// New at every start.
    pub id: RunnerId,
    /// Host name and process id, for people.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Whether it takes work.
    pub state: RunnerState,
    /// Most users it takes in one run.
    pub max_users: u32,
    /// What it found at its start that it can bear; null: it did not measure.
    #[serde(default)]
    pub measured: Option<Capacity>,
    /// What it is known by: it takes benchmarks that ask for some of these.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", oai(default))]
    pub labels: Labels,
    /// The benchmark it runs now.
    pub benchmark: Option<BenchmarkId>,
    /// When it started.
    pub booted_at: Timestamp,
    /// When it last said so.
    pub last_seen_at: Timestamp,
}
