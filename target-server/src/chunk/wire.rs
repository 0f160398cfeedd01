//! The dialect's objects as they are written, with only the fields that are read.
//!
//! Apart from `chunk`, so that what the words mean is not mixed with how they are spelt.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::Usage;

/// One event's data, or one whole answer.
#[derive(Deserialize)]
pub(super) struct Body<'a> {
    #[serde(borrow, default)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<Value>,
    /// `error` where the whole body is one, as older vLLMs write it.
    #[serde(borrow, default)]
    object: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) system_fingerprint: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    /// Chat, streamed. Boxed, as the other: a list grows by four, and so large a piece of memory
    /// costs more than the reading.
    #[serde(borrow, default)]
    pub(super) delta: Option<Box<Content<'a>>>,
    /// Chat, whole.
    #[serde(borrow, default)]
    pub(super) message: Option<Box<Content<'a>>>,
    /// Text completions, both.
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are the dialect's")]
pub(super) struct Content<'a> {
    #[serde(borrow, default)]
    pub(super) content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct ToolCall<'a> {
    #[serde(borrow, default)]
    pub(super) function: Option<Function<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) arguments: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<Count>,
    #[serde(default)]
    completion_tokens: Option<Count>,
    #[serde(default)]
    completion_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    reasoning_tokens: Option<Count>,
}

impl Body<'_> {
    /// What the server counted; none where either sum is missing: half a count is no count.
    pub(super) fn usage(&self) -> Option<Usage> {
        let usage = self.usage.as_ref()?;
        Some(Usage {
            prompt_tokens: usage.prompt_tokens.as_ref()?.0,
            completion_tokens: usage.completion_tokens.as_ref()?.0,
            reasoning_tokens: usage
                .completion_tokens_details
                .as_ref()
                .and_then(|details| details.reasoning_tokens.as_ref())
                .map(|count| count.0),
        })
    }

    /// The words of the error that this is, if it is one.
    pub(super) fn error_words(&mut self) -> Option<String> {
        if let Some(words) = words_of(self.error.take()) {
            return Some(words);
        }
        let is_error = self.object.as_ref().is_some_and(|object| object.0 == "error");
        is_error.then(|| match self.message.take().and_then(Text::filled) {
            Some(words) => words.into_owned(),
            None => "an error without a message".to_owned(),
        })
    }
}

/// The words of an `error` member; none where it holds no error.
pub(super) fn words_of(error: Option<Value>) -> Option<String> {
    match error? {
        Value::String(words) if !words.is_empty() => Some(words),
        Value::Object(error) if !error.is_empty() => {
            Some(match error.get("message").and_then(Value::as_str) {
                Some(words) if !words.is_empty() => words.to_owned(),
                _ => Value::Object(error).to_string(),
            })
        }
        other @ (Value::Array(_) | Value::Number(_) | Value::Bool(true)) => Some(other.to_string()),
        _ => None,
    }
}

impl<'a> Content<'a> {
    /// The reasoning under either of its names; servers that changed the name send both, alike.
    pub(super) fn take_reasoning(&mut self) -> Option<Text<'a>> {
        let newer = self.reasoning.take().filter(|text| !text.0.is_empty());
        newer.or_else(|| self.reasoning_content.take())
    }

    /// The reasoning, looked at.
    pub(super) fn reasoning(&self) -> Option<&str> {
        let names = [&self.reasoning, &self.reasoning_content];
        names.into_iter().flatten().map(|text| &*text.0).find(|text| !text.is_empty())
    }
}

/// A text, borrowed where the JSON has no escapes in it. serde alone does not borrow inside an
/// `Option`. Anything that is not a text becomes its JSON: some servers send a tool call's
/// arguments as an object.
pub(super) struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    /// Whether it is this word.
    pub(super) fn is(&self, word: &str) -> bool {
        self.0 == word
    }

    /// The text, if there is any.
    pub(super) fn filled(self) -> Option<Cow<'a, str>> {
        (!self.0.is_empty()).then_some(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;

        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text<'de>, A::Error> {
                let value = Value::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Text(Cow::Owned(value.to_string())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'de>, A::Error> {
                // Content as parts: the texts of those that have one.
                let mut joined = String::new();
                while let Some(part) = seq.next_element::<Part<'de>>()? {
                    if let Some(text) = part.text.and_then(Text::filled) {
                        joined.push_str(&text);
                    }
                }
                Ok(Text(Cow::Owned(joined)))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
        }

        deserializer.deserialize_any(Borrowing)
    }
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
}

/// A count of tokens, also where a server writes `12.0`.
pub(super) struct Count(pub(super) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;

        impl Visitor<'_> for Whole {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count of tokens")
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Count, E> {
                Ok(Count(count))
            }

            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, not negative, and far below 2^53"
            )]
            fn visit_f64<E: de::Error>(self, count: f64) -> Result<Count, E> {
                if count.fract() == 0.0 && (0.0..1e15).contains(&count) {
                    Ok(Count(count as u64))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(count), &self))
                }
            }
        }

        deserializer.deserialize_any(Whole)
    }
}
