//! Everything at the start: the most a target can do.

use serde::{Deserialize, Serialize};

use super::{DurationS, GraceS, MaxConcurrency, MaxRequests};

/// An open loop whose requests are all due at the start.
///
/// Answers get `duration_s` and `grace_s` seconds; what is open then is cancelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct AllAtOnce {
    /// Requests.
    pub requests: MaxRequests,
    /// Seconds for the answers.
    pub duration_s: DurationS,
    /// Further seconds for them.
    pub grace_s: GraceS,
    /// Requests open at once, the others being dropped; none: up to 10,000.
    pub max_concurrency: Option<MaxConcurrency>,
}
