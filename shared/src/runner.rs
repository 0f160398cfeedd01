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
