//! Our own traces: JSONL with `at_s`, and what is known of the request.
//!
//! `input_tokens` or `prompt`, neither: a prompt of `dataset`; `output_tokens`, else `max_tokens`.

use serde::Deserialize;

use super::{Said, Written, error::LineError, from_seconds, input, output};
use crate::prompt::LONGEST_PROMPT;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at_s: f64,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    prompt: Option<String>,
}

/// Whether a line has this format's name.
pub(super) fn looks_like(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Names {
        #[serde(rename = "at_s")]
        _at_s: serde::de::IgnoredAny,
    }
    serde_json::from_slice::<Names>(line).is_ok()
}

pub(super) fn row(line: &[u8]) -> Result<Written, LineError> {
    let Line { at_s, input_tokens, output_tokens, prompt } =
        serde_json::from_slice(line).map_err(|error| LineError::Json(error.to_string()))?;
    let said = match (input_tokens, prompt) {
        (Some(_), Some(_)) => return Err(LineError::TextAndLength),
        (Some(tokens), None) => {
            let tokens = input("input_tokens", tokens)?;
            Said::Tokens { tokens, blocks: Box::default() }
        }
        (None, Some(text)) if (1..=LONGEST_PROMPT).contains(&text.len()) => Said::Text(text.into()),
        (None, Some(text)) => return Err(LineError::PromptLength(text.len())),
        (None, None) => Said::Anything,
    };
    Ok(Written {
        at_us: from_seconds("at_s", at_s)?,
        output_tokens: output_tokens.map(|tokens| output("output_tokens", tokens)).transpose()?,
        said,
    })
}
