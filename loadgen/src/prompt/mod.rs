//! What is sent: prompts, and the tokenizer that counts what comes back.
//!
//! Loading may read files and the Hugging Face hub; afterwards a prompt is a pure function of seed,
//! user and number. Nothing here knows when a prompt is sent, or to whom.

mod columns;
mod data_dir;
mod embedded;
mod hub;
mod json_rows;
mod jsonl;
mod tokenizer;

use std::path::Path;

use shared::{PromptSource, Reason, ReasonCode};

pub use data_dir::FileError;
pub use hub::{Hub, HubError, InvalidHub};
pub use jsonl::LineError;
#[cfg(test)]
pub(crate) use tokenizer::tests as tokenizer_tests;
pub use tokenizer::{Tokenizer, TokenizerError};

/// Longest prompt sent, in bytes.
pub const LONGEST_PROMPT: usize = 1024 * 1024;

/// Prompts kept of a source; a longer one is cut.
const MOST_PROMPTS: usize = 200_000;

/// A list of prompts, at least one.
#[derive(Clone, Debug)]
pub struct Prompts {
    texts: Vec<Box<str>>,
}

impl Prompts {
    /// Loads what `source` names: files lie below `data_dir`, datasets come through `hub`.
    pub async fn load(
        source: &PromptSource,
        data_dir: &Path,
        hub: &Hub,
    ) -> Result<Self, PromptError> {
        let texts = match source {
            PromptSource::Embedded => return Ok(Self::embedded()),
            PromptSource::Jsonl(path) => {
                let bytes = data_dir::read(data_dir, path, jsonl::LARGEST_FILE).await?;
                let name = path.clone();
                apart(move || {
                    jsonl::prompts(&bytes).map_err(|error| PromptError::Line { path: name, error })
                })
                .await??
            }
            PromptSource::Hub(id) => {
                let file = hub.dataset_file(id).await?;
                let id = id.clone();
                apart(move || columns::prompts(&id, &file)).await??
            }
        };
        Self::of(texts).ok_or_else(|| PromptError::Empty(source.to_string()))
    }

    /// The set compiled into the program.
    pub fn embedded() -> Self {
        Self { texts: embedded::prompts().map(Into::into).collect() }
    }

    fn of(texts: Vec<String>) -> Option<Self> {
        let texts: Vec<Box<str>> = texts.into_iter().take(MOST_PROMPTS).map(Into::into).collect();
        (!texts.is_empty()).then_some(Self { texts })
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.texts.len()
    }

    /// The prompt of user `user`'s request `nth` (from 0): one of the list, behind a tag that no
    /// other request of the run has.
    ///
    /// The tag stands in front, so that a prefix cache cannot answer for the model; it derives from
    /// the seed, so that two runs differ too. The same arguments give the same text.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a length")]
    pub fn prompt(&self, seed: u64, user: u32, nth: u64) -> String {
        let tag = tag(seed, user, nth);
        let chosen = (mixed(tag) % self.texts.len() as u64) as usize;
        format!("[{tag:016x}] {}", self.texts[chosen])
    }
}

/// Distinct for distinct `(user, nth)` of one seed (as long as `nth` stays below 2^40): each step
/// is a bijection.
fn tag(seed: u64, user: u32, nth: u64) -> u64 {
    mixed(mixed(seed) ^ ((u64::from(user) << 40) | (nth & ((1 << 40) - 1))))
}

/// A bijection that spreads every bit over all. Source: splitmix64's finalizer (Steele, Lea and
/// Flood, 2014; constants by Stafford, variant 13).
fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Runs `work` where it may take seconds.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PromptError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| PromptError::Crashed)
}

/// Why prompts could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The file could not be read.
    #[error("dataset: {0}")]
    File(#[from] FileError),
    /// A line of the file holds no prompt.
    #[error("dataset: {path}, {error}")]
    Line {
        /// The file.
        path: String,
        /// The line, and what is wrong with it.
        error: LineError,
    },
    /// The hub did not give it.
    #[error("dataset: {0}")]
    Hub(#[from] HubError),
    /// A file of the hub's dataset that cannot be read.
    #[error("dataset {id}: {file} cannot be read: {why}")]
    Unreadable {
        /// The dataset.
        id: String,
        /// The file in it.
        file: String,
        /// What the reader says.
        why: String,
    },
    /// No column holds texts.
    #[error("dataset {id}: {file} has no text column; it has {found}, looked for {known}")]
    NoTextColumn {
        /// The dataset.
        id: String,
        /// The file in it.
        file: String,
        /// The columns it has.
        found: String,
        /// The columns that would do.
        known: String,
    },
    /// Not one prompt.
    #[error("dataset {0} holds no prompt")]
    Empty(String),
    /// The reader panicked: our fault.
    #[error("dataset: the reader crashed; see the log")]
    Crashed,
}

impl PromptError {
    /// What the benchmark's owner reads.
    pub fn reason(&self) -> Reason {
        Reason::new(ReasonCode::Dataset, self.to_string())
    }
}

#[cfg(test)]
mod tests;
