//! Everything that decides what a run does. The same spec, the same load.

use serde::{Deserialize, Serialize};

use crate::{
    Call, Load, Margins, ModelName, OnLost, PromptSource, Slo, Stops, Synthetic, TargetUrl,
    TokenizerSource,
};

bounded! {
    /// Tokens that an answer may have at most.
    MaxTokens(u32) in 1..=32_768, "max_tokens"
}
bounded! {
    /// Tokens that an answer must have at least, where the target can be told so.
    MinTokens(u32) in 0..=32_768, "min_tokens"
}
bounded! {
    /// Turns of a conversation at most.
    Turns(u32) in 1..=100, "turns"
}
bounded! {
    /// Sampling temperature.
    Temperature(f64) in 0.0..=2.0, "temperature"
}
bounded! {
    /// Nucleus sampling mass.
    TopP(f64) in 0.0..=1.0, "top_p"
}
bounded! {
    /// Seconds after which a request is given up.
    TimeoutS(f64) in 0.1..=3_600.0, "timeout"
}
bounded! {
    /// What all chance in a run derives from; up to 2^53 - 1, so that every JSON reader keeps it.
    Seed(u64) in 0..=9_007_199_254_740_991, "seed"
}

bounded! {
    /// Runners that make a load together.
    Runners(u32) in 1..=64, "runners"
}

/// One benchmark, whole and valid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct BenchmarkSpec {
    /// The server under test.
    pub url: TargetUrl,
    /// Further servers of the same model: requests go to each in turn, `url` first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", oai(default, skip_serializing_if = "Vec::is_empty"))]
    pub urls: Vec<TargetUrl>,
    /// How the target is asked.
    #[serde(default, skip_serializing_if = "Call::is_plain")]
    #[cfg_attr(feature = "openapi", oai(default, skip_serializing_if = "Call::is_plain"))]
    pub call: Call,
    /// The model to ask for; none: the first that the target lists.
    pub model: Option<ModelName>,
    /// When requests are sent.
    pub load: Load,
    /// Where prompts come from.
    pub dataset: PromptSource,
    /// How prompts are made up; there where `dataset` is `synthetic`, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", oai(skip_serializing_if_is_none))]
    pub synthetic: Option<Synthetic>,
    /// Turns of the conversations that users hold, at least 2; none: requests have nothing to do with
    /// each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", oai(skip_serializing_if_is_none))]
    pub turns: Option<Turns>,
    /// What counts tokens beside the server; none: the server alone.
    pub tokenizer: Option<TokenizerSource>,
    /// How long answers are.
    pub output: Output,
    /// How answers are drawn.
    pub sampling: Sampling,
    /// When a request is given up.
    pub timeouts: Timeouts,
    /// What prompts and waits derive from.
    pub seed: Seed,
    /// What a good answer is; none: nothing is called good or bad.
    #[serde(default)]
    pub slo: Option<Slo>,
    /// What of the run's ends is left out of its figures.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", oai(default))]
    pub margins: Margins,
    /// What ends it before its time; none: nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", oai(skip_serializing_if_is_none))]
    pub stops: Option<Stops>,
    /// Whether each request opens a connection of its own.
    #[serde(default, skip_serializing_if = "is_default")]
    #[cfg_attr(feature = "openapi", oai(default, skip_serializing_if = "is_default"))]
    pub fresh_connections: bool,
    /// Whether the target's own `/metrics` are read beside the load, where it has any.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[cfg_attr(feature = "openapi", oai(default = "yes", skip_serializing_if = "is_yes"))]
    pub scrape: bool,
    /// Whether each request's row says when each of its token events came.
    #[serde(default, skip_serializing_if = "is_default")]
    #[cfg_attr(feature = "openapi", oai(default, skip_serializing_if = "is_default"))]
    pub record_tokens: bool,
    /// What becomes of it where its runner goes silent after it has begun to send load.
    #[serde(default, skip_serializing_if = "OnLost::is_fail")]
    #[cfg_attr(feature = "openapi", oai(default, skip_serializing_if = "OnLost::is_fail"))]
    pub on_lost: OnLost,
    /// How many runners make the load together, each an equal part of it; none: one, or as many as
    /// it takes where there are more users than one takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", oai(skip_serializing_if_is_none))]
    pub runners: Option<Runners>,
}

impl BenchmarkSpec {
    /// Most servers beside the first.
    pub const MAX_URLS: usize = 64;

    /// Every server under test, in the order in which they get their requests.
    pub fn targets(&self) -> impl Iterator<Item = &TargetUrl> + Clone {
        std::iter::once(&self.url).chain(&self.urls)
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's way of asking")]
fn is_yes(flag: &bool) -> bool {
    *flag
}

/// Left out where it says nothing: a spec that does not ask for it is written as ever.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How long answers are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Output {
    /// Most tokens of an answer.
    pub max_tokens: MaxTokens,
    /// Fewest tokens of an answer, where the target takes `min_tokens`.
    pub min_tokens: MinTokens,
    /// Ask for exactly `max_tokens`: the end token is ignored where the target takes `ignore_eos`.
    pub ignore_eos: bool,
    /// Whether each answer may have as many tokens as the data set has for it, and not `max_tokens`.
    #[serde(default, skip_serializing_if = "is_default")]
    #[cfg_attr(feature = "openapi", oai(default, skip_serializing_if = "is_default"))]
    pub of_dataset: bool,
}

/// How answers are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Sampling {
    /// Sampling temperature.
    pub temperature: Temperature,
    /// Nucleus sampling mass.
    pub top_p: TopP,
}

/// When a request is given up, each with its own failure class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Timeouts {
    /// Seconds until the connection must stand (`timeout_connect`).
    pub connect_s: TimeoutS,
    /// Seconds from sending to the first token (`timeout_first_token`).
    pub first_token_s: TimeoutS,
    /// Seconds without a byte once tokens flow (`timeout_idle`).
    pub idle_s: TimeoutS,
    /// Seconds for the whole request (`timeout_total`).
    pub total_s: TimeoutS,
}
