//! The JSON around an answer's tokens, as each endpoint writes it.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::Endpoint;

/// Numbers of an embedding.
const DIMENSIONS: u32 = 256;

/// The JSON around an answer's tokens, made once a stream: a token event is `head + text + tail`.
#[derive(Debug)]
pub(crate) struct Frame {
    endpoint: Endpoint,
    /// `"id":…,"object":…,"created":…,"model":…`
    labels: String,
    head: String,
    /// Events sent, where they are numbered.
    sequence: u64,
}

/// What follows the text in a token event.
const CHAT_TAIL: &str = "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
const TEXT_TAIL: &str = "\",\"logprobs\":null,\"finish_reason\":null}]}\n\n";

impl Frame {
    pub(crate) fn new(endpoint: Endpoint, number: u64, created: u64, model: &str) -> Self {
        let model = Value::from(model);
        let (labels, head) = match endpoint {
            Endpoint::Chat => {
                let labels = format!(
                    "\"id\":\"chatcmpl-{number:012x}\",\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{model}"
                );
                let head = format!(
                    "data: {{{labels},\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\""
                );
                (labels, head)
            }
            Endpoint::Text => {
                let labels = format!(
                    "\"id\":\"cmpl-{number:012x}\",\"object\":\"text_completion\",\"created\":{created},\"model\":{model}"
                );
                let head = format!("data: {{{labels},\"choices\":[{{\"index\":0,\"text\":\"");
                (labels, head)
            }
            Endpoint::Responses => (
                format!(
                    "\"id\":\"resp_{number:012x}\",\"object\":\"response\",\"created_at\":{created},\"model\":{model}"
                ),
                format!(
                    "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"item_id\":\"msg_{number:012x}\",\"output_index\":0,\"content_index\":0,\"delta\":\""
                ),
            ),
            Endpoint::Embeddings => {
                (format!("\"object\":\"list\",\"model\":{model}"), "data: {".to_owned())
            }
        };
        Self { endpoint, labels, head, sequence: 0 }
    }

    /// The events that open an answer: a role and no text.
    pub(crate) fn opening(&mut self) -> Option<Bytes> {
        let labels = &self.labels;
        match self.endpoint {
            Endpoint::Chat => Some(
                format!(
                    "data: {{{labels},\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
                )
                .into(),
            ),
            Endpoint::Responses => {
                let response = self.response("in_progress", None, "[]", "null");
                let created = self.typed("response.created", &format!("\"response\":{response}"));
                let item = "\"output_index\":0,\"item\":{\"type\":\"message\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}";
                let added = self.typed("response.output_item.added", item);
                let part = "\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}";
                let part = self.typed("response.content_part.added", part);
                Some((created + &added + &part).into())
            }
            Endpoint::Text | Endpoint::Embeddings => None,
        }
    }

    /// A token event. `text` must stand in JSON as it is.
    pub(crate) fn tokens(&mut self, text: &str) -> Bytes {
        let numbered;
        let tail = match self.endpoint {
            Endpoint::Chat => CHAT_TAIL,
            Endpoint::Text => TEXT_TAIL,
            Endpoint::Responses | Endpoint::Embeddings => {
                numbered =
                    format!("\",\"logprobs\":[],\"sequence_number\":{}}}\n\n", self.sequence);
                self.sequence += 1;
                &numbered
            }
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

    /// The events that end an answer of this text.
    pub(crate) fn ending(&mut self, text: &str, full_length: bool, usage: Option<Usage>) -> Bytes {
        let labels = &self.labels;
        let finish_reason = finish_reason(full_length);
        let content = match self.endpoint {
            Endpoint::Chat => "\"delta\":{}",
            Endpoint::Text | Endpoint::Embeddings => "\"text\":\"\"",
            Endpoint::Responses => {
                let kind = if full_length { "response.incomplete" } else { "response.completed" };
                let response = self.finished(text, full_length, usage);
                return self.typed(kind, &format!("\"response\":{response}")).into();
            }
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
    pub(crate) fn whole(&self, text: &str, full_length: bool, usage: Option<Usage>) -> Bytes {
        let labels = self.labels.replace("chat.completion.chunk", "chat.completion");
        let text = text.trim_start();
        let finish_reason = finish_reason(full_length);
        let content = match self.endpoint {
            Endpoint::Chat => {
                format!("\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}}")
            }
            Endpoint::Text => format!("\"text\":\"{text}\""),
            Endpoint::Responses => return self.finished(text, full_length, usage).into(),
            Endpoint::Embeddings => return self.embedding(usage),
        };
        let usage = usage.map_or(String::new(), |usage| format!(",\"usage\":{}", usage.json()));
        format!(
            "{{{labels},\"choices\":[{{\"index\":0,{content},\"logprobs\":null,\"finish_reason\":\"{finish_reason}\"}}]{usage}}}"
        )
        .into()
    }

    /// A numbered event with a type.
    fn typed(&mut self, kind: &str, fields: &str) -> String {
        let sequence = self.sequence;
        self.sequence += 1;
        format!(
            "event: {kind}\ndata: {{\"type\":\"{kind}\",{fields},\"sequence_number\":{sequence}}}\n\n"
        )
    }

    fn response(&self, status: &str, cut: Option<&str>, output: &str, usage: &str) -> String {
        let labels = &self.labels;
        let cut = cut.map_or("null".to_owned(), |reason| format!("{{\"reason\":\"{reason}\"}}"));
        format!(
            "{{{labels},\"status\":\"{status}\",\"error\":null,\"incomplete_details\":{cut},\"output\":{output},\"usage\":{usage}}}"
        )
    }

    fn finished(&self, text: &str, full_length: bool, usage: Option<Usage>) -> String {
        let (status, cut) = if full_length {
            ("incomplete", Some("max_output_tokens"))
        } else {
            ("completed", None)
        };
        let output = format!(
            "[{{\"type\":\"message\",\"status\":\"{status}\",\"role\":\"assistant\",\"content\":[{{\"type\":\"output_text\",\"text\":\"{text}\",\"annotations\":[]}}]}}]"
        );
        let usage = usage.map_or("null".to_owned(), Usage::json_of_response);
        self.response(status, cut, &output, &usage)
    }

    fn embedding(&self, usage: Option<Usage>) -> Bytes {
        let numbers: Vec<f64> = (0..DIMENSIONS).map(|nth| f64::from(nth).sin()).collect();
        let data = json!([{"object": "embedding", "index": 0, "embedding": numbers}]);
        let usage = usage.map_or(String::new(), |Usage { prompt_tokens, .. }| {
            let usage = json!({"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens});
            format!(",\"usage\":{usage}")
        });
        format!("{{{},\"data\":{data}{usage}}}", self.labels).into()
    }
}

fn finish_reason(full_length: bool) -> &'static str {
    if full_length { "length" } else { "stop" }
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

    fn json_of_response(self) -> String {
        let Self { prompt_tokens, completion_tokens } = self;
        let total = prompt_tokens + completion_tokens;
        json!({
            "input_tokens": prompt_tokens,
            "output_tokens": completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": total,
        })
        .to_string()
    }
}
