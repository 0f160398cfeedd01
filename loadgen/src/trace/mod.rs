//! Recorded loads: when each request came, and how long it and its answer were.
//!
//! A trace is read line by line, so its file may be larger than memory; kept are the rows that the
//! run can send, 40 bytes each (and 8 for each block of a Mooncake row, or the bytes of a prompt).
//! Every line is checked, sent or not: what is wrong is named by the line's number before any load.

mod azure;
mod burstgpt;
mod cells;
mod columns;
mod error;
mod jsonl;
mod lines;
mod mooncake;

use std::{
    io::{BufRead, BufReader},
    path::Path,
};

use shared::{MaxTokens, Replay, TraceFormat};

pub use self::error::{LineError, TraceError};
use self::{cells::Cells, columns::Columns, lines::Lines};
use crate::{arrival::replayed_us, prompt::data_dir, sample::Micros};

/// Most bytes of a trace's file.
const LARGEST_FILE: u64 = 4 * 1024 * 1024 * 1024;
/// Most rows that are kept, so most requests of a run.
const MOST_ROWS: usize = 2_000_000;
/// Most tokens of a prompt.
const MOST_INPUT_TOKENS: u32 = 1_000_000;
/// Latest time in a trace, in seconds: microseconds of later ones are no exact floats.
const LATEST_S: f64 = 8e9;

/// What of a recorded load a run can send, in the order of its time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Trace {
    /// The requests.
    pub(crate) rows: Vec<Row>,
    /// When the first one would be due that is not sent; none: the trace ends with its rows.
    pub(crate) beyond_us: Option<Micros>,
}

/// One request of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// When it is due, from the first one on.
    pub(crate) due_us: Micros,
    /// Tokens of its answer; none: the trace does not tell.
    pub(crate) output_tokens: Option<u32>,
    /// What it said.
    pub(crate) said: Said,
}

/// What a request said, as far as the trace tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    /// So many tokens.
    Tokens {
        /// How many.
        tokens: u32,
        /// What it begins with, in blocks of [`BLOCK_TOKENS`] (the last one is cut off at `tokens`):
        /// equal numbers, equal texts. What they leave is its own.
        blocks: Box<[u64]>,
    },
    /// This.
    Text(Box<str>),
    /// Nobody knows.
    Anything,
}

/// Tokens of a block: the unit in which requests of a trace share their beginnings.
pub(crate) const BLOCK_TOKENS: u32 = 512;

/// What of a trace a run can send.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// Faster than it was recorded, by this factor.
    speed: f64,
    /// Requests due from here on are not sent.
    until_us: Micros,
    /// Most requests.
    most: usize,
}

impl Trace {
    /// Reads what `replay` can send of its trace, below `data_dir`.
    pub(crate) async fn load(replay: &Replay, data_dir: &Path) -> Result<Self, TraceError> {
        let (replay, data_dir) = (replay.clone(), data_dir.to_owned());
        let reading = tokio::task::spawn_blocking(move || {
            let file = data_dir::open(&data_dir, replay.trace.as_str(), LARGEST_FILE)?;
            let limits = &replay.limits;
            let most = limits.max_requests.map_or(usize::MAX, |most| most.get() as usize);
            let until_us = Micros::from(limits.duration_s.get()) * 1_000_000;
            let wanted = Wanted { speed: replay.speed.get(), until_us, most };
            Self::read(BufReader::new(file), replay.format, wanted)
        });
        reading.await.map_err(|_| TraceError::Crashed)?
    }

    /// Reads a trace. The format is told by its first line where `format` does not say it.
    fn read(
        input: impl BufRead,
        format: Option<TraceFormat>,
        wanted: Wanted,
    ) -> Result<Self, TraceError> {
        let mut lines = Lines::of(input);
        let Some((line, first)) = lines.next()? else { return Err(TraceError::Empty) };
        let at = |why| TraceError::Line { line, why };
        let mut reader = Reader::told_by(first, format).map_err(at)?;
        let mut keeper = Keeper { wanted, kept: Self::default(), span_us: None };
        if let Some(row) = reader.first(first).map_err(at)? {
            keeper.take(row).map_err(at)?;
        }
        while let Some((line, text)) = lines.next()? {
            let taken = reader.row(text).and_then(|row| keeper.take(row));
            taken.map_err(|why| TraceError::Line { line, why })?;
            if keeper.kept.rows.len() > MOST_ROWS {
                return Err(TraceError::TooManyRows);
            }
        }
        // The first row is due at once, so where there is one, it is kept.
        if keeper.kept.rows.is_empty() {
            return Err(TraceError::Empty);
        }
        Ok(keeper.kept)
    }

    /// Whether any request is known by its length alone.
    pub(crate) fn needs_tokenizer(&self) -> bool {
        self.rows.iter().any(|row| matches!(row.said, Said::Tokens { .. }))
    }

    /// Whether of any request nothing is known but its time.
    pub(crate) fn needs_prompts(&self) -> bool {
        self.rows.iter().any(|row| row.said == Said::Anything)
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
    Csv(Columns, Cells),
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
        let cells = Cells::of(first)?;
        let azure = Columns::of(&azure::LAYOUT, &cells);
        let burstgpt = Columns::of(&burstgpt::LAYOUT, &cells);
        match (format, azure, burstgpt) {
            (None | Some(TraceFormat::Azure), Some(columns), _)
            | (None | Some(TraceFormat::BurstGpt), _, Some(columns)) => {
                Ok(Self::Csv(columns, cells))
            }
            (Some(other), ..) => Err(LineError::NotOf(other)),
            (None, ..) => Err(LineError::NoFormat),
        }
    }

    /// The row of the first line; none where that is a header.
    fn first(&mut self, line: &[u8]) -> Result<Option<Written>, LineError> {
        match self {
            Self::Csv(..) => Ok(None),
            Self::Mooncake | Self::Jsonl => self.row(line).map(Some),
        }
    }

    fn row(&mut self, line: &[u8]) -> Result<Written, LineError> {
        match self {
            Self::Mooncake => mooncake::row(line),
            Self::Jsonl => jsonl::row(line),
            Self::Csv(columns, cells) => {
                cells.read(line)?;
                columns.row(cells)
            }
        }
    }
}

/// Keeps what can be sent.
struct Keeper {
    wanted: Wanted,
    kept: Trace,
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
        let due_us = replayed_us(at_us.abs_diff(first_us), self.wanted.speed);
        if self.kept.beyond_us.is_some() {
            return Ok(());
        }
        if self.kept.rows.len() < self.wanted.most && due_us < self.wanted.until_us {
            self.kept.rows.push(Row { due_us, output_tokens, said });
        } else {
            self.kept.beyond_us = Some(due_us);
        }
        Ok(())
    }
}

/// Tokens of an answer. A recorded request that failed has none; no request asks for fewer than 1.
fn output(field: &'static str, tokens: u64) -> Result<u32, LineError> {
    within(field, tokens, MaxTokens::MAX)
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
