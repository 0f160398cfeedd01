use proptest::prelude::*;

use super::*;

/// What a reader makes of bytes that come in these pieces: status, body, whether it ended.
fn read(pieces: &[&[u8]]) -> Result<(Option<ResponseHead>, Vec<u8>, bool), BadResponse> {
    let (mut head, mut body, mut ended) = (None, Vec::new(), false);
    let mut reader = ResponseReader::default();
    for piece in pieces {
        let mut input = *piece;
        while let Some(part) = reader.next(&mut input)? {
            match part {
                Part::Head(read) => head = Some(read),
                Part::Body(bytes) => body.extend_from_slice(bytes),
                Part::End => ended = true,
            }
        }
    }
    Ok((head, body, ended || reader.may_end_here()))
}

const CORPUS: &[(&str, &str, &str, bool)] = &[
    (
        "chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
        "abc0123456789",
        true,
    ),
    ("bare line ends", "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", "abc", true),
    (
        "chunked last",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n000003 \r\nabc\r\n0;e\r\n\r\n",
        "abc",
        true,
    ),
    (
        "not chunked last",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\ncontent-length: 1\r\n\r\nabc",
        "abc",
        true,
    ),
    ("one length twice", "HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\n\r\nabc", "abc", true),
    ("switching", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", "", true),
    (
        "trailer",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\n\r\n",
        "a",
        true,
    ),
    (
        "length",
        "HTTP/1.1 429 Too Many\r\nContent-Length: 4\r\nRetry-After: 7\r\n\r\nslow",
        "slow",
        true,
    ),
    ("empty", "HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n", "", true),
    ("close", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", "until the end", true),
    ("old", "HTTP/1.0 200 OK\r\n\r\nold", "old", true),
    (
        "interim",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "ok",
        true,
    ),
    (
        "cut in a chunk",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc",
        "abc",
        false,
    ),
    (
        "cut before the last chunk",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "abc",
        false,
    ),
    ("cut in a length", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "abc", false),
    ("no content", "HTTP/1.1 204 No Content\r\n\r\n", "", true),
];

#[test]
fn every_response_is_the_same_wherever_it_is_cut() {
    for (name, text, body, ended) in CORPUS {
        let bytes = text.as_bytes();
        let whole = read(&[bytes]).unwrap();
        assert_eq!((whole.1.as_slice(), whole.2), (body.as_bytes(), *ended), "{name}");
        for cut in 0..=bytes.len() {
            let (one, two) = bytes.split_at(cut);
            assert_eq!(read(&[one, two]).unwrap(), whole, "{name} cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single).unwrap(), whole, "{name} byte by byte");
    }
}

#[test]
fn a_head_tells_status_type_and_whether_the_connection_stays() {
    let head = |text: &str| read(&[text.as_bytes()]).unwrap().0.unwrap();
    let kept = head(
        "HTTP/1.1 429 X\r\ncontent-type: text/html\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
    );
    assert_eq!((kept.status, kept.keep_alive), (429, true));
    assert_eq!(
        (kept.content_type.as_deref(), kept.retry_after.as_deref()),
        (Some("text/html"), Some("7"))
    );
    assert!(
        !head("HTTP/1.1 200 OK\r\nConnection: foo, Close\r\ncontent-length: 0\r\n\r\n").keep_alive
    );
    assert!(!head("HTTP/1.1 200 OK\r\n\r\n").keep_alive);
    let both = "connection: close\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n";
    assert!(!head(&format!("HTTP/1.1 200 OK\r\n{both}")).keep_alive);
    assert!(!head("HTTP/1.1 101 X\r\nupgrade: x\r\n\r\n").keep_alive);
    assert!(
        head("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n").keep_alive
    );
}

#[test]
fn what_is_no_response_is_refused() {
    for text in [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 042 Low\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\na",
        "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\na",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\nabc\n0\n\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\n\r\n\r\r",
        "HTTP/1.1 200 OK\r\nx: y\r\n folded\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11111111111111111\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc",
    ] {
        assert!(read(&[text.as_bytes()]).is_err(), "{text:?}");
    }
    for much in ["0;{}", "0\r\nx: {}"] {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let endless = format!("{chunked}{}", much.replace("{}", &"y".repeat(17 * 1024)));
        assert!(matches!(read(&[endless.as_bytes()]), Err(BadResponse::Frame(_))));
    }
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(70 * 1024));
    assert_eq!(read(&[endless.as_bytes(), b"z"]), Err(BadResponse::HeadTooLarge));
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
        let start: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let (one, two) = bytes.split_at(cut.min(bytes.len()));
        let split = read(&[start, one, two]);
        let whole = read(&[start, &bytes]);
        prop_assert_eq!(split.is_ok(), whole.is_ok());
        if let (Ok(split), Ok(whole)) = (split, whole) {
            prop_assert_eq!(split, whole);
        }
    }
}

/// Whether `read` says the same of bytes however they are cut.
fn assert_cuts_change_nothing(bytes: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    let pieces: Vec<&[u8]> = at.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
    let (whole, cut) = (read(&[bytes]), read(&pieces));
    // What is wrong may be noticed at another byte, and is wrong all the same.
    prop_assert_eq!(whole.as_ref().ok(), cut.as_ref().ok());
    Ok(())
}

/// A response that is mostly right: parts that servers send, in an order that may make no sense.
fn a_response() -> impl Strategy<Value = Vec<u8>> {
    let status = prop::sample::select(vec![
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 204 X",
        "HTTP/1.1 500 X",
        "HTTP/1.1 101 X",
        "HTTP/1.1 099 X",
        "HTTP/3 200 OK",
        "",
    ]);
    let header = prop::sample::select(vec![
        "content-length: 5",
        "Content-Length: 12, 12",
        "content-length: -1",
        "transfer-encoding: chunked",
        "Transfer-Encoding: gzip, CHUNKED",
        "transfer-encoding: chunked, gzip",
        "connection: close",
        "Connection: keep-alive, x",
        "retry-after: 7",
        "content-type: text/event-stream",
        "x: y\r\n z",
        "x y: z",
        "no colon",
        "x: \u{e4}",
    ]);
    let body = prop::sample::select(vec![
        "5\r\nhello\r\n",
        "5;a=b\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "A\r\n0123456789\r\n",
        "0\r\n",
        "\r\n",
        "\n",
        "x: y\r\n",
        "hello",
        "5\nhello\n",
        "ffffffffffffffffff\r\n",
        "5\r\nhello",
        "-1\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ]);
    let headers = prop::collection::vec(header, 0..4);
    let bodies = prop::collection::vec(body, 0..6);
    (status, headers, bodies).prop_map(|(status, headers, bodies)| {
        let mut text = format!("{status}\r\n");
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text.push_str(&bodies.concat());
        text.into_bytes()
    })
}

/// How many cases the longer fuzzing of a run by hand tries (`FUZZ_CASES`).
fn fuzz_cases() -> u32 {
    std::env::var("FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fuzz_cases()))]

    #[test]
    fn likely_responses_read_the_same_however_they_are_cut(
        bytes in a_response(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        assert_cuts_change_nothing(&bytes, &cuts)?;
        assert_cuts_change_nothing(&bytes, &(0..bytes.len()).collect::<Vec<_>>())?;
    }

    #[test]
    fn broken_responses_break_nothing_and_keep_no_more_than_a_head(
        bytes in a_response(),
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let mut bytes = bytes;
        for (at, byte) in changes {
            let length = bytes.len();
            match byte % 3 {
                _ if length == 0 => bytes.push(byte),
                0 => bytes[at % length] = byte,
                1 => bytes.insert(at % length, byte),
                _ => { bytes.remove(at % length); }
            }
        }
        assert_cuts_change_nothing(&bytes, &cuts)?;
        let mut reader = ResponseReader::default();
        let mut input = bytes.as_slice();
        // Each call takes bytes, or ends the response: it cannot go on for ever.
        let mut calls = 0;
        while let Ok(Some(_)) = reader.next(&mut input) {
            calls += 1;
            prop_assert!(calls <= bytes.len() + 2);
        }
        prop_assert!(reader.head.len() <= bytes.len().min(MAX_HEAD_BYTES));
    }
}
