//! Prompts made up to be of a wanted length, counted by the tokenizer.

use serde::{Deserialize, Serialize};

use crate::LengthMix;

bounded! {
    /// Tokens that prompts begin with in common.
    PrefixTokens(u32) in 1..=262_143, "prefix_tokens"
}
bounded! {
    /// Different beginnings of that length.
    PrefixCount(u32) in 1..=100_000, "prefix_count"
}

/// Prompts made up to be of a wanted length, counted by the tokenizer without a chat template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Synthetic {
    /// Tokens of prompts and answers.
    pub lengths: LengthMix,
    /// What prompts begin with in common; none: no two begin alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", oai(skip_serializing_if_is_none))]
    pub prefixes: Option<Prefixes>,
}

/// Beginnings that prompts share: each prompt has one of them, drawn evenly. They are part of a
/// prompt's length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Prefixes {
    /// The length of each, in tokens.
    pub tokens: PrefixTokens,
    /// How many there are.
    pub count: PrefixCount,
}
