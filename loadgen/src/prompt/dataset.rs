//! Data sets: files of prompts or conversations, below `DATA_DIR` or from the Hugging Face hub.
//!
//! A file of our own is read strictly: a row that cannot be sent ends the run by its number, before
//! any load. Somebody else's is read leniently: such rows are passed over, and only a file without
//! any other is an error.

mod conversation;
mod images;
mod message;
mod row;
mod rows;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use shared::{BenchmarkSpec, Endpoint, Turns};

pub(super) use self::conversation::Conversation;
pub use self::{conversation::Unsendable, images::NoImage};
use self::{images::Images, row::Row};
use super::{MOST_PROMPTS, PromptError, Tokenizer, data_dir, hub::HubFile};

/// Most bytes of a file of our own: an unabridged `ShareGPT` has 700 MB.
const LARGEST_FILE: u64 = 1024 * 1024 * 1024;

/// A data set that is to be read.
#[derive(Clone, Debug)]
pub(super) struct DataSet {
    /// What refusals call it.
    name: String,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    /// `name` below this directory.
    Local(PathBuf),
    /// A file that the hub gave.
    Fetched(PathBuf),
}

/// What a run wants of each row.
#[derive(Clone, Debug)]
pub(super) struct Wants {
    /// Most turns of a conversation.
    pub(super) turns: usize,
    pub(super) endpoint: Endpoint,
    /// Whether each turn must have a length of its own.
    pub(super) lengths: bool,
    /// What counts recorded answers.
    pub(super) tokenizer: Option<Tokenizer>,
}

impl Wants {
    pub(super) fn of(spec: &BenchmarkSpec, tokenizer: Option<&Tokenizer>) -> Self {
        Self {
            turns: spec.turns.map_or(1, Turns::get) as usize,
            endpoint: spec.call.endpoint,
            lengths: spec.output.of_dataset,
            tokenizer: tokenizer.cloned(),
        }
    }
}

/// A row's place in its file; both count from 1, lines those that are blank too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A line of JSONL.
    Line(u64),
    /// A row of anything else; a header is none.
    Row(u64),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Row(number) => write!(f, "row {number}"),
        }
    }
}

/// Why a data set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file as such.
    #[error("cannot be read: {0}")]
    File(String),
    /// A row that its format does not allow.
    #[error("{at} cannot be read: {why}")]
    Row {
        /// Where.
        at: At,
        /// What the reader says.
        why: String,
    },
    /// A row that cannot be sent.
    #[error("{at} {why}")]
    Unsendable {
        /// Where.
        at: At,
        /// Why.
        why: Unsendable,
    },
    /// Not one row that can be sent.
    #[error("none of its {rows} rows can be sent; {at} {why}")]
    AllUnsendable {
        /// How many there are.
        rows: u64,
        /// The first.
        at: At,
        /// Why that one cannot.
        why: Unsendable,
    },
}

impl DataSet {
    /// A file below `data_dir`.
    pub(super) fn local(data_dir: &Path, path: &str) -> Self {
        Self { name: path.to_owned(), place: Place::Local(data_dir.to_owned()) }
    }

    /// A file of the hub's dataset `id`.
    pub(super) fn fetched(id: &str, file: HubFile) -> Self {
        Self { name: format!("{id}/{}", file.name), place: Place::Fetched(file.path) }
    }

    /// Its conversations, in order; may take seconds.
    pub(super) fn conversations(&self, wants: &Wants) -> Result<Vec<Conversation>, PromptError> {
        let failed = |error| PromptError::DataSet { name: self.name.clone(), error };
        let (bytes, images) = match &self.place {
            Place::Local(data_dir) => (
                data_dir::read_now(data_dir, &self.name, LARGEST_FILE)?,
                Images::beside(data_dir, &self.name),
            ),
            Place::Fetched(path) => (
                std::fs::read(path).map_err(|cause| failed(Unreadable::File(cause.to_string())))?,
                Images::of_rows_alone(),
            ),
        };
        self.read(bytes.into(), wants, images).map_err(failed)
    }

    fn read(
        &self,
        bytes: Bytes,
        wants: &Wants,
        mut images: Images,
    ) -> Result<Vec<Conversation>, Unreadable> {
        let strict = matches!(self.place, Place::Local(_));
        let mut conversations = Vec::new();
        let mut passed_over = None;
        let mut rows = 0;
        let read = rows::each(&self.name, bytes, &mut |at, row: Row| {
            rows += 1;
            match Conversation::of(row, wants, &mut images) {
                Ok(conversation) => conversations.push(conversation.at(at)),
                Err(why) if strict => return Err(Unreadable::Unsendable { at, why }),
                Err(why) => _ = passed_over.get_or_insert((at, why)),
            }
            Ok(conversations.len() < MOST_PROMPTS)
        });
        read?;
        match passed_over {
            Some((at, why)) if conversations.is_empty() => {
                Err(Unreadable::AllUnsendable { rows, at, why })
            }
            _ => Ok(conversations),
        }
    }
}

#[cfg(test)]
mod tests;
