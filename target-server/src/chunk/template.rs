//! Events that differ from one before in nothing but their text.
//!
//! A server writes the chunks of one answer from one mould. Once one of them has been read as
//! JSON, another with the same bytes before and behind its text says the same but for that text,
//! and need not be read again: comparing costs a tenth of parsing.

use memchr::memmem;

use super::Delta;

/// What stands before a text: a chat's, a completion's.
const BEFORE: [&[u8]; 2] = [b"\"content\":\"", b"\"text\":\""];

/// The bytes around the text of an event that is plain content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    whole: Box<[u8]>,
    text_at: usize,
    behind_at: usize,
}

impl Template {
    /// The mould of an event, which was read as `delta`; none where it says more than a text, or
    /// where its text cannot be told from the rest with certainty.
    pub fn of(data: &[u8], delta: &Delta<'_>) -> Option<Self> {
        let plain = delta.answer && delta.usage.is_none() && delta.finish_reason.is_none();
        if !plain {
            return None;
        }
        let found = |before| Some((memmem::find(data, before)?, before));
        let (at, before) = BEFORE.into_iter().find_map(found)?;
        let text_at = at + before.len();
        let once = memmem::find(&data[text_at..], before).is_none();
        let text = delta.text.as_bytes();
        let behind_at = text_at + text.len();
        let is_it = once
            && is_simple(text)
            && data.get(text_at..behind_at) == Some(text)
            && data.get(behind_at) == Some(&b'"');
        is_it.then(|| Self { whole: data.into(), text_at, behind_at })
    }

    /// The text of an event from the same mould; none where it is from another, or where only
    /// reading it as JSON can tell.
    pub fn text<'a>(&self, data: &'a [u8]) -> Option<&'a str> {
        let text = data
            .strip_prefix(&self.whole[..self.text_at])?
            .strip_suffix(&self.whole[self.behind_at..])?;
        if is_simple(text) { std::str::from_utf8(text).ok() } else { None }
    }
}

/// Whether these bytes stand for themselves in a JSON string, and are a token.
fn is_simple(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::{Message, read};

    fn event(text: &str) -> String {
        let text = serde_json::to_string(text).unwrap();
        format!(
            r#"{{"id":"x","choices":[{{"index":0,"delta":{{"content":{text}}},"finish_reason":null}}]}}"#
        )
    }

    fn template(data: &str) -> Option<Template> {
        match read(data.as_bytes()).unwrap() {
            Message::Delta(delta) => Template::of(data.as_bytes(), &delta),
            _ => None,
        }
    }

    #[test]
    fn an_event_from_the_same_mould_is_known_by_its_text() {
        let template = template(&event("Hello")).unwrap();
        assert_eq!(template.text(event(" wörld").as_bytes()), Some(" wörld"));
        assert_eq!(template.text(event("").as_bytes()), None, "no token");
        assert_eq!(template.text(event("a\"b").as_bytes()), None, "escapes are JSON's");
        assert_eq!(template.text(event("x").replace("null", "\"stop\"").as_bytes()), None);
    }

    #[test]
    fn a_text_completion_has_a_mould_too() {
        let event =
            |text| format!(r#"{{"choices":[{{"text":"{text}","index":0,"logprobs":null}}]}}"#);
        let template = template(&event("Hello")).unwrap();
        assert_eq!(template.text(event(" there").as_bytes()), Some(" there"));
    }

    #[test]
    fn what_says_more_than_a_text_is_no_mould() {
        for data in [
            r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
            r#"{"choices":[{"delta":{"reasoning_content":"a"}}]}"#,
            r#"{"choices":[{"delta":{"reasoning":"a","content":"b"}}]}"#,
            r#"{"choices":[{"delta":{"content":"a\n"}}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"a"}}]}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#,
        ] {
            assert_eq!(template(data), None, "{data}");
        }
    }

    proptest! {
        #[test]
        fn a_template_never_says_anything_else_than_json_does(mould in ".{1,8}", text in ".{0,12}") {
            if let Some(template) = template(&event(&mould)) {
                let data = event(&text);
                if let Some(known) = template.text(data.as_bytes()) {
                    prop_assert_eq!(known, text.as_str());
                }
            }
        }
    }
}
