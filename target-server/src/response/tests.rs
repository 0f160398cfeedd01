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
    ("bare line ends", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", "abc", true),
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
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11111111111111111\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc",
    ] {
        assert!(read(&[text.as_bytes()]).is_err(), "{text:?}");
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
