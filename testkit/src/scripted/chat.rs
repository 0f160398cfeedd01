//! A well-behaved answer: what an OpenAI-compatible server streams for a chat.

use std::time::Duration;

use serde_json::{Value, json};

use super::Script;

/// A streamed chat: a role event, one event a token, a finish event, usage, `[DONE]`.
#[derive(Clone, Debug)]
pub struct Chat {
    model: String,
    tokens: Vec<String>,
    usage: Option<(u64, u64)>,
    first_token_after: Duration,
    token_every: Duration,
    finish_reason: Option<&'static str>,
}

impl Chat {
    /// The model it is asked for, unless [`Chat::model`] names another.
    pub const MODEL: &str = "tiny";

    /// An answer of these tokens, as fast as they can be written, without usage.
    pub fn of(tokens: &[&str]) -> Self {
        Self {
            model: Self::MODEL.to_owned(),
            tokens: tokens.iter().map(|&token| token.to_owned()).collect(),
            usage: None,
            first_token_after: Duration::ZERO,
            token_every: Duration::ZERO,
            finish_reason: Some("stop"),
        }
    }

    /// Another model.
    #[must_use]
    pub fn model(self, model: &str) -> Self {
        Self { model: model.to_owned(), ..self }
    }

    /// Usage in an event of its own with `choices: []`: tokens of the prompt and of the answer.
    #[must_use]
    pub fn usage(self, prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self { usage: Some((prompt_tokens, completion_tokens)), ..self }
    }

    /// The pause between the head of the response and the first token.
    #[must_use]
    pub fn first_token_after(self, time: Duration) -> Self {
        Self { first_token_after: time, ..self }
    }

    /// The pause between two tokens.
    #[must_use]
    pub fn token_every(self, time: Duration) -> Self {
        Self { token_every: time, ..self }
    }

    /// Another reason for the end; none: the finish event is left out.
    #[must_use]
    pub fn finish_reason(self, reason: Option<&'static str>) -> Self {
        Self { finish_reason: reason, ..self }
    }

    /// The list that names its model.
    pub fn models(&self) -> Script {
        Script::models(&[&self.model])
    }

    /// The answer to one streaming request. Writes: head, role, one a token, finish, usage,
    /// `[DONE]`, end of chunks.
    pub fn script(&self) -> Script {
        let mut script = Script::new().chunked_head();
        script = script.event(&self.chunk(&json!({"role": "assistant", "content": ""}), None));
        for (nth, token) in self.tokens.iter().enumerate() {
            let pause = if nth == 0 { self.first_token_after } else { self.token_every };
            if !pause.is_zero() {
                script = script.after(pause);
            }
            script = script.event(&self.chunk(&json!({"content": token}), None));
        }
        if let Some(reason) = self.finish_reason {
            script = script.event(&self.chunk(&json!({}), Some(reason)));
        }
        if let Some((prompt, completion)) = self.usage {
            script = script.event(&json!({
                "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": self.model,
                "choices": [],
                "usage": {
                    "prompt_tokens": prompt,
                    "completion_tokens": completion,
                    "total_tokens": prompt + completion,
                },
            }));
        }
        script.done().end_chunks()
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Value {
        json!({
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": self.model,
            "system_fingerprint": "fp_scripted",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        })
    }
}
