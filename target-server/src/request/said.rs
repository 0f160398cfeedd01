//! What one request says, and how each endpoint writes it.

use std::sync::Arc;

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use shared::{Endpoint, Output};

/// What a request says.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// One text: a user's message, where the endpoint wants messages.
    Text(&'a str),
    /// A conversation. Endpoints that take a text alone get the texts of its messages, with blank
    /// lines between them.
    Messages(&'a [Message]),
}

impl<'a> Said<'a> {
    /// The first text in it; none: there is none.
    pub fn first_text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Messages(messages) => {
                messages.iter().flat_map(|message| &message.parts).find_map(Part::text)
            }
        }
    }
}

/// What somebody said in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who.
    pub role: Role,
    /// What: a single text is written as one, anything else as a list of parts.
    pub parts: Vec<Part>,
}

/// Who speaks in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Whoever deploys the model.
    System,
    /// The same, by its newer name.
    Developer,
    /// Who asks.
    User,
    /// The model.
    Assistant,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A text.
    Text(Arc<str>),
    /// An image, by its URL; mostly a `data:` URL.
    Image(Arc<str>),
}

impl Part {
    /// The text; none: it is an image.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Image(_) => None,
        }
    }

    /// The same, to be changed.
    pub fn text_mut(&mut self) -> Option<&mut Arc<str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Image(_) => None,
        }
    }
}

/// How long an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Most tokens.
    pub max_tokens: u32,
    /// Fewest tokens.
    pub min_tokens: u32,
}

impl From<&Output> for Length {
    fn from(output: &Output) -> Self {
        Self { max_tokens: output.max_tokens.get(), min_tokens: output.min_tokens.get() }
    }
}

impl Length {
    /// The same, but for another number of `tokens` at most, where there is one.
    #[must_use]
    pub fn at_most(self, tokens: Option<u32>) -> Self {
        Self { max_tokens: tokens.unwrap_or(self.max_tokens), ..self }
    }
}

impl Message {
    /// A message of one text.
    pub fn text(role: Role, text: impl Into<Arc<str>>) -> Self {
        Self { role, parts: vec![Part::Text(text.into())] }
    }
}

/// What is said, as `endpoint` writes it.
pub(super) struct Written<'a>(pub(super) Endpoint, pub(super) Said<'a>);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0, self.1) {
            (Endpoint::Chat, Said::Text(text)) => {
                [WrittenMessage(Endpoint::Chat, Role::User, Content::Text(text))]
                    .serialize(serializer)
            }
            (_, Said::Text(text)) => serializer.serialize_str(text),
            (endpoint @ (Endpoint::Chat | Endpoint::Responses), Said::Messages(messages)) => {
                let mut list = serializer.serialize_seq(Some(messages.len()))?;
                for Message { role, parts } in messages {
                    let content = match parts.as_slice() {
                        [Part::Text(text)] => Content::Text(text),
                        parts => Content::Parts(parts),
                    };
                    list.serialize_element(&WrittenMessage(endpoint, *role, content))?;
                }
                list.end()
            }
            (Endpoint::Completions | Endpoint::Embeddings, Said::Messages(messages)) => {
                let texts = messages.iter().flat_map(|message| &message.parts);
                let texts: Vec<&str> = texts.filter_map(Part::text).collect();
                serializer.serialize_str(&texts.join("\n\n"))
            }
        }
    }
}

enum Content<'a> {
    Text(&'a str),
    Parts(&'a [Part]),
}

struct WrittenMessage<'a>(Endpoint, Role, Content<'a>);

impl Serialize for WrittenMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(endpoint, role, content) = self;
        let mut message = serializer.serialize_map(Some(2))?;
        message.serialize_entry("role", role)?;
        match content {
            Content::Text(text) => message.serialize_entry("content", text)?,
            Content::Parts(parts) => {
                let parts: Vec<_> =
                    parts.iter().map(|part| WrittenPart(*endpoint, *role, part)).collect();
                message.serialize_entry("content", &parts)?;
            }
        }
        message.end()
    }
}

struct WrittenPart<'a>(Endpoint, Role, &'a Part);

impl Serialize for WrittenPart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(endpoint, role, part) = self;
        let responses = *endpoint == Endpoint::Responses;
        let mut fields = serializer.serialize_map(Some(2))?;
        match part {
            Part::Text(text) => {
                let kind = match (responses, role) {
                    (false, _) => "text",
                    (true, Role::Assistant) => "output_text",
                    (true, _) => "input_text",
                };
                fields.serialize_entry("type", kind)?;
                fields.serialize_entry("text", &**text)?;
            }
            Part::Image(url) if responses => {
                fields.serialize_entry("type", "input_image")?;
                fields.serialize_entry("image_url", &**url)?;
            }
            Part::Image(url) => {
                fields.serialize_entry("type", "image_url")?;
                fields.serialize_entry("image_url", &ImageUrl { url })?;
            }
        }
        fields.end()
    }
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: &'a str,
}
