//! What one request says, and how long its answer may be.

use target::request::{Length, Message, Part, Role, Said};

use super::Tokenizer;

/// What one request says, and how long its answer may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    words: Words,
    /// How long its answer may be.
    pub length: Length,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Words {
    Text(String),
    Messages(Vec<Message>),
}

impl Ask {
    /// A user's text.
    pub fn text(text: String, length: Length) -> Self {
        Self { words: Words::Text(text), length }
    }

    /// A conversation up to an answer.
    pub fn messages(messages: Vec<Message>, length: Length) -> Self {
        Self { words: Words::Messages(messages), length }
    }

    /// The same, with another length of its answer.
    pub fn with(self, length: Length) -> Self {
        Self { length, ..self }
    }

    /// What is said, as the target's request takes it.
    pub fn said(&self) -> Said<'_> {
        match &self.words {
            Words::Text(text) => Said::Text(text),
            Words::Messages(messages) => match messages.as_slice() {
                [Message { role: Role::User, parts }] => match parts.as_slice() {
                    [Part::Text(text)] => Said::Text(text),
                    _ => Said::Messages(messages),
                },
                messages => Said::Messages(messages),
            },
        }
    }

    /// What is said, as a conversation.
    pub fn into_messages(self) -> Vec<Message> {
        match self.words {
            Words::Text(text) => vec![Message::text(Role::User, text)],
            Words::Messages(messages) => messages,
        }
    }

    /// The tokens of all its texts; none: it has an image, or something the vocabulary cannot.
    pub fn tokens(&self, tokenizer: &Tokenizer) -> Option<u64> {
        match &self.words {
            Words::Text(text) => tokenizer.count(text),
            Words::Messages(messages) => {
                let parts = messages.iter().flat_map(|message| &message.parts);
                parts.map(|part| part.text().and_then(|text| tokenizer.count(text))).sum()
            }
        }
    }
}
