//! What a running benchmark tells while it runs.

use serde::{Deserialize, Serialize};

/// Where a run is within itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waiting for a runner.
    #[default]
    Queued,
    /// Prompts, tokenizer, probe.
    Preparing,
    /// Waiting for the other runners that make the load together.
    Gathering,
    /// Users are still being started.
    Warmup,
    /// All users are there.
    Measuring,
    /// No request is sent any more; open ones may end.
    Draining,
    /// The report is made and stored.
    Finalizing,
    /// Over.
    Ended,
}

/// A run in one line, about a second old at most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Progress {
    /// Where the run is within itself.
    pub phase: Phase,
    /// Seconds since the first user started.
    pub elapsed_s: f64,
    /// Requests that ended, well or not; those cut off at the end do not count.
    pub requests: u64,
    /// Of them, those that failed.
    pub errors: u64,
    /// Requests open now.
    pub in_flight: u64,
    /// Output tokens received so far, as far as they are known before a stream ends.
    pub output_tokens: u64,
}
