//! The Responses API: typed events, and the whole answer.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Answer, Delta, Malformed, Message, Pieces, Reply, Usage,
    wire::{Count, Text, words_of},
};
use crate::excerpt::{BODY_BYTES, excerpt};

/// How the types of events end that bring a piece of the answer.
const PIECE: &str = ".delta";

/// One event's data.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    delta: Option<Text<'a>>,
    #[serde(borrow, default)]
    item: Option<Item<'a>>,
    #[serde(borrow, default)]
    response: Option<Response<'a>>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(borrow, default)]
    message: Option<Text<'a>>,
}

/// A response, as far as it has come.
#[derive(Default, Deserialize)]
pub(super) struct Response<'a> {
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(borrow, default)]
    output: Option<Vec<Item<'a>>>,
    #[serde(borrow, default)]
    incomplete_details: Option<Incomplete<'a>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Incomplete<'a> {
    #[serde(borrow, default)]
    reason: Option<Text<'a>>,
}

/// A piece of the output: a message, reasoning, a call.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Vec<ContentPart<'a>>>,
    #[serde(borrow, default)]
    summary: Option<Vec<ContentPart<'a>>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ContentPart<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    input_tokens: Option<Count>,
    #[serde(default)]
    output_tokens: Option<Count>,
    #[serde(default)]
    output_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    reasoning_tokens: Option<Count>,
}

impl WireUsage {
    fn usage(&self) -> Option<Usage> {
        Some(Usage {
            prompt_tokens: self.input_tokens.as_ref()?.0,
            completion_tokens: self.output_tokens.as_ref()?.0,
            reasoning_tokens: self
                .output_tokens_details
                .as_ref()
                .and_then(|details| details.reasoning_tokens.as_ref())
                .map(|count| count.0),
        })
    }
}

/// What an event says.
pub(super) fn message<'a>(event: Event<'a>, data: &[u8]) -> Result<Message<'a>, Malformed> {
    let Event { kind, delta, item, response, error, message } = event;
    let Some(kind) = kind.and_then(Text::filled) else {
        return match words_of(error) {
            Some(words) => Ok(told(&words)),
            None => Err(Malformed::new(data, &"it has no type")),
        };
    };
    let mut pieces = Pieces::default();
    match &*kind {
        "error" => {
            let words = words_of(error).or_else(|| Some(message?.filled()?.into_owned()));
            return Ok(told(&words.unwrap_or_else(|| "an error without a message".to_owned())));
        }
        "response.failed" => {
            let words = response.and_then(|response| words_of(response.error));
            return Ok(told(&words.unwrap_or_else(|| "the response failed".to_owned())));
        }
        "response.completed" | "response.incomplete" => {
            let response = response.unwrap_or_default();
            return Ok(Message::Delta(Delta {
                usage: response.usage.as_ref().and_then(WireUsage::usage),
                finish_reason: Some(response.finish_reason(&kind)),
                done: true,
                ..Delta::default()
            }));
        }
        // Speech, in base64: no text.
        "response.audio.delta" => {}
        // A call's name is its first token, as it is in a chat.
        "response.output_item.added" => {
            let called = item.filter(|item| item.is("function_call"));
            pieces.take(called.and_then(|item| item.name), true);
        }
        kind if kind.starts_with("response.reasoning") && kind.ends_with(PIECE) => {
            pieces.take(delta, false);
        }
        kind if kind.ends_with(PIECE) => pieces.take(delta, true),
        _ => {}
    }
    Ok(Message::Delta(Delta {
        choices: !pieces.text.is_empty(),
        text: pieces.text,
        answer: pieces.answer,
        ..Delta::default()
    }))
}

fn told(words: &str) -> Message<'static> {
    Message::Error(excerpt(words.as_bytes(), BODY_BYTES))
}

/// What a whole answer says.
pub(super) fn reply(response: Response<'_>, body: &[u8]) -> Result<Reply, Malformed> {
    let failed = response.status.as_ref().is_some_and(|status| status.is("failed"));
    let finish_reason = response.finish_reason("").into_owned();
    let Response { output, usage, error, model, .. } = response;
    if let Some(words) = words_of(error) {
        return Ok(Reply::Error(excerpt(words.as_bytes(), BODY_BYTES)));
    }
    if failed {
        return Ok(Reply::Error("the response failed".to_owned()));
    }
    let Some(output) = output else {
        return Err(Malformed::new(body, &"it has no output"));
    };
    let (mut answer, mut reasoning) = (Pieces::default(), Pieces::default());
    for item in output {
        let thought = item.is("reasoning");
        let pieces = if thought { &mut reasoning } else { &mut answer };
        for part in item.content.into_iter().flatten() {
            pieces.take(part.text, !thought);
            pieces.take(part.refusal, true);
        }
        for part in item.summary.into_iter().flatten() {
            pieces.take(part.text, false);
        }
        pieces.take(item.name, true);
        pieces.take(item.arguments, true);
    }
    Ok(Reply::Answer(Answer {
        text: answer.text.into_owned(),
        reasoning: Some(reasoning.text.into_owned()).filter(|text| !text.is_empty()),
        finish_reason: Some(finish_reason),
        usage: usage.as_ref().and_then(WireUsage::usage),
        model: model.and_then(Text::filled).map(Cow::into_owned),
        system_fingerprint: None,
    }))
}

impl<'a> Response<'a> {
    /// Why it ended, in the words of a chat. Some servers say `completed` of an answer that
    /// was cut, and tell by its status alone.
    fn finish_reason(&self, kind: &str) -> Cow<'a, str> {
        let incomplete = kind == "response.incomplete"
            || self.status.as_ref().is_some_and(|status| status.is("incomplete"));
        let reason = self.incomplete_details.as_ref().and_then(|details| details.reason.as_ref());
        let called = |item: &Item<'_>| item.is("function_call");
        match reason {
            Some(reason) if reason.is("max_output_tokens") || reason.is("max_tokens") => {
                Cow::Borrowed("length")
            }
            Some(reason) if reason.is("content_filter") => Cow::Borrowed("content_filter"),
            Some(_) => Cow::Borrowed("incomplete"),
            None if incomplete => Cow::Borrowed("incomplete"),
            None if self.output.iter().flatten().any(called) => Cow::Borrowed("tool_calls"),
            None => Cow::Borrowed("stop"),
        }
    }
}

impl Item<'_> {
    fn is(&self, kind: &str) -> bool {
        self.kind.as_ref().is_some_and(|own| own.is(kind))
    }
}

#[cfg(test)]
mod tests;
