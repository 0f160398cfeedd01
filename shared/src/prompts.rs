//! Where prompts and token counts come from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest source name accepted, in characters.
const MAX_CHARS: usize = 256;

/// Where prompts come from.
///
/// Written as one word: empty or `embedded`, `synthetic`, a path that ends in `.jsonl`, `.json`,
/// `.csv` or `.parquet` (under the runner's `DATA_DIR`), or the id of a Hugging Face dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptSource {
    /// The set compiled into the runner.
    Embedded,
    /// Made up, to be of the lengths that the spec's `synthetic` wants.
    Synthetic,
    /// A data set's file, its path relative to `DATA_DIR`.
    File(String),
    /// A dataset on the Hugging Face hub, e.g. `mteb/banking77`.
    Hub(String),
}

/// What counts tokens when the server does not, and checks it when it does.
///
/// Written as one word: a path that ends in `.json` (under the runner's `DATA_DIR`), or the id of
/// a Hugging Face model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerSource {
    /// A `tokenizer.json`, its path relative to `DATA_DIR`.
    File(String),
    /// A model on the Hugging Face hub whose repository has a `tokenizer.json`.
    Hub(String),
}

/// Why a text names no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSource {
    /// A path that leaves `DATA_DIR`.
    #[error("{field} must be a path below DATA_DIR, without `..` and not absolute: `{path}`")]
    Outside {
        /// The request field.
        field: &'static str,
        /// What was given.
        path: String,
    },
    /// Neither a path with the right ending nor a hub id.
    #[error(
        "{field} must be a Hugging Face id such as `org/name`, or a path below DATA_DIR ending in {}: `{given}`",
        .endings.join(", ")
    )]
    Unknown {
        /// The request field.
        field: &'static str,
        /// The endings a path may have.
        endings: &'static [&'static str],
        /// What was given.
        given: String,
    },
}

impl PromptSource {
    /// The endings of files that can be read, best first.
    pub const ENDINGS: [&str; 4] = [".jsonl", ".json", ".csv", ".parquet"];
}

impl TryFrom<String> for PromptSource {
    type Error = InvalidSource;

    fn try_from(given: String) -> Result<Self, InvalidSource> {
        match given.trim() {
            "" | "embedded" => Ok(Self::Embedded),
            "synthetic" => Ok(Self::Synthetic),
            other => match source("dataset", &Self::ENDINGS, other)? {
                Source::File(path) => Ok(Self::File(path)),
                Source::Hub(id) => Ok(Self::Hub(id)),
            },
        }
    }
}

impl TryFrom<String> for TokenizerSource {
    type Error = InvalidSource;

    fn try_from(given: String) -> Result<Self, InvalidSource> {
        match source("tokenizer", &[".json"], given.trim())? {
            Source::File(path) => Ok(Self::File(path)),
            Source::Hub(id) => Ok(Self::Hub(id)),
        }
    }
}

enum Source {
    File(String),
    Hub(String),
}

fn source(
    field: &'static str,
    endings: &'static [&'static str],
    given: &str,
) -> Result<Source, InvalidSource> {
    let unknown = || InvalidSource::Unknown { field, endings, given: shortened(given) };
    if given.chars().count() > MAX_CHARS {
        return Err(unknown());
    }
    if endings.iter().any(|ending| given.ends_with(ending)) {
        return if stays_inside(given) {
            Ok(Source::File(given.to_owned()))
        } else {
            Err(InvalidSource::Outside { field, path: shortened(given) })
        };
    }
    let is_name = |part: &str| {
        (1..=96).contains(&part.len())
            && !part.contains("..")
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let parts: Vec<&str> = given.split('/').collect();
    if parts.len() <= 2 && parts.iter().all(|part| is_name(part)) {
        Ok(Source::Hub(given.to_owned()))
    } else {
        Err(unknown())
    }
}

/// Whether a path leads to something below the directory that it counts from.
pub(crate) fn stays_inside(path: &str) -> bool {
    !path.starts_with(['/', '\\', '~'])
        && !path.contains(['\\', '\0'])
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
}

impl fmt::Display for PromptSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Synthetic => f.write_str("synthetic"),
            Self::File(name) | Self::Hub(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for TokenizerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name) | Self::Hub(name) => f.write_str(name),
        }
    }
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(PromptSource, TokenizerSource);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_by_its_form() {
        let prompts = |text: &str| PromptSource::try_from(text.to_owned());
        assert_eq!(prompts("").unwrap(), PromptSource::Embedded);
        for path in ["sets/chat.jsonl", "sharegpt.json", "a.csv", "a.parquet"] {
            assert_eq!(prompts(path).unwrap(), PromptSource::File(path.into()));
        }
        assert_eq!(prompts("mteb/banking77").unwrap(), PromptSource::Hub("mteb/banking77".into()));
    }

    #[test]
    fn no_source_leads_out_of_the_data_directory() {
        for path in ["../x.jsonl", "/etc/x.jsonl", "a/../../x.jsonl", "a//x.jsonl", "~/x.jsonl"] {
            let refused = PromptSource::try_from(path.to_owned()).unwrap_err();
            assert!(matches!(refused, InvalidSource::Outside { .. }), "{path}: {refused}");
        }
        for id in ["a/b/c", "../etc", "a b", "x/..", ".hidden/x", "http://hub/x"] {
            let refused = TokenizerSource::try_from(id.to_owned()).unwrap_err();
            assert!(matches!(refused, InvalidSource::Unknown { .. }), "{id}: {refused}");
        }
    }
}
