//! What servers do wrong, or oddly, with HTTP itself.

use std::time::Duration;

use shared::report::FailureClass::{
    self, Connect, Http4xx, Http5xx, Http429, Malformed, TimeoutFirstToken, TimeoutIdle, Truncated,
};
use testkit::Script;

use super::{
    Case,
    answers::{Chance, cut},
};

const HI: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const END: &str =
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// A whole answer in chunks, behind `head`.
fn answer(head: &str) -> String {
    format!("{head}{}{}0\r\n\r\n", chunk(HI), chunk(END))
}

/// A whole answer of known length, whose head has these lines too.
fn of_length(status: &str, lines: &str) -> String {
    let length = HI.len() + END.len();
    format!("{status}\r\n{lines}content-length: {length}\r\n\r\n{HI}{END}")
}

/// What stands on the wire before the connection closes, and what it comes to.
type Closed = Vec<(&'static str, String, Option<FailureClass>)>;

fn ok(lines: &str) -> String {
    of_length("HTTP/1.1 200 OK", lines)
}

fn chunks(body: &str) -> String {
    format!("{CHUNKED}{body}")
}

fn heads() -> Closed {
    let headers = |many: usize| {
        let lines: Vec<String> = (0..many).map(|nth| format!("x-{nth}: y\r\n")).collect();
        of_length("HTTP/1.1 200 OK", &lines.concat())
    };
    let large =
        |bytes: usize| of_length("HTTP/1.1 200 OK", &format!("x: {}\r\n", "y".repeat(bytes)));
    vec![
        ("silence", String::new(), Some(Connect)),
        ("garbage", "SSH-2.0-OpenSSH_9.9\r\n".to_owned(), Some(Connect)),
        ("zeros", "\0\0\0\0\0\0".to_owned(), Some(Connect)),
        ("HTTP/2", "HTTP/2.0 200 OK\r\n\r\n".to_owned(), Some(Connect)),
        ("an HTTP/2 preface", "\0\0\x12\x04\0\0\0\0\0".to_owned(), Some(Connect)),
        ("half a head", "HTTP/1.1 200 OK\r\ncontent-ty".to_owned(), Some(Connect)),
        ("half a status", "HTTP/1.".to_owned(), Some(Connect)),
        ("a status below 100", ok("").replace("200 OK", "042 Low"), Some(Connect)),
        ("a status of two digits", ok("").replace("200 OK", "20 OK"), Some(Connect)),
        ("a folded header", ok("x: a\r\n b\r\n"), Some(Connect)),
        ("a space in a name", ok("x y: a\r\n"), Some(Connect)),
        ("a zero in a value", ok("x: a\0b\r\n"), Some(Connect)),
        ("140 headers", headers(140), Some(Connect)),
        ("120 headers", headers(120), None),
        ("a head of 70 KiB", large(70 * 1024), Some(Connect)),
        ("a head of 60 KiB", large(60 * 1024), None),
        ("bare line ends", ok("").replacen("\r\n", "\n", 3), None),
        ("blank lines first", format!("\r\n\r\n{}", ok("")), None),
        ("no reason", ok("").replace("200 OK", "200"), None),
        ("two lengths", ok("content-length: 7\r\n"), Some(Connect)),
        ("a length twice", ok(&format!("content-length: {}\r\n", HI.len() + END.len())), None),
        (
            "a length with a sign",
            ok("").replace("content-length: ", "content-length: +"),
            Some(Connect),
        ),
        (
            "a length in words",
            ok("").replace("content-length: ", "content-length: many"),
            Some(Connect),
        ),
        ("an empty length", "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n".to_owned(), Some(Connect)),
        (
            "a huge length",
            "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n".to_owned(),
            Some(Connect),
        ),
        ("chunks in HTTP/1.0", answer(&CHUNKED.replace("1.1", "1.0")), Some(Connect)),
        ("HTTP/1.0", of_length("HTTP/1.0 200 OK", ""), None),
        ("HTTP/1.0, kept", of_length("HTTP/1.0 200 OK", "connection: keep-alive\r\n"), None),
        ("HTTP/1.0 to its close", format!("HTTP/1.0 200 OK\r\n\r\n{HI}{END}"), None),
        ("100 Continue", format!("HTTP/1.1 100 Continue\r\n\r\n{}", answer(CHUNKED)), None),
        (
            "early hints",
            format!(
                "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 X\r\n\r\n{}",
                answer(CHUNKED)
            ),
            None,
        ),
        ("100 alone", "HTTP/1.1 100 Continue\r\n\r\n".to_owned(), Some(Connect)),
    ]
}

fn refusals() -> Closed {
    vec![
        (
            "switching",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabc"
                .to_owned(),
            Some(Http4xx),
        ),
        ("no content", "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), Some(Http4xx)),
        (
            "not modified",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n".to_owned(),
            Some(Http4xx),
        ),
        (
            "a redirect",
            "HTTP/1.1 307 X\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_owned(),
            Some(Http4xx),
        ),
        (
            "400 by length",
            "HTTP/1.1 400 X\r\ncontent-length: 6\r\n\r\nno, no".to_owned(),
            Some(Http4xx),
        ),
        (
            "401 in chunks",
            "HTTP/1.1 401 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n".to_owned(),
            Some(Http4xx),
        ),
        (
            "429 with its hour",
            "HTTP/1.1 429 X\r\nretry-after: 7\r\nretry-after: 8\r\ncontent-length: 4\r\n\r\nslow"
                .to_owned(),
            Some(Http429),
        ),
        (
            "503 to its close",
            "HTTP/1.1 503 X\r\nconnection: close\r\n\r\noverloaded".to_owned(),
            Some(Http5xx),
        ),
        ("500, empty", "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n".to_owned(), Some(Http5xx)),
        ("500, cut", "HTTP/1.1 500 X\r\ncontent-length: 100\r\n\r\nhalf".to_owned(), Some(Http5xx)),
        (
            "500, framed wrongly",
            "HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz".to_owned(),
            Some(Http5xx),
        ),
        (
            "500 of 10 KiB",
            format!("HTTP/1.1 500 X\r\ncontent-length: 10240\r\n\r\n{}", "n".repeat(10_240)),
            Some(Http5xx),
        ),
        ("status 999", "HTTP/1.1 999 X\r\ncontent-length: 2\r\n\r\nhm".to_owned(), Some(Http5xx)),
        ("a page", ok("content-type: text/html\r\n"), Some(Malformed)),
        ("a document", ok("Content-Type: application/json; charset=utf-8\r\n"), Some(Malformed)),
        ("a type that is no text", ok("content-type: text/html; \u{e4}\r\n"), None),
        ("two types", ok("content-type: text/event-stream\r\ncontent-type: text/html\r\n"), None),
    ]
}

fn bodies() -> Closed {
    vec![
        ("chunked in capitals", answer(&CHUNKED.replace("chunked", "CHUNKED")), None),
        ("chunked last", answer(&CHUNKED.replace("chunked", "gzip, chunked")), None),
        (
            "chunked first",
            format!("{}{HI}{END}", CHUNKED.replace("chunked", "chunked, gzip")),
            None,
        ),
        ("not chunked", format!("{}{HI}{END}", CHUNKED.replace("chunked", "identity")), None),
        (
            "chunked and a length",
            answer(&CHUNKED.replace("\r\n\r\n", "\r\ncontent-length: 3\r\n\r\n")),
            None,
        ),
        (
            "an extension",
            chunks(&format!("{:X};a=b;c=\"d\"\r\n{HI}\r\n{}0;z\r\n\r\n", HI.len(), chunk(END))),
            None,
        ),
        (
            "blanks behind a size",
            chunks(&format!("00{:x} \t\r\n{HI}\r\n{}0\r\n\r\n", HI.len(), chunk(END))),
            None,
        ),
        (
            "a trailer",
            chunks(&format!("{}{}0\r\nx-sum: 1\r\nx-other: 2\r\n\r\n", chunk(HI), chunk(END))),
            None,
        ),
        (
            "a size too small",
            chunks(&format!("{}4\r\n{END}\r\n0\r\n\r\n", chunk(HI))),
            Some(Truncated),
        ),
        (
            "a size too large",
            chunks(&format!("{}fff\r\n: {{\r\n0\r\n\r\n", chunk(HI))),
            Some(Truncated),
        ),
        (
            "a size that is none",
            chunks(&format!("{}xyz\r\n{END}\r\n0\r\n\r\n", chunk(HI))),
            Some(Truncated),
        ),
        (
            "a size missing",
            chunks(&format!("{}\r\n{END}\r\n0\r\n\r\n", chunk(HI))),
            Some(Truncated),
        ),
        (
            "a size below zero",
            chunks(&format!("{}-1\r\n{END}\r\n0\r\n\r\n", chunk(HI))),
            Some(Truncated),
        ),
        (
            "a size beyond count",
            chunks(&format!("{}1ffffffffffffffff\r\n{END}", chunk(HI))),
            Some(Truncated),
        ),
        (
            "bare line ends of chunks",
            chunks(&format!("{:x}\n{HI}\n{:x}\n{END}\n0\n\n", HI.len(), END.len())),
            Some(Truncated),
        ),
        ("no end of chunks", chunks(&format!("{}{}", chunk(HI), chunk(END))), None),
        ("no end and no [DONE]", chunks(&chunk(HI)), Some(Truncated)),
        ("cut in a chunk", chunks(&format!("{}ff\r\ndata: ", chunk(HI))), Some(Truncated)),
        (
            "finished, then cut",
            chunks(&chunk(&format!(
                "{HI}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n"
            ))),
            Some(Truncated),
        ),
        (
            "a length too long",
            format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{HI}"),
            Some(Truncated),
        ),
        (
            "a length too long, but [DONE]",
            format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{HI}{END}"),
            None,
        ),
        (
            "a length too short",
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{HI}{END}", HI.len() + 7),
            Some(Truncated),
        ),
        ("more behind the end", format!("{}HTTP/1.1 200 OK\r\n\r\nmore", answer(CHUNKED)), None),
        ("more behind the length", format!("{}more", ok("")), None),
    ]
}

pub(super) fn corpus() -> Vec<Case> {
    let mut chance = Chance(5);
    let mut cases = Vec::new();
    for (name, bytes, fails_as) in [heads(), refusals(), bodies()].concat() {
        let bytes = bytes.as_bytes();
        let whole = if bytes.is_empty() { Script::new() } else { Script::new().raw(bytes) };
        cases.push(Case { name: name.to_owned(), script: whole.close(), fails_as });
        for _ in 0..2 {
            let script = cut(bytes, &mut chance).close();
            cases.push(Case { name: format!("{name}, cut"), script, fails_as });
        }
        // The same with the connection left to be used again, where the end can be told without.
        if fails_as.is_none() && bytes.ends_with(b"0\r\n\r\n") {
            let script = cut(bytes, &mut chance);
            cases.push(Case { name: format!("{name}, kept"), script, fails_as });
        }
    }
    let begun = || Script::new().raw(CHUNKED).raw(chunk(HI));
    let pause = Duration::from_millis(20);
    let mut add = |name: &str, script: Script, fails_as| {
        cases.push(Case { name: name.to_owned(), script, fails_as });
    };
    add("reset at once", Script::new().reset(), Some(Connect));
    add("reset in the stream", begun().after(pause).reset(), Some(Truncated));
    add("no head in time", Script::new().stall(), Some(TimeoutFirstToken));
    add("no token in time", Script::new().raw(CHUNKED).stall(), Some(TimeoutFirstToken));
    add(
        "half a head, then nothing",
        Script::new().raw("HTTP/1.1 2").stall(),
        Some(TimeoutFirstToken),
    );
    add("no second token in time", begun().stall(), Some(TimeoutIdle));
    add("no end in time, but [DONE]", begun().raw(chunk(END)).stall(), None);
    let refused = "HTTP/1.1 500 X\r\ncontent-length: 99\r\n\r\nhm";
    add("no end of a refusal in time", Script::new().raw(refused).stall(), Some(Http5xx));
    cases
}
