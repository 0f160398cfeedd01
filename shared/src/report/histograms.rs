//! The samples behind the figures, in a form that merges without loss.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The histograms of a run, by the figure's name in the report (`ttft_ms`), in alphabetical order.
pub type Histograms = BTreeMap<String, HistogramV2>;

/// One histogram: HDR V2 as every `HdrHistogram` library reads it, and beside it what such a
/// histogram knows only to its precision. Two of one figure are merged by adding the histograms
/// and every sum, and taking the lesser minimum and the greater maximum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct HistogramV2 {
    /// The unit of the values in `hdr_v2`. The report's figures are thousandths of it: ms, tokens/s.
    pub unit: HistogramUnit,
    /// Samples.
    pub n: u64,
    /// Sum of the samples, in thousandths of the unit; a whole number of any length.
    pub sum: String,
    /// Sum of their squares, in squares of those thousandths.
    pub sum_of_squares: String,
    /// Smallest, in thousandths of the unit; none: no samples.
    pub min: Option<u64>,
    /// Largest, likewise.
    pub max: Option<u64>,
    /// The counts, 3 significant digits: HDR V2, compressed, in base64.
    pub hdr_v2: String,
}

/// What a value of a histogram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum HistogramUnit {
    /// Microseconds.
    Us,
    /// Thousandths of a token a second.
    MilliTokensPerS,
}
