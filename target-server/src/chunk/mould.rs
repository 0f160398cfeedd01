//! Events that differ from one before in nothing that is read, or in nothing but their text.
//!
//! A server writes its chunks from a few moulds: a role, a token, an end. Once one of them has been
//! read as JSON, another with the same bytes around its text, its `id` and its `created`, which
//! nobody reads, says the same but for that text, and need not be read again: comparing costs a
//! tenth of parsing.

use memchr::{memchr2, memmem};

use super::Delta;

/// What stands before a text: a chat's, a completion's.
const BEFORE: [&[u8]; 2] = [b"\"content\":\"", b"\"text\":\""];
/// What stands before the name of an answer. Not within a text, where quotes are escaped.
const BEFORE_ID: &[u8] = b"\"id\":\"";
/// What stands before the time of an answer.
const BEFORE_CREATED: &[u8] = b"\"created\":";
/// Moulds that are known at once: a server has four or five, and a run may have several servers.
const MOST: usize = 12;

/// The moulds of what a load thread is answered. The same whoever is answered: it is in the bytes.
#[derive(Debug, Default)]
pub struct Moulds {
    known: Vec<Mould>,
    /// The one to give way where there are too many.
    oldest: usize,
    /// The one that fitted last: tokens follow tokens.
    last: usize,
}

/// What an event says that is from a known mould.
#[derive(Debug, PartialEq, Eq)]
pub enum Moulded<'a, 'm> {
    /// Plain content: a token.
    Token(&'a str),
    /// No text: a role, an end.
    Bare {
        /// Whether there is a choice.
        choices: bool,
        /// Why the answer ended.
        finish_reason: Option<&'m str>,
    },
}

/// The bytes of an event, and where others from its mould differ.
#[derive(Debug)]
struct Mould {
    whole: Box<[u8]>,
    /// In the order of the bytes.
    holes: Vec<Hole>,
    /// Where there is no text.
    choices: bool,
    finish_reason: Option<Box<str>>,
}

/// Bytes that differ from event to event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    from: usize,
    to: usize,
    of: Filling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filling {
    /// A string that is read.
    Text,
    /// A string that is not.
    Id,
    /// Digits that are not.
    Created,
}

impl Moulds {
    /// What `data` says; none where it is from no known mould, or where only reading it as JSON can
    /// tell.
    pub fn find<'a>(&mut self, data: &'a [u8]) -> Option<Moulded<'a, '_>> {
        let most = self.known.len();
        let (nth, text) = (0..most)
            .map(|step| (self.last + step) % most)
            .find_map(|nth| Some((nth, self.known[nth].text(data)?)))?;
        self.last = nth;
        let mould = &self.known[nth];
        Some(match text {
            Some(text) => Moulded::Token(text),
            None => Moulded::Bare {
                choices: mould.choices,
                finish_reason: mould.finish_reason.as_deref(),
            },
        })
    }

    /// Remembers the mould of an event that was read as `delta`, where it has one.
    pub fn learn(&mut self, data: &[u8], delta: &Delta<'_>) {
        let Some(mould) = Mould::of(data, delta) else { return };
        if self.known.len() < MOST {
            self.known.push(mould);
        } else {
            self.known[self.oldest] = mould;
            self.oldest = (self.oldest + 1) % MOST;
        }
    }
}

impl Mould {
    /// None where the event says more than a text or an end, or where its text cannot be told from
    /// the rest with certainty.
    fn of(data: &[u8], delta: &Delta<'_>) -> Option<Self> {
        if delta.usage.is_some() || delta.done {
            return None;
        }
        let mut holes = Vec::with_capacity(3);
        match (delta.text.as_bytes(), &delta.finish_reason) {
            (b"", _) => {}
            (text, None) if delta.answer => holes.push(text_hole(data, text)?),
            _ => return None,
        }
        holes.extend(hole_behind(data, BEFORE_ID, Filling::Id));
        holes.extend(hole_behind(data, BEFORE_CREATED, Filling::Created));
        holes.sort_unstable_by_key(|hole| hole.from);
        Some(Self {
            whole: data.into(),
            holes,
            choices: delta.choices,
            finish_reason: delta.finish_reason.as_deref().map(Into::into),
        })
    }

    /// The text of an event from this mould, where its events have one; none where it is from
    /// another.
    fn text<'a>(&self, data: &'a [u8]) -> Option<Option<&'a str>> {
        let (mut left, mut at, mut text) = (data, 0, None);
        for hole in &self.holes {
            left = left.strip_prefix(&self.whole[at..hole.from])?;
            let filling = &left[..hole.of.length(left)?];
            if hole.of == Filling::Text {
                text = Some(std::str::from_utf8(filling).ok()?);
            }
            (left, at) = (&left[filling.len()..], hole.to);
        }
        (*left == self.whole[at..]).then_some(text)
    }
}

/// A token of one answer: the next has the same bytes before and behind its text, and to compare
/// them costs a third of what finding its mould does.
#[derive(Debug)]
pub struct Token {
    whole: Box<[u8]>,
    text_at: usize,
    behind_at: usize,
}

impl Token {
    /// The event `data`, which is from a mould that says `text`.
    pub fn of(data: &[u8], text: &str) -> Option<Self> {
        let text_at = text.as_ptr().addr().checked_sub(data.as_ptr().addr())?;
        let behind_at = text_at + text.len();
        (behind_at <= data.len()).then(|| Self { whole: data.into(), text_at, behind_at })
    }

    /// The text of another token of the same answer; none where it may be something else.
    pub fn next<'a>(&self, data: &'a [u8]) -> Option<&'a str> {
        let text = data
            .strip_prefix(&self.whole[..self.text_at])?
            .strip_suffix(&self.whole[self.behind_at..])?;
        let is_simple = !text.is_empty() && !text.iter().any(|byte| is_special(*byte));
        if is_simple { std::str::from_utf8(text).ok() } else { None }
    }
}

/// Whether a JSON string writes it otherwise, or ends with it.
const fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

impl Filling {
    /// How many bytes of `data` it takes, up to what must follow it.
    fn length(self, data: &[u8]) -> Option<usize> {
        match self {
            // Short, mostly; and nothing that JSON writes otherwise may be in it.
            Self::Text => data
                .iter()
                .position(|byte| is_special(*byte))
                .filter(|at| *at > 0 && data[*at] == b'"'),
            Self::Id => memchr2(b'"', b'\\', data).filter(|at| data[*at] == b'"'),
            Self::Created => data.iter().position(|byte| !byte.is_ascii_digit()),
        }
    }
}

/// Where the only text of `data` is.
fn text_hole(data: &[u8], text: &[u8]) -> Option<Hole> {
    let found = |before| Some((memmem::find(data, before)?, before));
    let (at, before) = BEFORE.into_iter().find_map(found)?;
    let from = at + before.len();
    let to = from + text.len();
    let once = memmem::find(&data[from..], before).is_none();
    // The text as it was read is the text as it is written: nothing in it is escaped.
    let is_it = once
        && data.get(from..to) == Some(text)
        && Filling::Text.length(&data[from..]) == Some(text.len());
    is_it.then_some(Hole { from, to, of: Filling::Text })
}

/// Where the value behind `before` is; none where there is no single one.
fn hole_behind(data: &[u8], before: &[u8], of: Filling) -> Option<Hole> {
    let from = memmem::find(data, before)? + before.len();
    let to = from + of.length(&data[from..])?;
    memmem::find(&data[to..], before).is_none().then_some(Hole { from, to, of })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::{Message, read};

    fn event(text: &str) -> String {
        event_of("x", 7, text)
    }

    fn event_of(id: &str, created: u64, text: &str) -> String {
        let text = serde_json::to_string(text).unwrap();
        let id = serde_json::to_string(id).unwrap();
        format!(
            r#"{{"id":{id},"created":{created},"choices":[{{"index":0,"delta":{{"content":{text}}},"finish_reason":null}}]}}"#
        )
    }

    fn end_of(id: &str, reason: &str) -> String {
        format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}],"id":"{id}"}}"#)
    }

    /// What is known after `data`, and nothing else, has been read.
    fn moulds(data: &str) -> Moulds {
        let mut moulds = Moulds::default();
        if let Message::Delta(delta) = read(data.as_bytes()).unwrap() {
            moulds.learn(data.as_bytes(), &delta);
        }
        moulds
    }

    fn text_of<'a>(moulds: &mut Moulds, data: &'a str) -> Option<&'a str> {
        match moulds.find(data.as_bytes()) {
            Some(Moulded::Token(text)) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn an_event_from_the_same_mould_is_known_by_its_text() {
        let mut moulds = moulds(&event("Hello"));
        assert_eq!(text_of(&mut moulds, &event(" wörld")), Some(" wörld"));
        let other = event_of("another answer's", 170_000, "!");
        assert_eq!(text_of(&mut moulds, &other), Some("!"), "of another answer, at another time");
        assert_eq!(moulds.find(event("").as_bytes()), None, "no token");
        assert_eq!(moulds.find(event("a\"b").as_bytes()), None, "escapes are JSON's");
        assert_eq!(moulds.find(event_of("a\"b", 1, "x").as_bytes()), None, "so they are in an id");
        assert_eq!(moulds.find(event("x").replace("null", "\"stop\"").as_bytes()), None);
        assert_eq!(moulds.find(event("x").replace(":7,", ":7.5,").as_bytes()), None);
        assert_eq!(moulds.find(format!("{} ", event("x")).as_bytes()), None);
    }

    #[test]
    fn the_next_token_of_an_answer_is_known_by_the_one_before() {
        let (before, mut known) = (event("Hello"), moulds(&event("a")));
        let token = Token::of(before.as_bytes(), text_of(&mut known, &before).unwrap()).unwrap();
        assert_eq!(token.next(event(" wörld").as_bytes()), Some(" wörld"));
        for other in [
            event(""),
            event("a\"b"),
            event_of("y", 7, "x"),
            event("x").replace("null", "\"stop\""),
            format!("{} ", event("x")),
        ] {
            assert_eq!(token.next(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_text_completion_has_a_mould_too() {
        let event =
            |text| format!(r#"{{"choices":[{{"text":"{text}","index":0,"logprobs":null}}]}}"#);
        let mut moulds = moulds(&event("Hello"));
        assert_eq!(text_of(&mut moulds, &event(" there")), Some(" there"));
    }

    #[test]
    fn an_end_and_a_role_are_known_whoever_is_answered() {
        let mut known = moulds(&end_of("a", "stop"));
        let again = end_of("b", "stop");
        let end = Moulded::Bare { choices: true, finish_reason: Some("stop") };
        assert_eq!(known.find(again.as_bytes()), Some(end));
        assert_eq!(known.find(end_of("b", "length").as_bytes()), None, "another reason");
        let role = r#"{"id":"a","choices":[{"delta":{"role":"assistant","content":""}}]}"#;
        let bare = Moulded::Bare { choices: true, finish_reason: None };
        assert_eq!(moulds(role).find(role.replace(":\"a\"", ":\"b\"").as_bytes()), Some(bare));
    }

    #[test]
    fn what_says_more_has_no_mould() {
        for data in [
            r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
            r#"{"choices":[{"delta":{"reasoning_content":"a"}}]}"#,
            r#"{"choices":[{"delta":{"reasoning":"a","content":"b"}}]}"#,
            r#"{"choices":[{"delta":{"content":"a\n"}}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"a"}}]}"#,
        ] {
            assert!(moulds(data).known.is_empty(), "{data}");
        }
    }

    #[test]
    fn the_oldest_mould_gives_way() {
        let mut moulds = Moulds::default();
        let events: Vec<_> = (0..=MOST).map(|nth| end_of("x", &format!("reason {nth}"))).collect();
        for event in &events {
            let Message::Delta(delta) = read(event.as_bytes()).unwrap() else { panic!("{event}") };
            moulds.learn(event.as_bytes(), &delta);
        }
        assert_eq!(moulds.known.len(), MOST);
        assert_eq!(moulds.find(events[0].as_bytes()), None);
        assert!(events[1..].iter().all(|event| moulds.find(event.as_bytes()).is_some()));
    }

    proptest! {
        #[test]
        fn a_mould_never_says_anything_else_than_json_does(
            mould in ".{0,8}",
            text in ".{0,12}",
            ids in ("[a-z\"\\\\:{},]{0,12}", "[a-z\"\\\\:{},]{0,12}"),
            created in (0..u64::MAX, 0..u64::MAX),
        ) {
            let mut moulds = moulds(&event_of(&ids.0, created.0, &mould));
            let data = event_of(&ids.1, created.1, &text);
            let Message::Delta(read) = read(data.as_bytes()).unwrap() else { panic!("{data}") };
            match moulds.find(data.as_bytes()) {
                Some(Moulded::Token(known)) => prop_assert_eq!(known, text.as_str()),
                Some(Moulded::Bare { choices, finish_reason }) => {
                    prop_assert_eq!(&read.text, "");
                    prop_assert_eq!((choices, finish_reason), (read.choices, None));
                }
                None => {}
            }
        }
    }
}
