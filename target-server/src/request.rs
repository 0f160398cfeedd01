//! The JSON we send.
//!
//! A load sends the same request ten thousand times with another prompt in it, so everything
//! around the prompt is serialized once.

use serde::Serialize;
use shared::{Output, Sampling};

use crate::probe::Capabilities;

/// A streaming chat completion, but for its prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatRequest {
    /// Up to the prompt.
    prefix: Vec<u8>,
    /// From behind the prompt.
    suffix: Vec<u8>,
}

#[derive(Serialize)]
struct Rest {
    stream: bool,
    max_tokens: u32,
    temperature: f64,
    top_p: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl ChatRequest {
    /// A request to the model of `can`, with those of the optional fields that the target takes.
    ///
    /// Where exactly `max_tokens` are asked for and the target takes `min_tokens` but not
    /// `ignore_eos`, `min_tokens` says it.
    pub fn new(output: &Output, sampling: &Sampling, can: &Capabilities) -> Self {
        let most = output.max_tokens.get();
        let fewest = if output.ignore_eos && !can.ignore_eos {
            most
        } else {
            output.min_tokens.get().min(most)
        };
        let rest = Rest {
            stream: true,
            max_tokens: most,
            temperature: sampling.temperature.get(),
            top_p: sampling.top_p.get(),
            min_tokens: (can.min_tokens && fewest > 0).then_some(fewest),
            ignore_eos: (can.ignore_eos && output.ignore_eos).then_some(true),
            stream_options: can.stream_usage.then_some(StreamOptions { include_usage: true }),
        };
        let mut prefix = b"{\"model\":".to_vec();
        append(&mut prefix, &can.model);
        prefix.extend_from_slice(b",\"messages\":[{\"role\":\"user\",\"content\":");
        let mut suffix = b"}],".to_vec();
        let mut fields = Vec::new();
        append(&mut fields, &rest);
        suffix.extend_from_slice(&fields[1..]);
        Self { prefix, suffix }
    }

    /// The body that asks `prompt`.
    pub fn body(&self, prompt: &str) -> Vec<u8> {
        // Most prompts have a few characters to escape: line ends, quotes.
        let room = prompt.len() + prompt.len() / 16 + 2;
        let mut body = Vec::with_capacity(self.prefix.len() + room + self.suffix.len());
        body.extend_from_slice(&self.prefix);
        append(&mut body, prompt);
        body.extend_from_slice(&self.suffix);
        body
    }
}

fn append(to: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(to, value).expect("texts and numbers always have a JSON form");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::{MaxTokens, MinTokens, Temperature, TopP};

    use super::*;

    fn output(max_tokens: u32, min_tokens: u32, ignore_eos: bool) -> Output {
        Output {
            max_tokens: MaxTokens::try_from(max_tokens).unwrap(),
            min_tokens: MinTokens::try_from(min_tokens).unwrap(),
            ignore_eos,
        }
    }

    fn body(output: &Output, can: &Capabilities, prompt: &str) -> Value {
        let sampling = Sampling {
            temperature: Temperature::try_from(0.5).unwrap(),
            top_p: TopP::try_from(1.0).unwrap(),
        };
        serde_json::from_slice(&ChatRequest::new(output, &sampling, can).body(prompt)).unwrap()
    }

    fn able(stream_usage: bool, ignore_eos: bool, min_tokens: bool) -> Capabilities {
        let model = "org/\"tiny\"".to_owned();
        Capabilities { stream_usage, ignore_eos, min_tokens, model, ..Capabilities::default() }
    }

    #[test]
    fn the_body_is_the_dialects() {
        let prompt = "say \"hi\"\n\tto \\ 漢字 \u{1} </script>";
        let everything = body(&output(128, 64, true), &able(true, true, true), prompt);
        assert_eq!(
            everything,
            json!({
                "model": "org/\"tiny\"",
                "messages": [{"role": "user", "content": prompt}],
                "stream": true,
                "max_tokens": 128,
                "temperature": 0.5,
                "top_p": 1.0,
                "min_tokens": 64,
                "ignore_eos": true,
                "stream_options": {"include_usage": true},
            })
        );
    }

    #[test]
    fn a_target_gets_no_field_that_it_refuses_or_that_nobody_asked_for() {
        let optional = ["min_tokens", "ignore_eos", "stream_options"];
        let plain = body(&output(128, 64, true), &able(false, false, false), "");
        assert!(optional.iter().all(|field| plain.get(field).is_none()), "{plain}");
        let unasked = body(&output(128, 0, false), &able(false, true, true), "");
        assert!(optional.iter().all(|field| unasked.get(field).is_none()), "{unasked}");
    }

    #[test]
    fn min_tokens_stand_in_for_ignore_eos_and_never_exceed_max_tokens() {
        let exact = body(&output(128, 0, true), &able(false, false, true), "");
        assert_eq!(exact["min_tokens"], 128);
        let swapped = body(&output(10, 20, false), &able(false, false, true), "");
        assert_eq!(swapped["min_tokens"], 10);
    }
}
