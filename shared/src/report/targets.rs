//! The figures of each server, where a run has several.

use serde::{Deserialize, Serialize};

use super::{Distribution, Failure};
use crate::TargetUrl;

/// What one of several servers did with its share of the requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct TargetFigures {
    /// Its base URL, as the request named it.
    pub url: TargetUrl,
    /// Its `Server` header.
    pub server: Option<String>,
    /// Requests that were its turn and were taken up.
    pub started: u64,
    /// Requests that it answered in full.
    pub completed: u64,
    /// Requests in one of the failure classes.
    pub failed: u64,
    /// Requests still open when the run ended or was cancelled.
    pub cancelled: u64,
    /// `failed / (completed + failed)`; none: nothing ended.
    pub error_rate: Option<f64>,
    /// What failed, by class, most frequent first.
    pub failures: Vec<Failure>,
    /// Send to first token event, as in `latency`.
    pub ttft_ms: Option<Distribution>,
    /// Send to last token event, as in `latency`.
    pub e2e_ms: Option<Distribution>,
    /// Connections opened to it.
    pub connections_opened: u64,
}
