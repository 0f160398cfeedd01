//! What a good answer is: service level objectives, and the pairs of limits that MLPerf uses.

use serde::{Deserialize, Serialize};

bounded! {
    /// The most milliseconds that something may take.
    SloMs(f64) in 0.001..=3_600_000.0, "slo"
}

/// Limits that an answer must all keep to be good. Those left out are no limits; at least one is
/// there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Slo {
    /// The preset that limits were taken from, where one was named; limits given beside it win.
    pub preset: Option<String>,
    /// Most milliseconds from sending to the first token.
    pub ttft_ms: Option<SloMs>,
    /// Most milliseconds for each token after the first, on the mean of an answer.
    pub tpot_ms: Option<SloMs>,
    /// Most milliseconds of any gap between two token events of an answer: its `stall_ms`.
    pub itl_ms: Option<SloMs>,
    /// Most milliseconds from sending to the last token.
    pub e2e_ms: Option<SloMs>,
}

impl Slo {
    /// Whether there is any limit at all.
    pub fn has_limits(&self) -> bool {
        [self.ttft_ms, self.tpot_ms, self.itl_ms, self.e2e_ms].iter().any(Option::is_some)
    }
}

/// The limits of a published benchmark's latency-bound scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SloPreset {
    /// What a request names it.
    pub name: &'static str,
    /// The model it was made for; larger ones are allowed more time.
    pub model: &'static str,
    /// The round of MLPerf Inference whose rules have it.
    pub round: &'static str,
    /// The year of that round's results.
    pub year: u16,
    /// Most milliseconds from due to the first token.
    pub ttft_ms: f64,
    /// Most milliseconds for each token after the first.
    pub tpot_ms: f64,
}

const fn mlperf(
    name: &'static str,
    model: &'static str,
    (round, year): (&'static str, u16),
    ttft_ms: f64,
    tpot_ms: f64,
) -> SloPreset {
    SloPreset { name, model, round, year, ttft_ms, tpot_ms }
}

const V5_0: (&str, u16) = ("v5.0", 2025);
const V5_1: (&str, u16) = ("v5.1", 2025);
const V6_0: (&str, u16) = ("v6.0", 2026);

impl SloPreset {
    /// MLPerf Inference, datacenter, Server and Interactive.
    ///
    /// Limits: `ttft_latency` and `tpot_latency` in `loadgen/mlperf.conf` of mlcommons/inference
    /// (commit 982b2063 for v5.0, 001712e9 for the others). Rounds: the scenarios of each round in
    /// its `tools/submission/submission_checker/constants.py`. There 99 % of the requests must
    /// keep each limit.
    pub const ALL: &[Self] = &[
        mlperf("mlperf-llama2-70b", "Llama 2 70B", V5_0, 2_000.0, 200.0),
        mlperf("mlperf-llama2-70b-interactive", "Llama 2 70B", V5_0, 450.0, 40.0),
        mlperf("mlperf-mixtral-8x7b", "Mixtral 8x7B", V5_0, 2_000.0, 200.0),
        mlperf("mlperf-llama3.1-405b", "Llama 3.1 405B", V5_0, 6_000.0, 175.0),
        mlperf("mlperf-llama3.1-405b-interactive", "Llama 3.1 405B", V5_1, 4_500.0, 80.0),
        mlperf("mlperf-llama3.1-8b", "Llama 3.1 8B", V5_1, 2_000.0, 100.0),
        mlperf("mlperf-llama3.1-8b-interactive", "Llama 3.1 8B", V5_1, 500.0, 30.0),
        mlperf("mlperf-deepseek-r1", "DeepSeek-R1", V5_1, 2_000.0, 80.0),
        mlperf("mlperf-deepseek-r1-interactive", "DeepSeek-R1", V6_0, 1_500.0, 15.0),
    ];
}

/// A name that no preset has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slo must be one of {known}, not `{given}`", known = SloPreset::ALL.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", "))]
pub struct UnknownPreset {
    given: String,
}

impl TryFrom<String> for SloPreset {
    type Error = UnknownPreset;

    fn try_from(given: String) -> Result<Self, UnknownPreset> {
        let known = Self::ALL.iter().find(|preset| preset.name == given);
        known.copied().ok_or_else(|| UnknownPreset { given: given.chars().take(64).collect() })
    }
}
