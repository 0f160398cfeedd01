//! The same stream in other tools' figures.

use serde::{Deserialize, Serialize};

use super::Distribution;

/// Latencies by the formulas of other tools, so that a history kept with one of them goes on. The
/// formulas and the versions they are of are in docs/metrics.md; percentiles are ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Aliases {
    /// vLLM's `ttft`: to the first event with a choice, be it without text.
    pub vllm_ttft_ms: Option<Distribution>,
    /// vLLM's `tpot`: from there to the last event with a choice, for each token but one.
    pub vllm_tpot_ms: Option<Distribution>,
    /// vLLM's `itl`: gaps between events with a choice.
    pub vllm_itl_ms: Option<Distribution>,
    /// guidellm's `time_per_output_token_ms`: TTFT is in it, and each token counts once.
    pub guidellm_tpot_ms: Option<Distribution>,
    /// guidellm's `inter_token_latency_ms`: our TPOT, each token but the first counts once.
    pub guidellm_itl_ms: Option<Distribution>,
    /// AIPerf's `inter_token_latency`: our TPOT by the tokenizer's count.
    pub aiperf_itl_ms: Option<Distribution>,
    /// genai-perf's `inter_token_latency`: the same, of answers without reasoning.
    pub genai_perf_itl_ms: Option<Distribution>,
}
