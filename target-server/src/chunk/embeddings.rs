//! An answer of the embeddings endpoint: vectors, of which only their being there is read.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{
    Answer, Malformed, Reply, Usage,
    wire::{Count, Text, words_of},
};
use crate::excerpt::{BODY_BYTES, excerpt};

/// A whole answer.
#[derive(Deserialize)]
pub(super) struct Embeddings<'a> {
    #[serde(default)]
    data: Option<Vec<Embedding>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Embedding {
    #[serde(default)]
    embedding: Option<Vector>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<Count>,
}

/// How much of a vector there is: numbers, or characters of base64.
struct Vector(usize);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Length;

        impl<'de> Visitor<'de> for Length {
            type Value = Vector;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vector")
            }

            fn visit_str<E>(self, base64: &str) -> Result<Vector, E> {
                Ok(Vector(base64.len()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vector, A::Error> {
                let mut numbers = 0;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    numbers += 1;
                }
                Ok(Vector(numbers))
            }
        }

        deserializer.deserialize_any(Length)
    }
}

/// What a whole answer says. It has no output tokens: its usage says 0, and so do prompt tokens
/// that the server does not count.
pub(super) fn reply(embeddings: Embeddings<'_>, body: &[u8]) -> Result<Reply, Malformed> {
    let Embeddings { data, usage, error, model } = embeddings;
    if let Some(words) = words_of(error) {
        return Ok(Reply::Error(excerpt(words.as_bytes(), BODY_BYTES)));
    }
    let Some(data) = data.filter(|data| !data.is_empty()) else {
        return Err(Malformed::new(body, &"it has no embeddings"));
    };
    if data.iter().any(|one| one.embedding.as_ref().is_none_or(|vector| vector.0 == 0)) {
        return Err(Malformed::new(body, &"it has an embedding without a vector"));
    }
    let prompt_tokens = usage.and_then(|usage| usage.prompt_tokens).map_or(0, |count| count.0);
    Ok(Reply::Answer(Answer {
        usage: Some(Usage { prompt_tokens, completion_tokens: 0, reasoning_tokens: None }),
        model: model.and_then(Text::filled).map(Cow::into_owned),
        ..Answer::default()
    }))
}

#[cfg(test)]
mod tests {
    use shared::Endpoint;

    use super::super::{Reply, Usage, whole};

    fn read(body: &str) -> Result<Reply, String> {
        whole(Endpoint::Embeddings, body.as_bytes()).map_err(|bad| bad.cause)
    }

    #[test]
    fn vectors_are_counted_not_kept() {
        for vector in ["[0.1,-2e-3,3]", "\"zczMPc3MTD4=\""] {
            let body = format!(
                r#"{{"object":"list","data":[{{"object":"embedding","index":0,"embedding":{vector}}}],"model":"m","usage":{{"prompt_tokens":8,"total_tokens":8}}}}"#
            );
            let Ok(Reply::Answer(answer)) = read(&body) else { panic!("{body}") };
            let usage = Usage { prompt_tokens: 8, completion_tokens: 0, reasoning_tokens: None };
            assert_eq!((answer.usage, &*answer.text), (Some(usage), ""), "{body}");
        }
    }

    #[test]
    fn what_holds_no_vector_is_malformed_and_an_error_is_told() {
        for body in [
            r#"{"data":[]}"#,
            r#"{"data":[{"embedding":[]}]}"#,
            r#"{"data":[{"object":"embedding"}]}"#,
            r#"{"choices":[{"text":"hi"}]}"#,
            "[]",
        ] {
            assert!(read(body).is_err(), "{body}");
        }
        let told = read(r#"{"error":{"message":"not an embedding model"}}"#);
        assert_eq!(told, Ok(Reply::Error("not an embedding model".to_owned())));
    }
}
