//! Mooncake's traces: JSONL with `timestamp` (ms), `input_length`, `output_length`, `hash_ids`.
//!
//! Source: FAST25-release/traces of kvcache-ai/Mooncake. A hash id stands for a block of 512 tokens
//! and all before it; the last one of a row is cut off where its input ends.

use serde::Deserialize;

use super::{BLOCK_TOKENS, Said, Written, error::LineError, from_seconds, input, output};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    timestamp: f64,
    input_length: u64,
    output_length: u64,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

/// Whether a line has this format's names.
pub(super) fn looks_like(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Names {
        #[serde(rename = "timestamp")]
        _timestamp: serde::de::IgnoredAny,
        #[serde(rename = "input_length")]
        _input_length: serde::de::IgnoredAny,
    }
    serde_json::from_slice::<Names>(line).is_ok()
}

pub(super) fn row(line: &[u8]) -> Result<Written, LineError> {
    let Line { timestamp, input_length, output_length, hash_ids } =
        serde_json::from_slice(line).map_err(|error| LineError::Json(error.to_string()))?;
    let tokens = input("input_length", input_length)?;
    let expected = tokens.div_ceil(BLOCK_TOKENS) as usize;
    if !hash_ids.is_empty() && hash_ids.len() != expected {
        let found = hash_ids.len();
        return Err(LineError::Blocks { found, tokens, expected, block: BLOCK_TOKENS });
    }
    Ok(Written {
        at_us: from_seconds("timestamp", timestamp / 1e3)?,
        output_tokens: Some(output("output_length", output_length)?),
        said: Said::Tokens { tokens, blocks: hash_ids.into() },
    })
}
