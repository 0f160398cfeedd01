//! What can be wrong with a trace.

use shared::{Reason, ReasonCode, TraceFormat, TracePath};

use super::{MOST_ROWS, lines::LONGEST_LINE};
use crate::prompt::FileError;

/// Why a trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file could not be read.
    #[error("{0}")]
    File(#[from] FileError),
    /// The system broke off.
    #[error("it cannot be read: {0}")]
    Broken(#[from] std::io::Error),
    /// A line that is no row. Lines count from 1, the header and blank ones included.
    #[error("line {line} {why}")]
    Line {
        /// The line.
        line: u64,
        /// What is wrong with it.
        why: LineError,
    },
    /// Not one row.
    #[error("it has no rows")]
    Empty,
    /// More rows than can be kept.
    #[error(
        "more than {MOST_ROWS} of its rows are due within the duration; give max_requests or a shorter duration"
    )]
    TooManyRows,
    /// Lengths, and nothing to make texts of that length.
    #[error("its rows have prompts by their length, and nothing here counts tokens")]
    NoTokenizer,
    /// The reader panicked: our fault.
    #[error("the reader crashed; see the log")]
    Crashed,
}

impl TraceError {
    /// What the benchmark's owner reads of the trace at `path`.
    pub fn reason(&self, path: &TracePath) -> Reason {
        match self {
            Self::NoTokenizer => Reason::new(
                ReasonCode::Tokenizer,
                format!(
                    "tokenizer is required with trace `{path}`, which has the lengths of its prompts"
                ),
            ),
            Self::File(error) => Reason::new(ReasonCode::Trace, format!("trace: {error}")),
            error => Reason::new(ReasonCode::Trace, format!("trace: `{path}`: {error}")),
        }
    }
}

/// Why a line is no row.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LineError {
    /// Longer than any row.
    #[error("is longer than {LONGEST_LINE} bytes")]
    TooLong,
    /// Bytes that are no text.
    #[error("is not UTF-8")]
    NotUtf8,
    /// A first line that belongs to no format.
    #[error(
        "is of no known format: Mooncake's has `timestamp`, `input_length`, `output_length`; Azure's the columns TIMESTAMP, ContextTokens, GeneratedTokens; BurstGPT's Timestamp, Request tokens, Response tokens; our own `at_s`"
    )]
    NoFormat,
    /// A first line that does not belong to the format that was named.
    #[error("is not of trace_format {}", .0.as_str())]
    NotOf(TraceFormat),
    /// Not the JSON of a row.
    #[error("is not the JSON of a row: {0}")]
    Json(String),
    /// A cell that opens a quote and does not close it.
    #[error("has a quote that is not closed")]
    OpenQuote,
    /// Fewer or more cells than the header.
    #[error("has {found} fields, but the header has {expected}")]
    Cells {
        /// Its cells.
        found: u64,
        /// Those of the header.
        expected: u64,
    },
    /// Not a time.
    #[error("has `{value}` as {field}, which is no time")]
    NoTime {
        /// The field.
        field: &'static str,
        /// What it says.
        value: String,
    },
    /// Not a number of tokens.
    #[error("has `{value}` as {field}, which is no whole number")]
    NoNumber {
        /// The field.
        field: &'static str,
        /// What it says.
        value: String,
    },
    /// More tokens than any request has.
    #[error("has {value} as {field}, more than the {most} allowed")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// What it says.
        value: u64,
        /// The most there can be.
        most: u32,
    },
    /// Blocks that are not those of the length.
    #[error("has {found} hash_ids, but {tokens} tokens are {expected} blocks of {block}")]
    Blocks {
        /// Its blocks.
        found: usize,
        /// Its tokens.
        tokens: u32,
        /// The blocks that they are.
        expected: usize,
        /// Tokens of a block.
        block: u32,
    },
    /// Both a text and its length.
    #[error("has both prompt and input_tokens; one of them must do")]
    TextAndLength,
    /// A prompt that says nothing, or too much.
    #[error("has a prompt of {0} bytes, not of 1 to {most}", most = crate::prompt::LONGEST_PROMPT)]
    PromptLength(usize),
    /// Earlier than the row before.
    #[error("goes back in time: {at_s} s, after {last_s} s")]
    Backwards {
        /// Its time.
        at_s: f64,
        /// The time of the row before.
        last_s: f64,
    },
}
