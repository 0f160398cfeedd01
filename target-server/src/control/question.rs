//! One request that is no load: what `POST generate/` asks.

use serde::Serialize;
use shared::{MaxTokens, Temperature, TopP};

/// A chat to be continued once, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The model; none: the first that the target lists.
    pub model: Option<String>,
    /// The chat so far.
    pub messages: Vec<Turn>,
    /// Most tokens of the answer.
    pub max_tokens: MaxTokens,
    /// Sampling temperature; none: the target's default.
    pub temperature: Option<Temperature>,
    /// Nucleus sampling mass; none: the target's default.
    pub top_p: Option<TopP>,
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// Who: `system`, `user` or `assistant`.
    pub role: String,
    /// What.
    pub content: String,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a [Turn],
    stream: bool,
    max_tokens: MaxTokens,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<Temperature>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<TopP>,
}

impl Question {
    /// One user's prompt.
    pub fn prompt(model: Option<String>, prompt: String, max_tokens: MaxTokens) -> Self {
        let messages = vec![Turn { role: "user".to_owned(), content: prompt }];
        Self { model, messages, max_tokens, temperature: None, top_p: None }
    }

    pub(super) fn body(&self, model: &str) -> Vec<u8> {
        let Self { messages, max_tokens, temperature, top_p, .. } = self;
        let body = Body {
            model,
            messages,
            stream: false,
            max_tokens: *max_tokens,
            temperature: *temperature,
            top_p: *top_p,
        };
        serde_json::to_vec(&body).expect("texts and numbers always have a JSON form")
    }
}
