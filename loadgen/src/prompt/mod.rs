//! What is sent: prompts, and the tokenizer that counts what comes back.
//!
//! Loading may read files and the Hugging Face hub; afterwards a prompt is a pure function of seed,
//! user and number. Nothing here knows when a prompt is sent, or to whom.

mod ask;
mod chance;
mod context;
pub(crate) mod data_dir;
mod dataset;
mod dialogue;
mod embedded;
mod hub;
mod lengths;
mod replayed;
mod synthetic;
mod tokenizer;
mod words;

use std::path::Path;

use shared::{BenchmarkSpec, Endpoint, PromptSource, Reason, ReasonCode, Turns};
use target::request::{Length, Message, Role};

pub(crate) use ask::Ask;
use chance::{mixed, tag};
use context::Context;
pub use context::TooLong;
pub use data_dir::FileError;
pub use dataset::Unreadable;
use dataset::{Conversation, DataSet, Wants};
pub(crate) use dialogue::Dialogue;
pub use hub::{Hub, HubError, InvalidHub};
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
    /// Most turns of a conversation.
    turns: u32,
}

#[derive(Clone, Debug)]
enum Source {
    /// A list, at least one.
    Listed(Vec<Conversation>),
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
        let wants = Wants::of(spec, tokenizer);
        let conversations = match &spec.dataset {
            PromptSource::Embedded => embedded::prompts().map(Conversation::text).collect(),
            PromptSource::Synthetic => {
                let (Some(synthetic), Some(tokenizer)) = (spec.synthetic.clone(), tokenizer) else {
                    return Err(PromptError::NoLengths);
                };
                let (tokenizer, seed) = (tokenizer.clone(), spec.seed.get());
                let made_up = apart(move || MadeUp::drawn(&synthetic, &tokenizer, seed)).await??;
                return Ok(Self::from(Source::MadeUp(Box::new(made_up)), spec));
            }
            PromptSource::File(path) => {
                let set = DataSet::local(data_dir, path);
                apart(move || set.conversations(&wants)).await??
            }
            PromptSource::Hub(id) => {
                let set = DataSet::fetched(id, hub.dataset_file(id).await?);
                apart(move || set.conversations(&wants)).await??
            }
        };
        let listed =
            listed(conversations).ok_or_else(|| PromptError::Empty(spec.dataset.to_string()))?;
        Ok(Self::from(listed, spec))
    }

    /// The same, if a target that takes `tokens` of prompt and answer at once can take them all;
    /// `tokenizer` counts what may be too long. May take seconds.
    pub(crate) async fn fitting_into(
        self,
        tokens: u64,
        spec: &BenchmarkSpec,
        tokenizer: Option<&Tokenizer>,
    ) -> Result<Self, PromptError> {
        let context = Context::of(tokens, self.length.max_tokens, spec);
        let (name, tokenizer) = (spec.dataset.to_string(), tokenizer.cloned());
        apart(move || {
            match &self.source {
                Source::Listed(list) => context.takes(&name, list, tokenizer.as_ref()),
                Source::MadeUp(made_up) => made_up.fits(&context),
                Source::Replayed(replayed) => replayed.fits(&context),
            }?;
            Ok(self)
        })
        .await?
    }

    fn from(source: Source, spec: &BenchmarkSpec) -> Self {
        let length = match spec.call.endpoint {
            Endpoint::Embeddings => Length { max_tokens: 0, min_tokens: 0 },
            _ => Length::from(&spec.output),
        };
        let turns = spec.turns.map_or(1, Turns::get);
        Self { source, seed: spec.seed.get(), length, turns }
    }

    /// The embedded prompts.
    #[cfg(test)]
    pub(crate) fn embedded(seed: u64) -> Self {
        let length = Length { max_tokens: 8, min_tokens: 1 };
        Self {
            source: listed(embedded::prompts().map(Conversation::text).collect()).expect("some"),
            seed,
            length,
            turns: 1,
        }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        match &self.source {
            Source::Listed(list) => list.len(),
            Source::MadeUp(_) | Source::Replayed(_) => 0,
        }
    }

    /// What user `user`'s request `nth` (from 0) says, as `dialogue` has come; none: requests have
    /// nothing to do with each other.
    pub(crate) fn ask_in(&self, dialogue: Option<&mut Dialogue>, user: u32, nth: u64) -> Ask {
        match dialogue {
            Some(dialogue) => dialogue.ask(self, user, nth),
            None => self.ask(user, nth),
        }
    }

    /// A user's conversation before it begins; none: requests have nothing to do with each other.
    pub(crate) fn dialogue(&self) -> Option<Dialogue> {
        (self.turns > 1).then(Dialogue::default)
    }

    /// What user `user` adds in its request `nth` to the conversation that its request `began`
    /// began, when `turns` of it are answered; none: it is over.
    fn go_on(
        &self,
        (user, began): (u32, u64),
        nth: u64,
        turns: u32,
    ) -> Option<(Vec<Message>, Length)> {
        if turns >= self.turns {
            return None;
        }
        match &self.source {
            Source::Listed(list) => {
                let turn = chosen(list, tag(self.seed, user, began)).turn(turns as usize)?;
                Some((turn.asked.clone(), self.length.at_most(turn.output_tokens)))
            }
            Source::MadeUp(made_up) => {
                let Made { text, output_tokens, .. } = made_up.make_further(self.seed, user, nth);
                Some((vec![Message::text(Role::User, text)], self.length.at_most(output_tokens)))
            }
            // A trace has no users who could go on.
            Source::Replayed(_) => None,
        }
    }

    /// What user `user`'s request `nth` (from 0) says. The same arguments give the same.
    ///
    /// A prompt of a list stands behind a tag that no other request of the run has, so that a prefix
    /// cache cannot answer for the model; the tag derives from the seed, so that two runs differ too.
    pub(crate) fn ask(&self, user: u32, nth: u64) -> Ask {
        match &self.source {
            Source::Listed(list) => {
                let tag = tag(self.seed, user, nth);
                chosen(list, tag).asked(tag, self.length)
            }
            Source::MadeUp(made_up) => {
                let Made { text, output_tokens, .. } = made_up.make(self.seed, user, nth);
                Ask::text(text, self.length.at_most(output_tokens))
            }
            Source::Replayed(replayed) => replayed.ask(self.seed, nth, self.length),
        }
    }
}

/// The one of `list` that the request of `tag` has.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below a length")]
fn chosen(list: &[Conversation], tag: u64) -> &Conversation {
    &list[(mixed(tag) % list.len() as u64) as usize]
}

/// A list of prompts; none: there is none in it.
fn listed(list: Vec<Conversation>) -> Option<Source> {
    (!list.is_empty()).then_some(Source::Listed(list))
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
    /// The data set cannot be read, or a row of it cannot be sent.
    #[error("dataset: {name}, {error}")]
    DataSet {
        /// The data set, with its file.
        name: String,
        /// What is wrong, and where.
        error: Unreadable,
    },
    /// The hub did not give it.
    #[error("dataset: {0}")]
    Hub(#[from] HubError),
    /// Not one prompt.
    #[error("dataset {0} holds no prompt")]
    Empty(String),
    /// Made-up prompts without what they are made of: a spec that no request gives.
    #[error("prompt_tokens: dataset synthetic needs lengths and a tokenizer")]
    NoLengths,
    /// A prompt that the target cannot take.
    #[error(transparent)]
    TooLong(#[from] TooLong),
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
