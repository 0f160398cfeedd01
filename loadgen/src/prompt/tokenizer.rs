//! Counts tokens where the server does not, and checks it where it does.

use std::{path::Path, sync::Arc, time::Duration};

use shared::{Reason, ReasonCode, TokenizerSource};

use super::{FileError, Hub, HubError, data_dir};

/// Most bytes of a `tokenizer.json`.
const LARGEST_FILE: u64 = 200 * 1024 * 1024;

/// Longest that one may take to be read in.
const PARSE_WITHIN: Duration = Duration::from_mins(1);

/// A model's tokenizer, without its special tokens, truncation and padding: it counts texts.
#[derive(Clone, Debug)]
pub struct Tokenizer(Arc<tokenizers::Tokenizer>);

impl Tokenizer {
    /// Loads what `source` names: a file lies below `data_dir`, a model's comes through `hub`.
    pub async fn load(
        source: &TokenizerSource,
        data_dir: &Path,
        hub: &Hub,
    ) -> Result<Self, TokenizerError> {
        let bytes = match source {
            TokenizerSource::File(path) => data_dir::read(data_dir, path, LARGEST_FILE).await?,
            TokenizerSource::Hub(id) => hub.tokenizer(id).await?,
        };
        let name = source.to_string();
        let parsing = tokio::task::spawn_blocking(move || Self::read(&bytes));
        match tokio::time::timeout(PARSE_WITHIN, parsing).await {
            Ok(Ok(read)) => read.map_err(|why| TokenizerError::Unreadable { name, why }),
            Ok(Err(_)) => {
                Err(TokenizerError::Unreadable { name, why: "its reader crashed".into() })
            }
            Err(_) => Err(TokenizerError::TooSlow(name)),
        }
    }

    /// Reads the text of a `tokenizer.json`.
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut tokenizer =
            tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(tokenizer)))
    }

    /// Tokens of `text`, without special tokens; none: it holds something the vocabulary cannot.
    pub fn count(&self, text: &str) -> Option<u64> {
        let encoded = self.0.encode_fast(text, false).ok()?;
        Some(encoded.len() as u64)
    }

    /// Where each token of `text` ends in it, in bytes; none: it holds something the vocabulary
    /// cannot. Several tokens may end at one byte: those of a character that takes several.
    pub fn token_ends(&self, text: &str) -> Option<Vec<u32>> {
        let encoded = self.0.encode(text, false).ok()?;
        let ends = encoded.get_offsets().iter();
        Some(ends.map(|(_, end)| u32::try_from(*end).unwrap_or(u32::MAX)).collect())
    }
}

/// Why a tokenizer could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file could not be read.
    #[error("tokenizer: {0}")]
    File(#[from] FileError),
    /// The hub did not give it.
    #[error("tokenizer: {0}")]
    Hub(#[from] HubError),
    /// Not a `tokenizer.json`.
    #[error("tokenizer {name} is not a tokenizer.json: {why}")]
    Unreadable {
        /// Its name.
        name: String,
        /// What the reader says.
        why: String,
    },
    /// Not read in time.
    #[error("tokenizer {0} was not read within {PARSE_WITHIN:?}")]
    TooSlow(String),
}

impl TokenizerError {
    /// What the benchmark's owner reads.
    pub fn reason(&self) -> Reason {
        Reason::new(ReasonCode::Tokenizer, self.to_string())
    }
}

#[cfg(test)]
pub(crate) mod tests;
