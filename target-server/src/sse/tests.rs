use proptest::prelude::*;

use super::{Decoder, EventTooLong};

const LIMIT: usize = 4 * 1024 * 1024;

/// Streams as they really come, each with the events it holds once it is finished.
const CORPUS: &[(&str, &[u8], &[&str])] = &[
    ("lf", b"data: {\"a\":1}\n\ndata: [DONE]\n\n", &["{\"a\":1}", "[DONE]"]),
    ("crlf", b"data: one\r\n\r\ndata: two\r\n\r\n", &["one", "two"]),
    ("cr", b"data: one\r\rdata: two\r\r", &["one", "two"]),
    ("mixed ends", b"data: one\r\n\ndata: two\n\r\ndata: three\r\r\n", &["one", "two", "three"]),
    ("no space", b"data:one\n\ndata:two\n\n", &["one", "two"]),
    ("only the first space goes", b"data:  one \n\n", &[" one "]),
    ("several lines", b"data: a\ndata:b\ndata: c\n\n", &["a\nb\nc"]),
    ("several lines, crlf", b"data: a\r\ndata:\r\ndata: c\r\n\r\n", &["a\n\nc"]),
    ("comments", b": ping\n\n:\n\ndata: x\n: in between\ndata: y\n\n: end\n\n", &["x\ny"]),
    ("other fields", b"event: delta\nid: 7\nretry: 10\ndata: x\nunknown: y\n\n", &["x"]),
    ("fields alone are no event", b"event: ping\nid: 1\n\ndata: x\n\n", &["x"]),
    ("names must match", b"datax: no\nDATA: no\n data: no\ndata: yes\n\n", &["yes"]),
    ("bom", b"\xEF\xBB\xBFdata: x\n\ndata: \xEF\xBB\xBFy\n\n", &["x", "\u{feff}y"]),
    ("half a bom", b"\xEF\xBBdata: x\n\ndata: y\n\n", &["y"]),
    ("blank lines first", b"\n\r\n\rdata: x\n\n\n\n", &["x"]),
    ("empty data", b"data\n\ndata\ndata\n\ndata:\n\ndata: \n\n", &["", "\n", "", ""]),
    ("colons in the value", b"data: a: b:c\n\n", &["a: b:c"]),
    ("multi-byte text", "data: äöü 🙂 漢字\n\n".as_bytes(), &["äöü 🙂 漢字"]),
    ("no last blank line", b"data: x\n\ndata: [DONE]\n", &["x", "[DONE]"]),
    ("no last line end", b"data: x\n\ndata: [DONE]", &["x", "[DONE]"]),
    ("ends in cr", b"data: x\r\n\r\ndata: [DONE]\r", &["x", "[DONE]"]),
    ("ends in a comment", b"data: x\n\n: bye", &["x"]),
    ("nothing", b"", &[]),
];

fn decode<'a>(parts: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(limit);
    let mut events = Vec::new();
    for part in parts {
        decoder.push(part, |data| events.push(data.to_vec())).unwrap();
    }
    decoder.finish(|data| events.push(data.to_vec()));
    events
}

fn texts(events: &[Vec<u8>]) -> Vec<&str> {
    events.iter().map(|event| std::str::from_utf8(event).unwrap()).collect()
}

#[test]
fn the_corpus_reads_the_same_cut_at_every_byte() {
    for (name, stream, expected) in CORPUS {
        assert_eq!(texts(&decode([*stream], LIMIT)), *expected, "{name}, whole");
        assert_eq!(texts(&decode(stream.chunks(1), LIMIT)), *expected, "{name}, byte by byte");
        for cut in 0..=stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(texts(&decode([head, tail], LIMIT)), *expected, "{name}, cut at {cut}");
            for second in cut..=stream.len() {
                let parts = [head, &stream[cut..second], &stream[second..]];
                assert_eq!(texts(&decode(parts, LIMIT)), *expected, "{name}, {cut} and {second}");
            }
        }
    }
}

#[test]
fn the_whole_corpus_in_one_stream_reads_the_same_cut_at_every_byte() {
    let finished = CORPUS.iter().filter(|(name, ..)| !name.contains("bom"));
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for (_, bytes, events) in finished {
        stream.extend_from_slice(bytes);
        stream.extend_from_slice(b"\n\n\n");
        expected.extend_from_slice(events);
    }
    for cut in 0..=stream.len() {
        let (head, tail) = stream.split_at(cut);
        assert_eq!(texts(&decode([head, tail], LIMIT)), expected, "cut at {cut}");
    }
}

#[test]
fn an_event_is_handed_out_as_soon_as_its_blank_line_is_there() {
    for stream in [&b"data: x\n\n"[..], b"data: x\r\n\r", b"data: x\r\r", b"data: x\n\r"] {
        let mut decoder = Decoder::new(LIMIT);
        let (last, before) = stream.split_last().unwrap();
        decoder.push(before, |data| panic!("too early: {data:?}")).unwrap();
        let mut events = 0;
        decoder.push(&[*last], |_| events += 1).unwrap();
        assert_eq!(events, 1, "{stream:?}");
    }
}

#[test]
fn an_event_that_lies_whole_in_the_slice_is_not_copied() {
    let stream = b": hello\n\nevent: x\ndata: {\"a\":1}\nid: 3\n\ndata: [DONE]\n\n";
    let inside = stream.as_ptr_range();
    let mut decoder = Decoder::new(LIMIT);
    let mut events = 0;
    decoder
        .push(stream, |data| {
            assert!(inside.contains(&data.as_ptr()), "{data:?} was copied");
            events += 1;
        })
        .unwrap();
    assert_eq!(events, 2);
    assert_eq!(decoder.data.capacity() + decoder.line.capacity(), 0, "nothing was allocated");
}

#[test]
fn an_event_of_a_mebibyte_passes_however_it_is_cut_and_its_memory_is_given_back() {
    let payload = "x".repeat(1024 * 1024);
    let stream = format!("data: {payload}\n\ndata: y\n\n");
    let stream = stream.as_bytes();
    let ends = (0..40).chain(stream.len() - 40..=stream.len());
    for cut in ends.chain((0..stream.len()).step_by(65_537)) {
        let (head, tail) = stream.split_at(cut);
        assert_eq!(texts(&decode([head, tail], LIMIT)), [payload.as_str(), "y"], "cut at {cut}");
    }
    let mut decoder = Decoder::new(LIMIT);
    for part in stream.chunks(1_460) {
        decoder.push(part, |_| ()).unwrap();
    }
    assert!(decoder.data.capacity() + decoder.line.capacity() <= 2 * super::KEPT_BYTES);
}

#[test]
fn what_is_longer_than_the_limit_is_refused() {
    let too_long = EventTooLong { max_bytes: 16 };
    let streams: [&[u8]; 5] = [
        b"data: 12345678901\n\n",
        b": a comment that never ends and never ends",
        b"data: 1234567\ndata: 1234567\ndata: 1234567\n\n",
        b"data: 12345678\ndata: 12345678\n",
        b"no field at all, and long\n",
    ];
    for stream in streams {
        for size in [1, 3, stream.len()] {
            let mut decoder = Decoder::new(16);
            let refused = stream.chunks(size).find_map(|part| decoder.push(part, |_| ()).err());
            assert_eq!(refused, Some(too_long), "{stream:?} by {size}");
        }
    }
    let just_fits = b"data: 1234567890\n\ndata: 1234567\ndata: 12345678\n\n";
    assert_eq!(texts(&decode([&just_fits[..]], 16)), ["1234567890", "1234567\n12345678"]);
    assert_eq!(too_long.to_string(), "an event of the stream is longer than 16 bytes");
}

#[test]
fn a_finished_decoder_is_as_new() {
    let mut decoder = Decoder::new(LIMIT);
    decoder.push(b"data: half", |_| ()).unwrap();
    let mut events = Vec::new();
    decoder.finish(|data| events.push(data.to_vec()));
    decoder.finish(|_| panic!("the event came twice"));
    decoder.push(b"\xEF\xBB\xBFdata: x\n\n", |data| events.push(data.to_vec())).unwrap();
    assert_eq!(texts(&events), ["half", "x"]);
}

/// The rules once more, slow and plain: the whole stream at once.
fn by_the_book(stream: &[u8]) -> Vec<Vec<u8>> {
    let stream = stream.strip_prefix(&super::BOM).unwrap_or(stream);
    let mut lines = vec![Vec::new()];
    let mut bytes = stream.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                bytes.next_if_eq(&&b'\n');
                lines.push(Vec::new());
            }
            b'\n' => lines.push(Vec::new()),
            other => lines.last_mut().unwrap().push(*other),
        }
    }
    lines.push(Vec::new());
    let (mut events, mut data) = (Vec::new(), None::<Vec<u8>>);
    for line in lines {
        if line.is_empty() {
            events.extend(data.take());
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        if &line[..colon] == b"data" {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            data = Some(match data {
                None => value.to_vec(),
                Some(before) => [&before, &b"\n"[..], value].concat(),
            });
        }
    }
    events
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_read_as_the_rules_say(
        pieces in prop::collection::vec(prop::sample::select(vec![
            &b"data"[..], b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"x", b"event: e", b"data: ",
            b"\xEF", b"\xBB", b"\xBF", b"\xEF\xBB\xBF", b": c",
        ]), 0..40),
        size in 1_usize..7,
    ) {
        let stream = pieces.concat();
        let expected = by_the_book(&stream);
        prop_assert_eq!(&decode([&stream[..]], LIMIT), &expected);
        prop_assert_eq!(&decode(stream.chunks(size), LIMIT), &expected);
    }
}
