//! What ends a run before its time.

use serde::{Deserialize, Serialize};

bounded! {
    /// The share of failed requests above which a run is stopped.
    MaxErrorRate(f64) in 0.0..=1.0, "max_error_rate"
}

/// What ends a run before its time. What each means exactly is in docs/metrics.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Stops {
    /// A larger share of failed requests; none: failures stop nothing.
    #[serde(default)]
    pub max_error_rate: Option<MaxErrorRate>,
    /// A target that no longer keeps up.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", oai(default))]
    pub on_overload: bool,
}

impl Stops {
    /// Whether anything is to stop the run.
    pub fn any(&self) -> bool {
        self.max_error_rate.is_some() || self.on_overload
    }
}
