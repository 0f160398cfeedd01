//! Requests at random, evenly or in bursts.

use serde::{Deserialize, Serialize};

use super::{OpenLimits, RequestRate, Variation};

/// An open loop whose gaps are gamma distributed.
///
/// The shape of the distribution is `1 / cv²`. With `cv` 1 it is a Poisson process; below, requests
/// are more evenly spaced; above, they come in bursts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Gamma {
    /// Requests a second, on average.
    pub rate: RequestRate,
    /// Coefficient of variation of the gaps: their standard deviation / mean.
    pub cv: Variation,
    /// What bounds it.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", oai(flatten))]
    pub limits: OpenLimits,
}
