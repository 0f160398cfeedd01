//! The OpenAI dialect: what is read of a request, and the JSON of answers and refusals.

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Settings, answer::Length};

/// What a request gets where it names no `max_tokens`.
const DEFAULT_MAX_TOKENS: u32 = 128;
/// Most tokens of an answer.
pub(crate) const MOST_TOKENS: u32 = 131_072;

/// The two endpoints that answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Text,
}

/// A request for an answer, as far as it is heeded.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    model: String,
    messages: Option<Vec<ChatMessage>>,
    prompt: Option<Value>,
    #[serde(default)]
    pub(crate) stream: bool,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    min_tokens: Option<u32>,
    #[serde(default)]
    ignore_eos: bool,
}

#[derive(Debug, Deserialize)]
struct ChatMessage {
    #[serde(default)]
    content: Value,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("incorrect API key provided")]
    Key,
    #[error("the model `{0}` does not exist")]
    UnknownModel(String),
    #[error("the request body cannot be read: {0}")]
    Unreadable(String),
    #[error("{0} is required")]
    Missing(&'static str),
    #[error("max_tokens must be between 1 and {MOST_TOKENS}, not {0}")]
    Length(u32),
    #[error("the rate limit is reached; try again later")]
    TooManyRequests,
    #[error("an internal error, as was asked for")]
    ServerError,
    #[error("nothing is here")]
    UnknownPath,
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Key => StatusCode::UNAUTHORIZED,
            Self::UnknownModel(_) | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::Unreadable(_) | Self::Missing(_) | Self::Length(_) => StatusCode::BAD_REQUEST,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(crate) fn body(&self) -> Bytes {
        let (kind, param, code) = match self {
            Self::Key => ("invalid_request_error", None, Some("invalid_api_key")),
            Self::UnknownModel(_) => {
                ("invalid_request_error", Some("model"), Some("model_not_found"))
            }
            Self::Unreadable(_) | Self::UnknownPath => ("invalid_request_error", None, None),
            Self::Missing(name) => ("invalid_request_error", Some(*name), None),
            Self::Length(_) => ("invalid_request_error", Some("max_tokens"), None),
            Self::TooManyRequests => ("requests", None, Some("rate_limit_exceeded")),
            Self::ServerError => ("server_error", None, None),
        };
        let message = self.to_string();
        body(&json!({"error": {"message": message, "type": kind, "param": param, "code": code}}))
    }
}

impl Request {
    pub(crate) fn read(
        body: &[u8],
        endpoint: Endpoint,
        settings: &Settings,
    ) -> Result<Self, Refusal> {
        let request: Self =
            serde_json::from_slice(body).map_err(|error| Refusal::Unreadable(error.to_string()))?;
        if request.model != settings.model {
            return Err(Refusal::UnknownModel(request.model));
        }
        match endpoint {
            Endpoint::Chat if request.messages.as_ref().is_none_or(Vec::is_empty) => {
                return Err(Refusal::Missing("messages"));
            }
            Endpoint::Text if request.prompt.is_none() => return Err(Refusal::Missing("prompt")),
            _ => {}
        }
        let max_tokens = request.length().max_tokens;
        if !(1..=MOST_TOKENS).contains(&max_tokens) {
            return Err(Refusal::Length(max_tokens));
        }
        Ok(request)
    }

    pub(crate) fn length(&self) -> Length {
        Length {
            max_tokens: self
                .max_completion_tokens
                .or(self.max_tokens)
                .unwrap_or(DEFAULT_MAX_TOKENS),
            min_tokens: self.min_tokens.unwrap_or(0),
            ignore_eos: self.ignore_eos,
        }
    }

    /// Whether a stream tells its usage.
    pub(crate) fn include_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|options| options.include_usage)
    }

    /// Words of the prompt: this server's idea of tokens.
    pub(crate) fn prompt_tokens(&self) -> u64 {
        let messages = self.messages.iter().flatten().map(|message| words(&message.content));
        messages.sum::<u64>() + self.prompt.as_ref().map_or(0, words)
    }
}

fn words(content: &Value) -> u64 {
    match content {
        Value::String(text) => text.split_whitespace().count() as u64,
        Value::Array(parts) => parts.iter().map(words).sum(),
        Value::Object(part) => part.get("text").map_or(0, words),
        // A prompt may be token ids.
        Value::Number(_) => 1,
        Value::Null | Value::Bool(_) => 0,
    }
}

/// The JSON around an answer's tokens, made once a stream: a token event is `head + text + tail`.
#[derive(Debug)]
pub(crate) struct Frame {
    endpoint: Endpoint,
    /// `"id":…,"object":…,"created":…,"model":…`
    labels: String,
    head: String,
}

/// What follows the text in a token event.
const CHAT_TAIL: &str = "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
const TEXT_TAIL: &str = "\",\"logprobs\":null,\"finish_reason\":null}]}\n\n";

impl Frame {
    pub(crate) fn new(endpoint: Endpoint, number: u64, created: u64, model: &str) -> Self {
        let model = Value::from(model);
        let (labels, delta) = match endpoint {
            Endpoint::Chat => (
                format!(
                    "\"id\":\"chatcmpl-{number:012x}\",\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{model}"
                ),
                "\"delta\":{\"content\":\"",
            ),
            Endpoint::Text => (
                format!(
                    "\"id\":\"cmpl-{number:012x}\",\"object\":\"text_completion\",\"created\":{created},\"model\":{model}"
                ),
                "\"text\":\"",
            ),
        };
        let head = format!("data: {{{labels},\"choices\":[{{\"index\":0,{delta}");
        Self { endpoint, labels, head }
    }

    /// The event that opens a chat answer: a role and no text.
    pub(crate) fn opening(&self) -> Option<Bytes> {
        (self.endpoint == Endpoint::Chat).then(|| {
            let labels = &self.labels;
            format!(
                "data: {{{labels},\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
            )
            .into()
        })
    }

    /// A token event. `text` must stand in JSON as it is.
    pub(crate) fn tokens(&self, text: &str) -> Bytes {
        let tail = match self.endpoint {
            Endpoint::Chat => CHAT_TAIL,
            Endpoint::Text => TEXT_TAIL,
        };
        let mut event = Vec::with_capacity(self.head.len() + text.len() + tail.len());
        event.extend_from_slice(self.head.as_bytes());
        event.extend_from_slice(text.as_bytes());
        event.extend_from_slice(tail.as_bytes());
        event.into()
    }

    /// An event that is no JSON.
    pub(crate) fn malformed(&self) -> Bytes {
        format!("{}\n\n", self.head).into()
    }

    /// The events that end an answer.
    pub(crate) fn ending(&self, finish_reason: &str, usage: Option<Usage>) -> Bytes {
        let labels = &self.labels;
        let content = match self.endpoint {
            Endpoint::Chat => "\"delta\":{}",
            Endpoint::Text => "\"text\":\"\"",
        };
        let usage = usage.map_or(String::new(), |usage| {
            format!("data: {{{labels},\"choices\":[],\"usage\":{}}}\n\n", usage.json())
        });
        format!(
            "data: {{{labels},\"choices\":[{{\"index\":0,{content},\"logprobs\":null,\"finish_reason\":\"{finish_reason}\"}}]}}\n\n{usage}data: [DONE]\n\n"
        )
        .into()
    }

    /// The whole answer at once.
    pub(crate) fn whole(&self, text: &str, finish_reason: &str, usage: Option<Usage>) -> Bytes {
        let labels = self.labels.replace("chat.completion.chunk", "chat.completion");
        let text = text.trim_start();
        let content = match self.endpoint {
            Endpoint::Chat => {
                format!("\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}}")
            }
            Endpoint::Text => format!("\"text\":\"{text}\""),
        };
        let usage = usage.map_or(String::new(), |usage| format!(",\"usage\":{}", usage.json()));
        format!(
            "{{{labels},\"choices\":[{{\"index\":0,{content},\"logprobs\":null,\"finish_reason\":\"{finish_reason}\"}}]{usage}}}"
        )
        .into()
    }
}

/// What an answer took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
}

impl Usage {
    fn json(self) -> String {
        let Self { prompt_tokens, completion_tokens } = self;
        let total = prompt_tokens + completion_tokens;
        format!(
            "{{\"prompt_tokens\":{prompt_tokens},\"completion_tokens\":{completion_tokens},\"total_tokens\":{total}}}"
        )
    }
}

/// The list of models, which is one.
pub(crate) fn models(model: &str, created: u64) -> Bytes {
    let model =
        json!({"id": model, "object": "model", "created": created, "owned_by": "simulator"});
    body(&json!({"object": "list", "data": [model]}))
}

fn body(value: &Value) -> Bytes {
    value.to_string().into()
}
