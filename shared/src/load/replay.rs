//! A recorded load, sent again.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{MaxRequests, OpenLimits, Users, open::at_most};
use crate::prompts::{InvalidSource, shortened, stays_inside};

bounded! {
    /// By how much faster than it was recorded a trace is replayed.
    TraceSpeed(f64) in 0.01..=1_000.0, "trace_speed"
}

impl TraceSpeed {
    /// As it was recorded.
    pub const AS_RECORDED: Self = Self(1.0);
}

/// An open loop whose requests are due when those of a trace came, counted from its first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Replay {
    /// The trace's file, below the runner's `DATA_DIR`.
    pub trace: TracePath,
    /// Whose format it is in; none: its first line tells.
    pub format: Option<TraceFormat>,
    /// By how much faster than it was recorded.
    pub speed: TraceSpeed,
    /// What bounds it.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", oai(flatten))]
    pub limits: OpenLimits,
}

impl Replay {
    /// The most requests open at once, as far as that is known without the trace.
    pub(super) fn peak(&self) -> Users {
        let due = self.limits.max_requests.map_or(u32::MAX, MaxRequests::get);
        at_most(due, self.limits.max_concurrency, 0.0)
    }
}

/// A trace's file: a path below `DATA_DIR`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TracePath(String);

impl TracePath {
    /// Most characters.
    pub const MAX_CHARS: usize = 256;

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TracePath {
    type Error = InvalidSource;

    fn try_from(given: String) -> Result<Self, InvalidSource> {
        let path = given.trim();
        if path.chars().count() <= Self::MAX_CHARS && stays_inside(path) {
            Ok(Self(path.to_owned()))
        } else {
            Err(InvalidSource::Outside { field: "trace", path: shortened(path) })
        }
    }
}

impl From<TracePath> for String {
    fn from(path: TracePath) -> Self {
        path.0
    }
}

impl fmt::Display for TracePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose format a trace is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
pub enum TraceFormat {
    /// Mooncake's JSONL.
    Mooncake,
    /// The CSV of Azure's LLM inference traces.
    Azure,
    /// `BurstGPT`'s CSV.
    BurstGpt,
    /// Our own JSONL.
    Jsonl,
}

impl TraceFormat {
    const ALL: [Self; 4] = [Self::Mooncake, Self::Azure, Self::BurstGpt, Self::Jsonl];

    /// The word that it is written as.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mooncake => "mooncake",
            Self::Azure => "azure",
            Self::BurstGpt => "burstgpt",
            Self::Jsonl => "jsonl",
        }
    }
}

impl TryFrom<String> for TraceFormat {
    type Error = UnknownTraceFormat;

    fn try_from(word: String) -> Result<Self, UnknownTraceFormat> {
        let known = Self::ALL.into_iter().find(|format| format.as_str() == word);
        known.ok_or_else(|| UnknownTraceFormat(shortened(&word)))
    }
}

/// A word that is no trace's format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("trace_format must be one of mooncake, azure, burstgpt, jsonl, not `{0}`")]
pub struct UnknownTraceFormat(String);
