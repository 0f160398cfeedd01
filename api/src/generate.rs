//! One request to a target, answered whole: to see whether it is the right one before loading it.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, param::Header, payload::Json};
use serde_json::{Value, json};
use shared::{
    FieldError,
    request::{FIELDS, Field, Fields, Kind as FieldKind, NewBenchmark},
};
use target::{Control, Question, Turn};

use crate::{AppState, Tag, fields::GivenJson, problem::ApiError, submit};

/// The fields that mean here what they mean for a benchmark.
const SHARED: &[&str] = &["url", "model", "max_tokens", "temperature", "top_p", "api_key"];

const PROMPT: Field = Field {
    name: "prompt",
    kind: FieldKind::Text { max_chars: 200_000 },
    default: "none: messages are given",
    doc: "What to say to the model. Either this or `messages`.",
};

const ROLES: &[&str] = &["system", "user", "assistant"];

pub(crate) struct GenerateApi {
    pub(crate) state: Arc<AppState>,
}

/// What a target answered.
#[derive(Debug, Object)]
struct Generated {
    /// The model that answered.
    model: String,
    /// What it said.
    text: String,
    /// What it thought before, where it shows that.
    reasoning: Option<String>,
    /// Why the answer ended.
    finish_reason: Option<String>,
    /// What the target counted.
    usage: Option<Usage>,
}

/// Tokens, as the target counted them.
#[derive(Debug, Object)]
#[expect(clippy::struct_field_names, reason = "the dialect's names")]
struct Usage {
    /// Tokens of the prompt.
    prompt_tokens: u64,
    /// Tokens of the answer.
    completion_tokens: u64,
    /// Of them, tokens of reasoning.
    reasoning_tokens: Option<u64>,
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Targets")]
impl GenerateApi {
    /// Ask a target once
    ///
    /// Under the same rules as a benchmark's requests. Without `api_key` and without the header
    /// `X-Target-Api-Key`, `API_AUTH_TOKEN` is sent, and that to `LOCUST_HOST` alone.
    #[oai(path = "/generate", method = "post", operation_id = "generate")]
    async fn generate(
        &self,
        given: GivenJson,
        /// The target's key, in place of `api_key`.
        #[oai(name = "X-Target-Api-Key")]
        target_api_key: Header<Option<String>>,
    ) -> poem::Result<Json<Generated>> {
        let (new, question) = question(&given.0, &self.state)?;
        self.state.judge("url", &new.spec.url)?;
        let key = new.api_key.or_else(|| submit::key_of(target_api_key.0.as_deref()));
        let key = key.or_else(|| self.state.default_key_for(&new.spec.url));
        let _permit = self.state.target_call()?;
        let control = Control::new(&self.state.egress, &new.spec.url, key.as_ref());
        let control = control.map_err(ApiError::from)?;
        let answer = control.chat(&question).await.map_err(ApiError::from)?;
        Ok(Json(Generated {
            model: answer.model.unwrap_or_default(),
            text: answer.text,
            reasoning: answer.reasoning,
            finish_reason: answer.finish_reason,
            usage: answer.usage.map(|usage| Usage {
                prompt_tokens: usage.prompt_tokens,
                completion_tokens: usage.completion_tokens,
                reasoning_tokens: usage.reasoning_tokens,
            }),
        }))
    }
}

/// Reads a question: the shared fields meet the same gate as a benchmark's.
fn question(given: &Fields, state: &AppState) -> Result<(NewBenchmark, Question), ApiError> {
    let mut shared = Fields::new();
    let mut errors = Vec::new();
    for (name, value) in given {
        match name.as_str() {
            "prompt" | "messages" => {}
            name if SHARED.contains(&name) => {
                shared.insert(name.to_owned(), value.clone());
            }
            name => {
                let name: String = name.chars().take(64).collect();
                errors.push(FieldError::new(&name, format!("{name} is no known field")));
            }
        }
    }
    let new = NewBenchmark::parse(&shared, &state.defaults, submit::fresh_seed());
    let new = new.map_err(|refused| errors.extend(refused)).ok();
    let messages = match (given.get("prompt"), given.get("messages")) {
        (Some(prompt), None) => prompt_of(prompt),
        (None, Some(messages)) => messages_of(messages),
        _ => Err(FieldError::new("prompt", "either prompt or messages must be given")),
    };
    let messages = messages.map_err(|refused| errors.push(refused)).ok();
    match (new, messages) {
        (Some(new), Some(messages)) if errors.is_empty() => {
            let asked = |name: &str| given.get(name).is_some_and(|value| !value.is_null());
            let question = Question {
                model: new.spec.model.as_ref().map(ToString::to_string),
                messages,
                max_tokens: new.spec.output.max_tokens,
                temperature: asked("temperature").then_some(new.spec.sampling.temperature),
                top_p: asked("top_p").then_some(new.spec.sampling.top_p),
            };
            Ok((new, question))
        }
        _ => Err(errors.into()),
    }
}

fn prompt_of(prompt: &Value) -> Result<Vec<Turn>, FieldError> {
    let refuse = |detail: String| Err(FieldError::new("prompt", detail));
    let FieldKind::Text { max_chars } = PROMPT.kind else { return Ok(Vec::new()) };
    match prompt.as_str() {
        None => refuse("prompt must be a text".to_owned()),
        Some(text) if text.trim().is_empty() => refuse("prompt must not be empty".to_owned()),
        Some(text) if text.chars().count() > max_chars => {
            refuse(format!("prompt must be at most {max_chars} characters long"))
        }
        Some(text) => Ok(vec![Turn { role: "user".to_owned(), content: text.to_owned() }]),
    }
}

fn messages_of(messages: &Value) -> Result<Vec<Turn>, FieldError> {
    let turn = |message: &Value| {
        let role = message.get("role")?.as_str().filter(|role| ROLES.contains(role))?;
        let content = message.get("content")?.as_str()?;
        Some(Turn { role: role.to_owned(), content: content.to_owned() })
    };
    let turns: Option<Vec<_>> = messages
        .as_array()
        .filter(|messages| !messages.is_empty())
        .and_then(|messages| messages.iter().map(turn).collect());
    turns.ok_or_else(|| {
        let shape = "a list of {\"role\": …, \"content\": …}, not empty, both texts";
        let detail = format!("messages must be {shape}, with the roles {}", ROLES.join(", "));
        FieldError::new("messages", detail)
    })
}

/// The fields of a question, for the published contract.
pub(crate) fn fields() -> Vec<Field> {
    let shared = FIELDS.iter().filter(|field| SHARED.contains(&field.name)).copied();
    shared
        .map(|field| match field.name {
            "temperature" | "top_p" => Field { default: "the target's own", ..field },
            "api_key" => Field {
                default: "X-Target-Api-Key, else API_AUTH_TOKEN where url is LOCUST_HOST",
                doc: "Key for the target, sent as a Bearer token. Kept nowhere.",
                ..field
            },
            _ => field,
        })
        .chain([PROMPT])
        .collect()
}

/// The schema of `messages`, which is no flat field.
pub(crate) fn messages_schema() -> Value {
    json!({
        "type": "array",
        "minItems": 1,
        "description": "The chat so far. Either this or `prompt`.",
        "items": {
            "type": "object",
            "required": ["role", "content"],
            "properties": {
                "role": {"type": "string", "enum": ROLES},
                "content": {"type": "string"},
            },
        },
    })
}
