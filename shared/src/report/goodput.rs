//! How much of what was served was good.

use serde::{Deserialize, Serialize};

use crate::Slo;

/// Requests that kept every limit of the objectives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Goodput {
    /// The limits.
    pub slo: Slo,
    /// Requests that completed and kept every limit, a second.
    pub requests_per_s: f64,
    /// `met / scheduled`; none: nothing was scheduled.
    pub ratio: Option<f64>,
    /// Requests that completed and kept every limit.
    pub met: u64,
    /// Requests that were due, whatever became of them: those that failed, were dropped or were
    /// cut off at the end are in it.
    pub scheduled: u64,
    /// Whether that many of that many show, with 99 % confidence, that at least 99 % of all
    /// requests keep the limits: MLPerf's early stopping test for its Server scenario.
    pub p99_shown: bool,
}
