//! Recorded loads: when each request came, and how long it and its answer were.
//!
//! A trace is read line by line, so its file may be larger than memory; kept are the rows that the
//! run can send, 40 bytes each (and 8 for each block of a Mooncake row, or the bytes of a prompt).
//! Every line is checked, sent or not: what is wrong is named by the line's number before any load.

mod azure;
mod burstgpt;
mod cells;
mod error;
mod jsonl;
mod lines;
mod mooncake;

use std::io::BufRead;

use shared::{MaxTokens, TraceFormat};

pub use self::error::{LineError, TraceError};
use self::{azure::Azure, burstgpt::BurstGpt, cells::Cells, lines::Lines};
use crate::{arrival::due_us, sample::Micros};

/// Most bytes of a trace's file.
pub const LARGEST_FILE: u64 = 4 * 1024 * 1024 * 1024;
/// Most rows that are kept, so most requests of a run.
pub const MOST_ROWS: usize = 2_000_000;
/// Most tokens of a prompt.
pub const MOST_INPUT_TOKENS: u32 = 1_000_000;
/// Most tokens of an answer.
pub const MOST_OUTPUT_TOKENS: u32 = MaxTokens::MAX;
/// Latest time in a trace, in seconds: microseconds of later ones are no exact floats.
const LATEST_S: f64 = 8e9;

/// A recorded load, in the order of its time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    rows: Vec<Row>,
}

/// One request of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// When it came, from the first one on.
    pub at_us: Micros,
    /// Tokens of its answer; none: the trace does not tell.
    pub output_tokens: Option<u32>,
    /// What it said.
    pub said: Said,
}

/// What a request said, as far as the trace tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// So many tokens.
    Tokens {
        /// How many.
        tokens: u32,
        /// Numbers of its blocks, where the trace tells which requests begin alike.
        blocks: Box<[u64]>,
    },
    /// This.
    Text(Box<str>),
    /// Nobody knows.
    Anything,
}

/// What of a trace a run can send.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Faster than it was recorded, by this factor.
    pub speed: f64,
    /// Requests due from here on are not sent.
    pub until_us: Micros,
    /// Most requests; none: any number.
    pub most: Option<usize>,
}

impl Trace {
    /// Reads a trace. The format is told by its first line where `format` does not say it.
    pub fn read(
        input: impl BufRead,
        format: Option<TraceFormat>,
        wanted: Wanted,
    ) -> Result<Self, TraceError> {
        let mut lines = Lines::of(input);
        let Some((line, first)) = lines.next()? else { return Err(TraceError::Empty) };
        let at = |why| TraceError::Line { line, why };
        let mut reader = Reader::told_by(first, format).map_err(at)?;
        let mut keeper = Keeper { wanted, rows: Vec::new(), span_us: None };
        if let Some(row) = reader.first(first).map_err(at)? {
            keeper.take(row).map_err(at)?;
        }
        while let Some((line, text)) = lines.next()? {
            let taken = reader.row(text).and_then(|row| keeper.take(row));
            taken.map_err(|why| TraceError::Line { line, why })?;
            if keeper.rows.len() > MOST_ROWS {
                return Err(TraceError::TooManyRows);
            }
        }
        // The first row is due at once, so where there is one, it is kept.
        if keeper.rows.is_empty() {
            return Err(TraceError::Empty);
        }
        Ok(Self { rows: keeper.rows })
    }

    /// The rows that can be sent; where the number of requests is limited, one more.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Takes the rows themselves.
    pub fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

/// A row as it is written, its time from wherever the trace counts.
struct Written {
    at_us: i64,
    output_tokens: Option<u32>,
    said: Said,
}

/// What reads the lines of a format.
enum Reader {
    Mooncake,
    Jsonl,
    Azure(Azure),
    BurstGpt(BurstGpt),
}

impl Reader {
    fn told_by(first: &[u8], format: Option<TraceFormat>) -> Result<Self, LineError> {
        if first.starts_with(b"{") {
            return match (format, jsonl::looks_like(first)) {
                (Some(TraceFormat::Mooncake), _) => Ok(Self::Mooncake),
                (Some(TraceFormat::Jsonl), _) | (None, true) => Ok(Self::Jsonl),
                (None, false) if mooncake::looks_like(first) => Ok(Self::Mooncake),
                (Some(other), _) => Err(LineError::NotOf(other)),
                (None, false) => Err(LineError::NoFormat),
            };
        }
        let header = Cells::of(first)?;
        let azure = || Azure::with(&header).map(Self::Azure);
        let burstgpt = || BurstGpt::with(&header).map(Self::BurstGpt);
        match format {
            Some(TraceFormat::Azure) => azure().ok_or(LineError::NotOf(TraceFormat::Azure)),
            Some(TraceFormat::BurstGpt) => {
                burstgpt().ok_or(LineError::NotOf(TraceFormat::BurstGpt))
            }
            Some(other) => Err(LineError::NotOf(other)),
            None => azure().or_else(burstgpt).ok_or(LineError::NoFormat),
        }
    }

    /// The row of the first line; none where that is a header.
    fn first(&mut self, line: &[u8]) -> Result<Option<Written>, LineError> {
        match self {
            Self::Azure(_) | Self::BurstGpt(_) => Ok(None),
            Self::Mooncake | Self::Jsonl => self.row(line).map(Some),
        }
    }

    fn row(&mut self, line: &[u8]) -> Result<Written, LineError> {
        match self {
            Self::Mooncake => mooncake::row(line),
            Self::Jsonl => jsonl::row(line),
            Self::Azure(azure) => azure.row(&Cells::of(line)?),
            Self::BurstGpt(burstgpt) => burstgpt.row(&Cells::of(line)?),
        }
    }
}

/// Keeps what can be sent.
struct Keeper {
    wanted: Wanted,
    rows: Vec<Row>,
    /// Times of the first and of the latest row.
    span_us: Option<(i64, i64)>,
}

impl Keeper {
    fn take(&mut self, row: Written) -> Result<(), LineError> {
        let Written { at_us, output_tokens, said } = row;
        let (first_us, last_us) = self.span_us.unwrap_or((at_us, at_us));
        if at_us < last_us {
            return Err(LineError::Backwards { at_s: seconds(at_us), last_s: seconds(last_us) });
        }
        self.span_us = Some((first_us, at_us));
        let at_us = at_us.abs_diff(first_us);
        // One more than are sent: when it would be due, the sending is over.
        let enough = self.wanted.most.is_some_and(|most| self.rows.len() > most);
        if !enough && due_us(at_us, self.wanted.speed) < self.wanted.until_us {
            self.rows.push(Row { at_us, output_tokens, said });
        }
        Ok(())
    }
}

/// Tokens of an answer. A recorded request that failed has none; no request asks for fewer than 1.
fn output(field: &'static str, tokens: u64) -> Result<u32, LineError> {
    within(field, tokens, MOST_OUTPUT_TOKENS)
}

/// Tokens of a prompt; the shortest has 1.
fn input(field: &'static str, tokens: u64) -> Result<u32, LineError> {
    within(field, tokens, MOST_INPUT_TOKENS)
}

fn within(field: &'static str, tokens: u64, most: u32) -> Result<u32, LineError> {
    match u32::try_from(tokens) {
        Ok(tokens) if tokens <= most => Ok(tokens.max(1)),
        _ => Err(LineError::TooLarge { field, value: tokens, most }),
    }
}

/// Microseconds of `seconds` of a trace.
#[expect(clippy::cast_possible_truncation, reason = "within what was checked")]
fn from_seconds(field: &'static str, seconds: f64) -> Result<i64, LineError> {
    if (0.0..=LATEST_S).contains(&seconds) {
        Ok((seconds * 1e6).round() as i64)
    } else {
        Err(LineError::NoTime { field, value: seconds.to_string() })
    }
}

#[expect(clippy::cast_precision_loss, reason = "within what was checked")]
fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests;
