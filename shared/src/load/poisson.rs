//! Requests at random, as from many people who know nothing of each other.

use serde::{Deserialize, Serialize};

use super::{OpenLimits, RequestRate};

/// An open loop whose gaps are exponentially distributed: a Poisson process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Poisson {
    /// Requests a second, on average.
    pub rate: RequestRate,
    /// What bounds it.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", oai(flatten))]
    pub limits: OpenLimits,
}
