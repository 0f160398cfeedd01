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

/// The endpoints that answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Text,
    /// `/v1/responses`
    Responses,
    /// `/v1/embeddings`
    Embeddings,
}

impl Endpoint {
    /// The endpoint at `path`.
    pub(crate) fn at(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => Some(Self::Chat),
            "/v1/completions" => Some(Self::Text),
            "/v1/responses" => Some(Self::Responses),
            "/v1/embeddings" => Some(Self::Embeddings),
            _ => None,
        }
    }
}

/// A request for an answer, as far as it is heeded.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    model: String,
    messages: Option<Vec<ChatMessage>>,
    prompt: Option<Value>,
    /// Of a response or an embedding.
    input: Option<Value>,
    #[serde(default)]
    pub(crate) stream: bool,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    max_output_tokens: Option<u32>,
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
            Endpoint::Responses | Endpoint::Embeddings if request.input.is_none() => {
                return Err(Refusal::Missing("input"));
            }
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
                .or(self.max_output_tokens)
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
        let texts = [&self.prompt, &self.input].into_iter().flatten().map(words);
        messages.sum::<u64>() + texts.sum::<u64>()
    }
}

fn words(content: &Value) -> u64 {
    match content {
        Value::String(text) => text.split_whitespace().count() as u64,
        Value::Array(parts) => parts.iter().map(words).sum(),
        Value::Object(part) => part.get("text").or(part.get("content")).map_or(0, words),
        // A prompt may be token ids.
        Value::Number(_) => 1,
        Value::Null | Value::Bool(_) => 0,
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
