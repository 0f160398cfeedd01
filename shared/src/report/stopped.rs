//! What ended a run before its time.

use serde::{Deserialize, Serialize};

/// What ended a run before its time: no request was sent after it, open ones got their grace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Stopped {
    /// What it was.
    pub by: StoppedBy,
    /// Seconds from the first user's start to it.
    pub at_s: f64,
    /// The figure that was too high or too low, with its limit.
    pub detail: String,
}

/// What may end a run before its time. Clients must expect more words than these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    /// More requests failed than `max_error_rate` allows.
    ErrorRate,
    /// The target no longer kept up (`stop_on_overload`).
    Overload,
}
