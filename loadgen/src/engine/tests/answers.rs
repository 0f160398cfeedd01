//! Streams as they really come, in every frame, with every line end, cut anywhere.

use std::time::Duration;

use shared::report::FailureClass;
use testkit::Script;

use super::Case;

fn events(data: &[&str]) -> String {
    data.iter().flat_map(|data| ["data: ", data, "\n\n"]).collect()
}

const ROLE: &str = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
const ROLE_NULL: &str = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#;
const HI: &str = r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}"#;
const YOU: &str = r#"{"choices":[{"index":0,"delta":{"content":" you 🙂\n\"x\""}}]}"#;
const FINISH: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str =
    r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}"#;
const DONE: &str = "[DONE]";

/// Dialects, and what they come to.
fn dialects() -> Vec<(&'static str, String, Option<FailureClass>)> {
    let finish_with_usage = r#"{"choices":[{"delta":{},"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let counted = |text: &str, total: u32| {
        format!(
            r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}],"usage":{{"prompt_tokens":7,"completion_tokens":{total}}}}}"#
        )
    };
    let many: Vec<String> = (0..40)
        .map(|nth| format!(r#"{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{{"content":" t{nth}"}},"finish_reason":null}}]}}"#))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain([FINISH, USAGE, DONE]).collect();
    let (two, five) = (counted("ab", 2), counted("cde", 5));
    let reasoning = r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#;
    let newer = r#"{"choices":[{"delta":{"reasoning":"hm ","content":null}}]}"#;
    let tool = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}}]}"#;
    let tools = r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#;
    let refusal = r#"{"choices":[{"delta":{"refusal":"no"},"finish_reason":"content_filter"}]}"#;
    let text = r#"{"choices":[{"text":"Hi","index":0,"logprobs":null}]}"#;
    let error = r#"{"error":{"message":"CUDA out of memory","code":500}}"#;
    vec![
        ("usage of its own", events(&[ROLE, HI, YOU, FINISH, USAGE, DONE]), None),
        ("usage with the finish", events(&[ROLE_NULL, HI, finish_with_usage, DONE]), None),
        ("usage in each event", events(&[ROLE, &two, &five, FINISH, DONE]), None),
        ("no usage", events(&[HI, YOU, FINISH, DONE]), None),
        ("no finish", events(&[HI, YOU, DONE]), None),
        ("no [DONE]", events(&[HI, YOU, FINISH]), None),
        ("reasoning", events(&[ROLE, reasoning, newer, HI, FINISH, DONE]), None),
        ("tools", events(&[ROLE_NULL, tool, tools, DONE]), None),
        ("refusal", events(&[refusal, DONE]), None),
        ("text completion", events(&[text, text, FINISH, DONE]), None),
        ("forty tokens", events(&many), None),
        ("after the end", events(&[HI, DONE, YOU, "not json"]), None),
        ("bom", format!("\u{feff}{}", events(&[HI, FINISH, DONE])), None),
        ("no space", events(&[HI, YOU, DONE]).replace("data: ", "data:"), None),
        (
            "comments",
            events(&[HI, "", YOU, DONE]).replace("data: {", ": ping\n\nevent: x\nid: 1\ndata: {"),
            None,
        ),
        ("several lines", events(&[HI, YOU, DONE]).replace("[{", "\ndata: [{"), None),
        ("no last blank line", events(&[HI, DONE]).trim_end().to_owned(), None),
        ("error in the stream", events(&[HI, error]), Some(FailureClass::StreamError)),
        ("error at once", events(&[error, DONE]), Some(FailureClass::StreamError)),
        ("malformed", events(&[HI, "<html>oops", DONE]), Some(FailureClass::Malformed)),
        ("no token", events(&[ROLE, FINISH, USAGE, DONE]), Some(FailureClass::EmptyOutput)),
        ("[DONE] alone", events(&[DONE]), Some(FailureClass::EmptyOutput)),
        ("no end", events(&[ROLE, HI, YOU]), Some(FailureClass::Truncated)),
        ("half an event", events(&[HI, YOU])[..90].to_owned(), Some(FailureClass::Truncated)),
        ("nothing", String::new(), Some(FailureClass::Truncated)),
    ]
}

/// Numbers from a seed. Source: Steele, Lea and Flood (2014), splitmix64.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % end.max(1) as u64).unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
enum Frame {
    Chunks,
    ClosingChunks,
    Length,
    Close,
}

fn framed(frame: Frame, stream: &str, chance: &mut Chance) -> Vec<u8> {
    let head = |header: &str| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{header}\r\n\r\n")
            .into_bytes()
    };
    match frame {
        Frame::Chunks | Frame::ClosingChunks => {
            let mut bytes = match frame {
                Frame::Chunks => head("transfer-encoding: chunked"),
                _ => head("connection: close\r\ntransfer-encoding: chunked"),
            };
            let mut rest = stream.as_bytes();
            while !rest.is_empty() {
                let (chunk, behind) =
                    rest.split_at((1 + chance.below(rest.len().min(200))).min(rest.len()));
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
                rest = behind;
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            bytes
        }
        Frame::Length => {
            let mut bytes = head(&format!("content-length: {}", stream.len()));
            bytes.extend_from_slice(stream.as_bytes());
            bytes
        }
        Frame::Close => {
            let mut bytes = head("connection: close");
            bytes.extend_from_slice(stream.as_bytes());
            bytes
        }
    }
}

/// The bytes in up to five writes with a pause between, so that each may be a read of its own.
pub(super) fn cut(bytes: &[u8], chance: &mut Chance) -> Script {
    let mut cuts: Vec<usize> = (0..chance.below(5)).map(|_| chance.below(bytes.len())).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).fold(Script::new(), |script, ends| {
        script.raw(&bytes[ends[0]..ends[1]]).after(Duration::from_millis(1))
    })
}

pub(super) fn corpus() -> Vec<Case> {
    let mut chance = Chance(11);
    let mut cases = Vec::new();
    for (name, stream, fails_as) in dialects() {
        for (ends, line_end) in [("lf", "\n"), ("crlf", "\r\n"), ("cr", "\r")] {
            let stream = stream.replace('\n', line_end);
            for frame in [Frame::Chunks, Frame::ClosingChunks, Frame::Length, Frame::Close] {
                let script = cut(&framed(frame, &stream, &mut chance), &mut chance);
                let closes = matches!(frame, Frame::Close | Frame::ClosingChunks);
                let script = if closes { script.close() } else { script };
                cases.push(Case { name: format!("{name}, {ends}, {frame:?}"), script, fails_as });
            }
        }
    }
    // One short answer cut in two at every byte.
    let bytes = framed(Frame::Chunks, &events(&[HI, YOU, FINISH, DONE]), &mut chance);
    for at in 1..bytes.len() {
        let (one, two) = bytes.split_at(at);
        let script = Script::new().raw(one).after(Duration::from_millis(2)).raw(two);
        cases.push(Case { name: format!("cut at byte {at}"), script, fails_as: None });
    }
    let long = "ä".repeat(512 * 1024);
    let long = events(&[&format!(r#"{{"choices":[{{"delta":{{"content":"{long}"}}}}]}}"#), DONE]);
    let too_long = "x".repeat(4 * 1024 * 1024);
    for frame in [Frame::Length, Frame::Close] {
        let script = cut(&framed(frame, &long, &mut chance), &mut chance).close();
        cases.push(Case { name: format!("an event of 1 MiB, {frame:?}"), script, fails_as: None });
        let stream = events(&[HI, &too_long, DONE]);
        let script = cut(&framed(frame, &stream, &mut chance), &mut chance).close();
        let fails_as = Some(FailureClass::Malformed);
        cases.push(Case { name: format!("an event of 4 MiB, {frame:?}"), script, fails_as });
    }
    cases
}
