//! The JSON we get: one event's `data`, or one whole answer, to what it says.
//!
//! Pure. Reading is lenient where real servers differ (`null` for absent, both names of the
//! reasoning text, usage in any event) and strict about what counts: an event that says nothing in
//! the dialect is [`Malformed`], never an empty delta.

mod embeddings;
mod mould;
mod responses;
mod wire;

use std::borrow::Cow;

use serde::Deserialize;
use shared::Endpoint;

use crate::excerpt::{BODY_BYTES, excerpt};
pub use mould::{Moulded, Moulds, Token};
use wire::{Body, Choice, Content};

/// Most bytes of an unreadable event that its error carries.
const EXCERPT_BYTES: usize = 200;

/// What one event says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<'a> {
    /// `[DONE]`: the stream is over.
    Done,
    /// An `error` in a 200 stream, in the target's words, at most 2 KiB.
    Error(String),
    /// A piece of the answer, or of what is told about it.
    Delta(Delta<'a>),
}

/// A piece of an answer. All of its fields may be empty: a role, a heartbeat.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta<'a> {
    /// Reasoning, content, refusal and tool calls' names and arguments, in this order. Where it is
    /// empty, the event is no token event.
    pub text: Cow<'a, str>,
    /// Whether some of the text is not reasoning.
    pub answer: bool,
    /// Whether there is a choice at all, be it without text; a chunk with usage alone has none.
    pub choices: bool,
    /// Why the answer ended, in the event that says so.
    pub finish_reason: Option<Cow<'a, str>>,
    /// Whether it is the answer's last event, as `[DONE]` is in other dialects.
    pub done: bool,
    /// What the server counted, in the events that tell.
    pub usage: Option<Usage>,
    /// The server's name for its configuration.
    pub system_fingerprint: Option<Cow<'a, str>>,
}

/// Tokens as the server counted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u64,
    /// Of them, tokens of reasoning; none: the server does not say.
    pub reasoning_tokens: Option<u64>,
}

/// A whole answer that was not streamed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Content, refusal and tool calls' names and arguments.
    pub text: String,
    /// The reasoning before it, where the server shows it.
    pub reasoning: Option<String>,
    /// Why it ended.
    pub finish_reason: Option<String>,
    /// What the server counted.
    pub usage: Option<Usage>,
    /// The model that answered, as the server calls it.
    pub model: Option<String>,
    /// The server's name for its configuration.
    pub system_fingerprint: Option<String>,
}

/// What a body of a 200 that was not streamed says.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// An answer.
    Answer(Answer),
    /// An `error`, in the target's words, at most 2 KiB.
    Error(String),
}

/// Not the dialect's JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{excerpt}` ({cause})")]
pub struct Malformed {
    /// Its beginning, at most 200 bytes.
    pub excerpt: String,
    /// What is wrong with it.
    pub cause: String,
}

impl Malformed {
    fn new(data: &[u8], cause: &impl ToString) -> Self {
        Self { excerpt: excerpt(data, EXCERPT_BYTES), cause: cause.to_string() }
    }
}

/// Reads the `data` of one event of `endpoint`'s stream.
pub fn event(endpoint: Endpoint, data: &[u8]) -> Result<Message<'_>, Malformed> {
    match endpoint {
        Endpoint::Chat | Endpoint::Completions => read(data),
        Endpoint::Responses => read_response(data),
        Endpoint::Embeddings => Err(Malformed::new(data, &"embeddings are not streamed")),
    }
}

/// Reads the body of an answer of `endpoint` that was not streamed.
pub fn whole(endpoint: Endpoint, body: &[u8]) -> Result<Reply, Malformed> {
    match endpoint {
        Endpoint::Chat | Endpoint::Completions => read_answer(body),
        Endpoint::Responses => {
            let text = String::from_utf8_lossy(body);
            responses::reply(parsed(&text, body)?, body)
        }
        Endpoint::Embeddings => {
            let text = String::from_utf8_lossy(body);
            embeddings::reply(parsed(&text, body)?, body)
        }
    }
}

/// Reads the `data` of one event of a chat or text completion stream.
///
/// Blank data is a heartbeat: an empty delta.
pub fn read(data: &[u8]) -> Result<Message<'_>, Malformed> {
    match data.trim_ascii() {
        b"[DONE]" => return Ok(Message::Done),
        b"" => return Ok(Message::Delta(Delta::default())),
        _ => (),
    }
    match std::str::from_utf8(data) {
        Ok(text) => message(parsed(text, data)?, data),
        // With the replacements that the event-stream rules ask for.
        Err(_) => {
            let text = String::from_utf8_lossy(data);
            message(parsed(&text, data)?, data).map(Message::into_owned)
        }
    }
}

/// Reads the `data` of one event of a response's stream.
fn read_response(data: &[u8]) -> Result<Message<'_>, Malformed> {
    match (data.trim_ascii(), std::str::from_utf8(data)) {
        (b"[DONE]", _) => Ok(Message::Done),
        (b"", _) => Ok(Message::Delta(Delta::default())),
        (_, Ok(text)) => responses::message(parsed(text, data)?, data),
        (_, Err(_)) => {
            let text = String::from_utf8_lossy(data);
            responses::message(parsed(&text, data)?, data).map(Message::into_owned)
        }
    }
}

/// Reads the body of an answer that was not streamed.
pub fn read_answer(body: &[u8]) -> Result<Reply, Malformed> {
    let text = String::from_utf8_lossy(body);
    let mut parsed: Body<'_> = parsed(&text, body)?;
    if let Some(words) = parsed.error_words() {
        return Ok(Reply::Error(excerpt(words.as_bytes(), BODY_BYTES)));
    }
    let choices = parsed.choices.take().unwrap_or_default();
    let Some(choice) = choices.into_iter().next() else {
        return Err(Malformed::new(body, &"it has no choices"));
    };
    let reasoning = choice.message.as_deref().and_then(Content::reasoning).map(str::to_owned);
    let mut pieces = Pieces::default();
    choice.message.into_iter().for_each(|message| pieces.take_answer(*message));
    pieces.take(choice.text, true);
    Ok(Reply::Answer(Answer {
        text: pieces.text.into_owned(),
        reasoning,
        finish_reason: choice.finish_reason.and_then(wire::Text::filled).map(Cow::into_owned),
        usage: parsed.usage(),
        model: parsed.model.and_then(wire::Text::filled).map(Cow::into_owned),
        system_fingerprint: parsed
            .system_fingerprint
            .and_then(wire::Text::filled)
            .map(Cow::into_owned),
    }))
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str, data: &[u8]) -> Result<T, Malformed> {
    serde_json::from_str(text).map_err(|error| Malformed::new(data, &error))
}

fn message<'a>(mut body: Body<'a>, data: &[u8]) -> Result<Message<'a>, Malformed> {
    if let Some(words) = body.error_words() {
        return Ok(Message::Error(excerpt(words.as_bytes(), BODY_BYTES)));
    }
    let usage = body.usage();
    if body.choices.is_none() && usage.is_none() {
        return Err(Malformed::new(data, &"it has neither choices nor usage"));
    }
    let choices = body.choices.as_ref().is_some_and(|choices| !choices.is_empty());
    let mut pieces = Pieces::default();
    let mut finish_reason = None;
    for Choice { delta, text, finish_reason: reason, .. } in body.choices.unwrap_or_default() {
        if let Some(delta) = delta {
            pieces.take_delta(*delta);
        }
        pieces.take(text, true);
        finish_reason = reason.and_then(wire::Text::filled).or(finish_reason);
    }
    Ok(Message::Delta(Delta {
        text: pieces.text,
        answer: pieces.answer,
        choices,
        finish_reason,
        done: false,
        usage,
        system_fingerprint: body.system_fingerprint.and_then(wire::Text::filled),
    }))
}

/// Texts joined; a single one stays borrowed.
#[derive(Default)]
struct Pieces<'a> {
    text: Cow<'a, str>,
    answer: bool,
}

impl<'a> Pieces<'a> {
    fn take(&mut self, piece: Option<wire::Text<'a>>, answer: bool) {
        let Some(piece) = piece.and_then(wire::Text::filled) else { return };
        self.answer |= answer;
        if self.text.is_empty() {
            self.text = piece;
        } else {
            self.text.to_mut().push_str(&piece);
        }
    }

    fn take_delta(&mut self, mut delta: Content<'a>) {
        let reasoning = delta.take_reasoning();
        self.take(reasoning, false);
        self.take_answer(delta);
    }

    fn take_answer(&mut self, content: Content<'a>) {
        self.take(content.content, true);
        self.take(content.refusal, true);
        let calls = content.tool_calls.unwrap_or_default();
        for function in calls.into_iter().filter_map(|call| call.function) {
            self.take(function.name, true);
            self.take(function.arguments, true);
        }
    }
}

impl Message<'_> {
    fn into_owned(self) -> Message<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Done => Message::Done,
            Self::Error(words) => Message::Error(words),
            Self::Delta(delta) => Message::Delta(Delta {
                text: owned(delta.text),
                answer: delta.answer,
                choices: delta.choices,
                finish_reason: delta.finish_reason.map(owned),
                done: delta.done,
                usage: delta.usage,
                system_fingerprint: delta.system_fingerprint.map(owned),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
