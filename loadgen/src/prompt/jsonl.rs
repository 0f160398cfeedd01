//! Prompts of a JSONL file: one object a line, one of its fields the prompt.

use serde_json::{Map, Value};

use super::LONGEST_PROMPT;

/// Most bytes of a file.
pub(super) const LARGEST_FILE: u64 = 64 * 1024 * 1024;

/// The fields that may hold the prompt; the first that is there counts.
const FIELDS: [&str; 4] = ["prompt", "text", "question", "instruction"];

/// Why a line holds no prompt. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not JSON.
    #[error("line {line} is not a JSON object: {why}")]
    NotAnObject {
        /// The line.
        line: usize,
        /// What the parser says.
        why: String,
    },
    /// None of the fields.
    #[error("line {0} has none of the fields {known} with a text in it", known = FIELDS.join(", "))]
    NoPrompt(usize),
    /// Too long to be sent.
    #[error("line {line} has a prompt of {bytes} bytes, more than the {LONGEST_PROMPT} allowed")]
    TooLong {
        /// The line.
        line: usize,
        /// Its length.
        bytes: usize,
    },
}

/// The prompts of a file, in order. Blank lines count as lines but are passed over.
pub(super) fn prompts(bytes: &[u8]) -> Result<Vec<String>, LineError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    (1..)
        .zip(bytes.split(|byte| *byte == b'\n'))
        .filter(|(_, text)| !text.trim_ascii().is_empty())
        .map(|(line, text)| prompt(line, text))
        .collect()
}

fn prompt(line: usize, text: &[u8]) -> Result<String, LineError> {
    let mut object: Map<String, Value> = serde_json::from_slice(text)
        .map_err(|error| LineError::NotAnObject { line, why: error.to_string() })?;
    let prompt = FIELDS.iter().find_map(|field| match object.remove(*field)? {
        Value::String(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    });
    match prompt {
        None => Err(LineError::NoPrompt(line)),
        Some(prompt) if prompt.len() > LONGEST_PROMPT => {
            Err(LineError::TooLong { line, bytes: prompt.len() })
        }
        Some(prompt) => Ok(prompt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_field_is_a_prompt() {
        let file = "\u{feff}{\"prompt\":\"one\"}\r\n\n{\"text\":\"two\",\"id\":3}\n{\"question\":\"three\"}\n{\"instruction\":\"four\"}";
        assert_eq!(prompts(file.as_bytes()).unwrap(), ["one", "two", "three", "four"]);
        let both = br#"{"text":"second","prompt":"first"}"#;
        assert_eq!(prompts(both).unwrap(), ["first"]);
        assert_eq!(prompts(b"\n \n").unwrap(), [""; 0]);
    }

    #[test]
    fn an_unreadable_line_is_named_by_its_number() {
        let error = |file: &[u8]| prompts(file).unwrap_err().to_string();
        let ok = "{\"prompt\":\"x\"}\n\n";
        assert!(error(format!("{ok}{{\"prompt\":").as_bytes()).starts_with("line 3 is not a JSON"));
        assert!(error(format!("{ok}[1]").as_bytes()).starts_with("line 3 is not a JSON object"));
        assert!(error(b"{\"prompt\":\"\xff\"}").starts_with("line 1 is not a JSON object"));
        let fields = "none of the fields prompt, text, question, instruction with a text in it";
        for line in [r#"{"prompt":7}"#, r#"{"prompt":"  "}"#, r#"{"other":"x"}"#] {
            assert_eq!(error(format!("{ok}{line}").as_bytes()), format!("line 3 has {fields}"));
        }
        let long = format!("{{\"prompt\":\"{}\"}}", "x".repeat(LONGEST_PROMPT + 1));
        assert_eq!(
            error(long.as_bytes()),
            "line 1 has a prompt of 1048577 bytes, more than the 1048576 allowed"
        );
    }
}
