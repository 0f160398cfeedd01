//! What one request says, and how long its answer may be.

use target::request::{Length, Said};

/// What one request says, and how long its answer may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    text: String,
    /// How long its answer may be.
    pub length: Length,
}

impl Ask {
    /// A user's text.
    pub fn text(text: String, length: Length) -> Self {
        Self { text, length }
    }

    /// The same, with another length of its answer.
    pub fn with(self, length: Length) -> Self {
        Self { length, ..self }
    }

    /// What is said, as the target's request takes it.
    pub fn said(&self) -> Said<'_> {
        Said::Text(&self.text)
    }

    /// The texts in it: what a tokenizer counts.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.text.as_str())
    }
}
