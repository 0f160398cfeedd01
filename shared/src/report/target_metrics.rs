//! What the server under test said of itself while it was loaded.

use serde::{Deserialize, Serialize};

/// Read from the server's own `/metrics` once a second, on the run's time axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct TargetMetrics {
    /// Whose names these are: `vllm`, `sglang`, `llama.cpp` or `tgi`.
    pub server: String,
    /// Readings that were taken.
    pub readings: u64,
    /// Readings that brought nothing; five in a row end it.
    pub missed: u64,
    /// Requests that waited in the server's queue.
    pub queue: Option<Gauge>,
    /// Requests that the server worked on.
    pub running: Option<Gauge>,
    /// Share of its KV cache that was used, 0 to 1.
    pub kv_cache: Option<Gauge>,
    /// Prefix cache hits / queries between the first and the last reading; where the server tells
    /// only a share, the mean of that.
    pub prefix_hit_ratio: Option<f64>,
}

/// What readings of one figure come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object), oai(rename = "TargetGauge"))]
pub struct Gauge {
    /// Mean of the readings.
    pub mean: f64,
    /// Highest of them.
    pub max: f64,
}
