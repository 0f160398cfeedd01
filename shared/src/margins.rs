//! What of a run's beginning and end is left out of its figures.

use serde::{Deserialize, Serialize};

bounded! {
    /// Seconds of sending time that are left out at one end.
    MarginS(u32) in 0..=3_600, "warmup and cooldown"
}

/// The stretches at both ends of the sending time whose requests count in no latency, rate or
/// goodput. With both 0, which is what specs without this member mean, everything counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Margins {
    /// Seconds from the first user's start.
    pub warmup_s: MarginS,
    /// Seconds before the end of the duration.
    pub cooldown_s: MarginS,
}

impl Default for Margins {
    fn default() -> Self {
        let none = MarginS::try_from(MarginS::MIN).expect("the smallest is within the limits");
        Self { warmup_s: none, cooldown_s: none }
    }
}
