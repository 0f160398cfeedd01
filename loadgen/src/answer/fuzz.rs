//! Bytes off the wire through the response reader and the answer: the same however they are cut,
//! and the same as without the shortcut for plain events.

use proptest::prelude::*;
use target::response::{Part, ResponseReader};

use super::*;

const CHAT: Form = Form { endpoint: Endpoint::Chat, streamed: true };

/// What bytes come to, but for their times.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    events: Vec<(Option<u32>, u32)>,
    text: String,
    usage: Option<Usage>,
    finish_reason: Option<String>,
    saw_reasoning: bool,
    bare_choices: usize,
    done: bool,
    /// The class of the failure, where there is one.
    failure: Option<shared::report::FailureClass>,
}

/// By way of the instrument's own reader and answer.
fn seen(pieces: &[&[u8]]) -> Seen {
    let mut reader = ResponseReader::default();
    let mut answer = Answer::new(CHAT, 128, true, Rc::default());
    let mut outcome = Ok(());
    'read: for piece in pieces {
        let mut input = *piece;
        loop {
            match reader.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Part::Head(_))) => {}
                Ok(Some(Part::Body(bytes))) => {
                    outcome = answer.take(bytes, 0, 0);
                    if outcome.is_err() {
                        break 'read;
                    }
                }
                Ok(Some(Part::End)) => break 'read,
                // Where a frame breaks, so does the answer.
                Err(_) => {
                    outcome = answer.end(Some("broken".to_owned()), 0);
                    return Seen::of(answer, outcome);
                }
            }
        }
    }
    if outcome.is_ok() {
        outcome = answer.end(None, 0);
    }
    Seen::of(answer, outcome)
}

impl Seen {
    fn of(answer: Answer, outcome: Result<(), RequestFailure>) -> Self {
        Self {
            events: answer.events.iter().map(|event| (event.tokens, event.text_end)).collect(),
            text: answer.text,
            usage: answer.usage,
            finish_reason: answer.finish_reason,
            saw_reasoning: answer.saw_reasoning,
            bare_choices: answer.bare_choices_us.len(),
            done: answer.done,
            failure: outcome.err().map(|failure| failure.class()),
        }
    }
}

/// The text alone, each event read as JSON: none where one of them cannot be.
fn plainly_read(stream: &[u8]) -> Option<String> {
    let mut decoder = Decoder::new(MAX_EVENT_BYTES);
    let (mut text, mut over, mut broken) = (String::new(), false, false);
    let on_event = |data: &[u8]| match chunk::read(data) {
        _ if over || broken => {}
        Ok(Message::Done) => over = true,
        Ok(Message::Delta(delta)) => text.push_str(&delta.text),
        Ok(Message::Error(_)) | Err(_) => broken = true,
    };
    decoder.push(stream, on_event).ok()?;
    (!broken).then_some(text)
}

/// An event of a server that says the same around each token.
fn a_token() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        4 => "[ -~]{0,8}",
        1 => "\\PC{0,6}",
        1 => prop::sample::select(vec!["", "\"", "\\", "\n", "\u{0}", "}", "\"}}]}", "🙂", "\\u00e4"]).prop_map(str::to_owned),
    ];
    text.prop_map(|text| {
        let text = serde_json::to_string(&text).unwrap();
        format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":{text}}},"finish_reason":null}}]}}"#)
    })
}

fn another_event() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":"hm"}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}"#,
        r#"{"id":"c","choices":[{"index":1,"delta":{"content":"x"},"finish_reason":null}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"\ud83d"},"finish_reason":null}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"x","refusal":"y"},"finish_reason":null}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
        r#"{"choices":[{"delta":{"content":"y"}}],"usage":{"prompt_tokens":3,"completion_tokens":5}}"#,
        r#"{"error":{"message":"no"}}"#,
        "[DONE]",
        "",
        "oops",
    ])
    .prop_map(str::to_owned)
}

/// An event stream, mostly of one mould.
fn a_stream() -> impl Strategy<Value = Vec<u8>> {
    let event = prop_oneof![4 => a_token(), 1 => another_event()];
    let line_end = prop::sample::select(vec!["\n", "\r\n", "\r"]);
    (prop::collection::vec(event, 0..12), line_end).prop_map(|(events, line_end)| {
        let mut stream = String::new();
        for event in events {
            for part in ["data: ", &event, line_end, line_end] {
                stream.push_str(part);
            }
        }
        stream.into_bytes()
    })
}

fn change(mut bytes: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for (at, byte) in changes {
        let length = bytes.len();
        match byte % 3 {
            _ if length == 0 => bytes.push(*byte),
            0 => bytes[at % length] = *byte,
            1 => bytes.insert(at % length, *byte),
            _ => {
                bytes.remove(at % length);
            }
        }
    }
    bytes
}

fn chunked(stream: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in stream.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

/// How many cases a longer run by hand tries (`FUZZ_CASES`).
fn fuzz_cases() -> u32 {
    std::env::var("FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fuzz_cases()))]

    #[test]
    fn an_answer_is_the_same_however_its_bytes_are_cut(
        stream in a_stream(),
        inner in prop::collection::vec((any::<usize>(), any::<u8>()), 0..3),
        outer in prop::collection::vec((any::<usize>(), any::<u8>()), 0..2),
        size in 1_usize..300,
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let bytes = change(chunked(&change(stream, &inner), size), &outer);
        let whole = seen(&[&bytes]);
        prop_assert_eq!(&whole, &seen(&cut(&bytes, &cuts)));
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&whole, &seen(&single));
    }

    #[test]
    fn the_shortcut_for_plain_events_reads_what_their_json_says(
        stream in a_stream(),
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 0..3),
    ) {
        let stream = change(stream, &changes);
        let Some(text) = plainly_read(&stream) else { return Ok(()) };
        let mut answer = Answer::new(CHAT, 128, true, Rc::default());
        prop_assert!(answer.take(&stream, 0, 0).is_ok());
        prop_assert_eq!(answer.text, text);
    }
}
