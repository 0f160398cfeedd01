//! Requests at equal distances.

use serde::{Deserialize, Serialize};

use super::{OpenLimits, RequestRate};

/// An open loop of requests at equal distances: request `i` is due after `i / rate` seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Constant {
    /// Requests a second.
    pub rate: RequestRate,
    /// What bounds it.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", oai(flatten))]
    pub limits: OpenLimits,
}
