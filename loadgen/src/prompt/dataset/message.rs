//! One message of a conversation, whoever wrote it down.

use std::sync::Arc;

use serde_json::{Map, Value};
use target::request::{Message, Part, Role};

use super::{Unsendable, images::Images};

/// One message, as `OpenAI` or `ShareGPT` write it.
pub(super) fn read(message: Value, images: &mut Images) -> Result<Message, Unsendable> {
    let refused = |why: &str| Unsendable::Message(why.to_owned());
    let Value::Object(mut message) = message else { return Err(refused("is no object")) };
    let mut take = |names: [&str; 2]| names.into_iter().find_map(|name| message.remove(name));
    let Some(Value::String(role)) = take(["role", "from"]) else {
        return Err(refused("has no role"));
    };
    let role = match role.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" | "human" | "prompter" => Role::User,
        "assistant" | "gpt" | "chatgpt" | "bing" | "bard" | "model" => Role::Assistant,
        other => {
            let other: String = other.chars().take(32).collect();
            return Err(Unsendable::Message(format!(
                "has the role `{other}`, not system, developer, user or assistant"
            )));
        }
    };
    let parts = match take(["content", "value"]) {
        Some(Value::String(text)) => vec![Part::Text(text.into())],
        Some(Value::Array(parts)) => {
            parts.into_iter().map(|it| part(it, images)).collect::<Result<_, _>>()?
        }
        _ => return Err(refused("has neither a text nor parts as its content")),
    };
    Ok(Message { role, parts })
}

fn part(part: Value, images: &mut Images) -> Result<Part, Unsendable> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(Arc::from);
    let Value::Object(part) = part else {
        return Err(Unsendable::Message("has a part that is no object".to_owned()));
    };
    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
    let found = match kind {
        "text" | "input_text" | "output_text" => text(part.get("text")).map(Part::Text),
        "image_url" | "input_image" => match url(&part) {
            Some(url) => Some(Part::Image(images.url(url)?)),
            None => None,
        },
        _ => None,
    };
    found.ok_or_else(|| {
        let kind: String = kind.chars().take(32).collect();
        Unsendable::Message(format!(
            "has a part of the type `{kind}` that is neither a text nor an image_url"
        ))
    })
}

fn url(part: &Map<String, Value>) -> Option<&str> {
    match part.get("image_url")? {
        Value::Object(image) => image.get("url")?.as_str(),
        url => url.as_str(),
    }
}
