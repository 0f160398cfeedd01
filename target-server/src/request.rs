//! The JSON we send.
//!
//! A load sends the same request ten thousand times with another prompt in it, so everything
//! around what is said and how long its answer may be is serialized once.

mod said;

use serde::Serialize;
use serde_json::{Map, Value};
use shared::{Call, Endpoint, ExtraBody, Output, Sampling};

use self::said::Written;
pub use self::said::{Length, Message, Part, Role, Said};
use crate::probe::Capabilities;

/// A run's requests, but for what each of them says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestMould {
    endpoint: Endpoint,
    /// Up to what is said.
    prefix: Vec<u8>,
    /// From behind what is said and the lengths.
    suffix: Vec<u8>,
    /// What comes before the most tokens; none: they are not said.
    most: Option<&'static [u8]>,
    fewest: Fewest,
}

/// Which fewest tokens a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fewest {
    /// None: the target does not take `min_tokens`.
    Unsaid,
    /// The request's own.
    Own,
    /// As many as at most: `min_tokens` says what `ignore_eos` would.
    Most,
}

/// The fields behind what is said and the lengths.
#[derive(Serialize)]
struct Rest {
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl RequestMould {
    /// Requests to the model of `can`, with those of the optional fields that the target takes.
    ///
    /// Where exactly `max_tokens` are asked for and the target takes `min_tokens` but not
    /// `ignore_eos`, `min_tokens` says it. Extra members stand over all of them.
    pub fn new(call: &Call, output: &Output, sampling: &Sampling, can: &Capabilities) -> Self {
        let endpoint = call.endpoint;
        let generates = endpoint != Endpoint::Embeddings;
        let told_at_end = endpoint == Endpoint::Responses;
        let usage = call.stream && can.stream_usage && generates && !told_at_end;
        let rest = Rest {
            stream: generates.then_some(call.stream),
            temperature: generates.then(|| sampling.temperature.get()),
            top_p: generates.then(|| sampling.top_p.get()),
            ignore_eos: (generates && can.ignore_eos && output.ignore_eos).then_some(true),
            stream_options: usage.then_some(StreamOptions { include_usage: true }),
        };
        let mut prefix = b"{\"model\":".to_vec();
        append(&mut prefix, &can.model);
        prefix.extend_from_slice(match endpoint {
            Endpoint::Chat => b",\"messages\":",
            Endpoint::Completions => b",\"prompt\":",
            Endpoint::Responses | Endpoint::Embeddings => b",\"input\":",
        });
        let extra = call.extra_body.as_ref();
        let mut suffix = Vec::new();
        append(&mut suffix, &merged(rest, extra));
        match suffix.as_slice() {
            b"{}" => suffix = b"}".to_vec(),
            _ => suffix[0] = b',',
        }
        let left_out = |name: &str| extra.is_some_and(|extra| extra.leaves_out(name));
        let most: Option<(&str, &'static [u8])> = match endpoint {
            Endpoint::Chat | Endpoint::Completions => Some(("max_tokens", b",\"max_tokens\":")),
            Endpoint::Responses => Some(("max_output_tokens", b",\"max_output_tokens\":")),
            Endpoint::Embeddings => None,
        };
        let most = most.filter(|(name, _)| !left_out(name)).map(|(_, written)| written);
        let says_fewest = generates && can.min_tokens && !left_out("min_tokens");
        let fewest = match (says_fewest, output.ignore_eos && !can.ignore_eos) {
            (false, _) => Fewest::Unsaid,
            (true, false) => Fewest::Own,
            (true, true) => Fewest::Most,
        };
        Self { endpoint, prefix, suffix, most, fewest }
    }

    /// The body that says `said` and asks for an answer of `length`.
    pub fn body(&self, said: Said<'_>, length: Length) -> Vec<u8> {
        const LENGTHS: usize = 64;
        // Most prompts have a few characters to escape: line ends, quotes.
        let room = match said {
            Said::Text(text) => text.len() + text.len() / 16 + LENGTHS,
            Said::Messages(messages) => LENGTHS * (1 + messages.len()),
        };
        let mut body = Vec::with_capacity(self.prefix.len() + room + self.suffix.len());
        body.extend_from_slice(&self.prefix);
        append(&mut body, &Written(self.endpoint, said));
        let most = length.max_tokens;
        if let Some(name) = self.most {
            body.extend_from_slice(name);
            append(&mut body, &most);
        }
        let fewest = match self.fewest {
            Fewest::Unsaid => 0,
            Fewest::Own => length.min_tokens.min(most),
            Fewest::Most => most,
        };
        if fewest > 0 {
            body.extend_from_slice(b",\"min_tokens\":");
            append(&mut body, &fewest);
        }
        body.extend_from_slice(&self.suffix);
        body
    }
}

/// The fields with the extra members over them: null leaves one out, and objects are merged.
fn merged(rest: Rest, extra: Option<&ExtraBody>) -> Map<String, Value> {
    let Ok(Value::Object(mut members)) = serde_json::to_value(rest) else { return Map::new() };
    for (name, value) in extra.into_iter().flat_map(ExtraBody::members) {
        match (members.get_mut(name), value) {
            (_, Value::Null) => _ = members.remove(name),
            (Some(Value::Object(ours)), Value::Object(theirs)) => ours.extend(theirs.clone()),
            _ => _ = members.insert(name.clone(), value.clone()),
        }
    }
    members
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
            of_dataset: false,
        }
    }

    fn asked(call: &Call, output: &Output, can: &Capabilities, said: Said<'_>) -> Value {
        let sampling = Sampling {
            temperature: Temperature::try_from(0.5).unwrap(),
            top_p: TopP::try_from(1.0).unwrap(),
        };
        let mould = RequestMould::new(call, output, &sampling, can);
        serde_json::from_slice(&mould.body(said, output.into())).unwrap()
    }

    fn body(output: &Output, can: &Capabilities, prompt: &str) -> Value {
        asked(&Call::default(), output, can, Said::Text(prompt))
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

    #[test]
    fn each_endpoint_has_its_own_words() {
        let asked = |endpoint, said| {
            let call = Call { endpoint, stream: false, ..Call::default() };
            asked(&call, &output(8, 2, true), &able(true, true, true), said)
        };
        let rest = json!({"model": "org/\"tiny\"", "stream": false, "temperature": 0.5,
            "top_p": 1.0, "min_tokens": 2, "ignore_eos": true});
        let with = |more: Value| {
            let mut whole = rest.clone();
            whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            whole
        };
        assert_eq!(
            asked(Endpoint::Completions, Said::Text("hi")),
            with(json!({"prompt": "hi", "max_tokens": 8}))
        );
        assert_eq!(
            asked(Endpoint::Responses, Said::Text("hi")),
            with(json!({"input": "hi", "max_output_tokens": 8}))
        );
        assert_eq!(
            asked(Endpoint::Embeddings, Said::Text("hi")),
            json!({"model": "org/\"tiny\"", "input": "hi"})
        );
    }

    #[test]
    fn a_conversation_is_written_as_each_endpoint_takes_it() {
        let image = Part::Image("data:image/png;base64,AA==".into());
        let messages = [
            Message::text(Role::System, "Be short."),
            Message { role: Role::User, parts: vec![Part::Text("What is it?".into()), image] },
            Message::text(Role::Assistant, "A dot."),
        ];
        let said = |endpoint, field: &str| {
            let call = Call { endpoint, ..Call::default() };
            let can = able(true, false, false);
            asked(&call, &output(8, 0, false), &can, Said::Messages(&messages))[field].clone()
        };
        assert_eq!(
            said(Endpoint::Chat, "messages"),
            json!([
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
                {"role": "assistant", "content": "A dot."},
            ])
        );
        assert_eq!(
            said(Endpoint::Responses, "input")[1]["content"],
            json!([
                {"type": "input_text", "text": "What is it?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
            ])
        );
        let text = "Be short.\n\nWhat is it?\n\nA dot.";
        assert_eq!(said(Endpoint::Completions, "prompt"), text);
        assert_eq!(said(Endpoint::Embeddings, "input"), text);
    }

    #[test]
    fn extra_members_stand_over_the_others_and_null_leaves_one_out() {
        let extra = json!({"top_k": 5, "temperature": null, "max_tokens": null,
            "stream_options": {"continuous_usage_stats": true}, "max_completion_tokens": 9});
        let call =
            Call { extra_body: Some(serde_json::from_value(extra).unwrap()), ..Call::default() };
        assert_eq!(
            asked(&call, &output(8, 0, false), &able(true, true, true), Said::Text("hi")),
            json!({
                "model": "org/\"tiny\"",
                "messages": [{"role": "user", "content": "hi"}],
                "stream": true,
                "top_p": 1.0,
                "top_k": 5,
                "max_completion_tokens": 9,
                "stream_options": {"include_usage": true, "continuous_usage_stats": true},
            })
        );
    }
}
