//! What is sent: prompts, and the tokenizer that counts what comes back.
//!
//! Loading may read files and the Hugging Face hub; afterwards a prompt is a pure function of seed,
//! user and number. Nothing here knows when a prompt is sent, or to whom.

mod ask;
mod chance;
mod columns;
pub(crate) mod data_dir;
mod embedded;
mod hub;
mod json_rows;
mod jsonl;
mod lengths;
mod replayed;
mod synthetic;
mod tokenizer;
mod words;

use std::path::Path;

use shared::{BenchmarkSpec, Endpoint, PromptSource, Reason, ReasonCode};
use target::request::Length;

pub(crate) use ask::Ask;
use chance::{mixed, tag};
pub use data_dir::FileError;
pub use hub::{Hub, HubError, InvalidHub};
pub use jsonl::LineError;
use replayed::Replayed;
use synthetic::{Made, MadeUp};
#[cfg(test)]
pub(crate) use tokenizer::tests as tokenizer_tests;
pub use tokenizer::{Tokenizer, TokenizerError};
pub use words::NoWords;

/// Longest prompt sent, in bytes.
pub const LONGEST_PROMPT: usize = 1024 * 1024;

/// Prompts kept of a source; a longer one is cut.
const MOST_PROMPTS: usize = 200_000;

/// What requests say: a pure function of seed, user and number.
#[derive(Clone, Debug)]
pub struct Prompts {
    source: Source,
    seed: u64,
    /// How long answers may be where the source does not tell.
    length: Length,
}

#[derive(Clone, Debug)]
enum Source {
    /// A list of texts, at least one.
    Listed(Vec<Box<str>>),
    /// Texts made up to be of a wanted length.
    MadeUp(Box<MadeUp>),
    /// What the rows of a trace tell.
    Replayed(Box<Replayed>),
}

impl Prompts {
    /// Loads what `spec` names: files lie below `data_dir`, datasets come through `hub`;
    /// `tokenizer` counts what is made up.
    pub async fn load(
        spec: &BenchmarkSpec,
        tokenizer: Option<&Tokenizer>,
        data_dir: &Path,
        hub: &Hub,
    ) -> Result<Self, PromptError> {
        let texts = match &spec.dataset {
            PromptSource::Embedded => embedded::prompts().map(str::to_owned).collect(),
            PromptSource::Synthetic => {
                let (Some(synthetic), Some(tokenizer)) = (spec.synthetic.clone(), tokenizer) else {
                    return Err(PromptError::NoLengths);
                };
                let (tokenizer, seed) = (tokenizer.clone(), spec.seed.get());
                let made_up = apart(move || MadeUp::drawn(&synthetic, &tokenizer, seed)).await??;
                return Ok(Self::from(Source::MadeUp(Box::new(made_up)), spec));
            }
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
        let listed = listed(texts).ok_or_else(|| PromptError::Empty(spec.dataset.to_string()))?;
        Ok(Self::from(listed, spec))
    }

    fn from(source: Source, spec: &BenchmarkSpec) -> Self {
        let length = match spec.call.endpoint {
            Endpoint::Embeddings => Length { max_tokens: 0, min_tokens: 0 },
            _ => Length::from(&spec.output),
        };
        Self { source, seed: spec.seed.get(), length }
    }

    /// The embedded prompts.
    #[cfg(test)]
    pub(crate) fn embedded(seed: u64) -> Self {
        let texts = embedded::prompts().map(str::to_owned).collect();
        let length = Length { max_tokens: 8, min_tokens: 1 };
        Self { source: listed(texts).expect("some"), seed, length }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        match &self.source {
            Source::Listed(texts) => texts.len(),
            Source::MadeUp(_) | Source::Replayed(_) => 0,
        }
    }

    /// What user `user`'s request `nth` (from 0) says. The same arguments give the same.
    ///
    /// A prompt of a list stands behind a tag that no other request of the run has, so that a prefix
    /// cache cannot answer for the model; the tag derives from the seed, so that two runs differ too.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a length")]
    pub(crate) fn ask(&self, user: u32, nth: u64) -> Ask {
        match &self.source {
            Source::Listed(texts) => {
                let tag = tag(self.seed, user, nth);
                let chosen = (mixed(tag) % texts.len() as u64) as usize;
                Ask::text(format!("[{tag:016x}] {}", texts[chosen]), self.length)
            }
            Source::MadeUp(made_up) => {
                let Made { text, output_tokens, .. } = made_up.make(self.seed, user, nth);
                let max_tokens = output_tokens.unwrap_or(self.length.max_tokens);
                Ask::text(text, Length { max_tokens, ..self.length })
            }
            Source::Replayed(replayed) => replayed.ask(self.seed, nth, self.length),
        }
    }
}

/// A list of prompts; none: there is none in it.
fn listed(texts: Vec<String>) -> Option<Source> {
    let texts: Vec<Box<str>> = texts.into_iter().take(MOST_PROMPTS).map(Into::into).collect();
    (!texts.is_empty()).then_some(Source::Listed(texts))
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
    /// Made-up prompts without what they are made of: a spec that no request gives.
    #[error("prompt_tokens: dataset synthetic needs lengths and a tokenizer")]
    NoLengths,
    /// The tokenizer cannot count by words.
    #[error(transparent)]
    Words(#[from] NoWords),
    /// A made-up prompt of another length than the one wanted.
    #[error(
        "tokenizer: a prompt made to be of {wanted} tokens has {found} by it, so no length would be exact"
    )]
    Inexact {
        /// Tokens wanted.
        wanted: u32,
        /// Tokens counted.
        found: u64,
    },
    /// The reader panicked: our fault.
    #[error("dataset: the reader crashed; see the log")]
    Crashed,
}

impl PromptError {
    /// What the benchmark's owner reads.
    pub fn reason(&self) -> Reason {
        let code = match self {
            Self::Words(_) => ReasonCode::Tokenizer,
            _ => ReasonCode::Dataset,
        };
        Reason::new(code, self.to_string())
    }
}

#[cfg(test)]
mod tests;
