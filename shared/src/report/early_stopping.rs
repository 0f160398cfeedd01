//! Whether there were enough requests for a high percentile.

use serde::{Deserialize, Serialize};

/// MLPerf's early stopping test, for figures with one value a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct EarlyStopping {
    /// How sure an estimate is not to be below the true percentile.
    pub confidence: f64,
    /// Requests with a value.
    pub n: u64,
    /// Of the 90th percentile.
    pub p90: SampleSize,
    /// Of the 99th percentile.
    pub p99: SampleSize,
}

/// What the number of requests supports of a percentile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct SampleSize {
    /// Whether there is an estimate: `n >= needed_n`.
    pub supported: bool,
    /// Fewest requests for an estimate.
    pub needed_n: u64,
    /// Highest values that are set aside; the estimate is the highest of the others. None: not
    /// supported.
    pub discarded: Option<u64>,
    /// The estimate of TTFT: with that confidence the true percentile is not above it.
    pub ttft_ms: Option<f64>,
    /// The estimate of E2E.
    pub e2e_ms: Option<f64>,
}
