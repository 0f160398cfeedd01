use std::io::{BufReader, Read};

use super::*;

const ALL: Wanted = Wanted { speed: 1.0, until_us: Micros::MAX, most: usize::MAX };

fn read(text: &str) -> Result<Vec<Row>, String> {
    read_as(None, text)
}

fn read_as(format: Option<TraceFormat>, text: &str) -> Result<Vec<Row>, String> {
    Trace::read(text.as_bytes(), format, ALL)
        .map(|trace| trace.rows)
        .map_err(|refused| refused.to_string())
}

fn tokens(due_us: Micros, tokens: u32, output_tokens: u32) -> Row {
    let said = Said::Tokens { tokens, blocks: Box::default() };
    Row { due_us, output_tokens: Some(output_tokens), said }
}

#[test]
fn mooncakes_rows_are_milliseconds_lengths_and_blocks() {
    let trace = r#"{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 2353, 2354]}
{"timestamp": 30535, "input_length": 472, "output_length": 26, "hash_ids": [46]}
"#;
    let rows = read(trace).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].due_us, rows[1].due_us), (0, 3_053_000));
    assert_eq!((rows[0].output_tokens, rows[1].output_tokens), (Some(52), Some(26)));
    let Said::Tokens { tokens, blocks } = &rows[0].said else { panic!("{:?}", rows[0]) };
    assert_eq!((*tokens, blocks.len(), blocks[13]), (6_955, 14, 2_354));
    assert_eq!(rows[1].said, Said::Tokens { tokens: 472, blocks: [46].into() });
}

#[test]
fn azures_rows_are_times_of_the_calendar_and_lengths() {
    let of_2023 = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,3180,8\r\n";
    assert_eq!(read(of_2023).unwrap(), [tokens(0, 4_808, 10), tokens(52_000, 3_180, 8)]);
    let of_2024 = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:00.017335+00:00,2399,6";
    assert_eq!(read(of_2024).unwrap(), [tokens(0, 2_162, 5), tokens(7_405, 2_399, 6)]);
}

#[test]
fn burstgpts_rows_are_seconds_and_lengths_and_a_failed_one_is_sent_too() {
    let trace = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n45,\"ChatGPT\",1087,0,1087,\"Conversation log\"\n118.5,GPT-4,417,276,693,API log\n";
    let rows = read(trace).unwrap();
    assert_eq!(
        rows,
        [tokens(0, 472, 18), tokens(40_000_000, 1_087, 1), tokens(113_500_000, 417, 276)]
    );
}

#[test]
fn our_own_rows_tell_what_they_know() {
    let trace = "\u{feff}{\"at_s\": 0.5}\n\n{\"at_s\":0.5,\"prompt\":\"Hi\",\"output_tokens\":7}\r\n{\"at_s\":2,\"input_tokens\":30}\n";
    assert_eq!(
        read(trace).unwrap(),
        [
            Row { due_us: 0, output_tokens: None, said: Said::Anything },
            Row { due_us: 0, output_tokens: Some(7), said: Said::Text("Hi".into()) },
            Row {
                due_us: 1_500_000,
                output_tokens: None,
                said: Said::Tokens { tokens: 30, blocks: Box::default() }
            },
        ]
    );
}

#[test]
fn a_named_format_must_be_the_one() {
    let (azure, burst) = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,1\n",
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,x,1,1,2,y\n",
    );
    assert!(read_as(Some(TraceFormat::Azure), azure).is_ok());
    assert!(read_as(Some(TraceFormat::BurstGpt), burst).is_ok());
    assert_eq!(
        read_as(Some(TraceFormat::BurstGpt), azure).unwrap_err(),
        "line 1 is not of trace_format burstgpt"
    );
    assert_eq!(
        read_as(Some(TraceFormat::Jsonl), burst).unwrap_err(),
        "line 1 is not of trace_format jsonl"
    );
    assert_eq!(
        read_as(Some(TraceFormat::Azure), "{\"at_s\":0}").unwrap_err(),
        "line 1 is not of trace_format azure"
    );
    let said = read_as(Some(TraceFormat::Mooncake), "{\"at_s\":0}").unwrap_err();
    assert!(said.starts_with("line 1 is not the JSON of a row: unknown field `at_s`"), "{said}");
}

#[test]
fn what_no_format_has_is_refused() {
    for text in ["a,b,c\n1,2,3\n", "{\"time\":0}", "[1,2]", "hello", "\"TIMESTAMP\",\"x\""] {
        let said = read(text).unwrap_err();
        assert!(said.starts_with("line 1 is of no known format"), "{text}: {said}");
    }
    for text in ["", "\n\n", "TIMESTAMP,ContextTokens,GeneratedTokens\n"] {
        assert_eq!(read(text).unwrap_err(), "it has no rows", "{text:?}");
    }
    assert_eq!(read("\u{7f}\u{0}\n").unwrap_err().split(" is ").next(), Some("line 1"));
    let not_text = Trace::read(&b"a,\xff\n"[..], None, ALL).unwrap_err();
    assert_eq!(not_text.to_string(), "line 1 is not UTF-8");
}

#[test]
fn a_bad_line_is_named_by_its_number_and_says_why() {
    let mooncake = "{\"timestamp\":0,\"input_length\":5,\"output_length\":5,\"hash_ids\":[1]}\n\n";
    let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,1\n";
    let burst =
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n9,x,1,1,2,y\n";
    let own = "{\"at_s\":1}\n{\"at_s\":1}\n";
    for (good, bad, said) in [
        (
            mooncake,
            "{\"timestamp\":1,\"input_length\":1025,\"output_length\":5,\"hash_ids\":[1,2]}",
            "line 3 has 2 hash_ids, but 1025 tokens are 3 blocks of 512",
        ),
        (
            mooncake,
            "{\"timestamp\":1,\"input_length\":5}",
            "line 3 is not the JSON of a row: missing field `output_length`",
        ),
        (
            mooncake,
            "{\"timestamp\":1,\"input_length\":-5,\"output_length\":5}",
            "line 3 is not the JSON of a row: invalid value: integer `-5`, expected u64",
        ),
        (
            mooncake,
            "{\"timestamp\":-1,\"input_length\":5,\"output_length\":5}",
            "line 3 has `-0.001` as timestamp, which is no time",
        ),
        (azure, "2023-11-16 18:17:04,1", "line 3 has 2 fields, but the header has 3"),
        (azure, "yesterday,1,1", "line 3 has `yesterday` as TIMESTAMP, which is no time"),
        (
            azure,
            "2023-11-16 18:17:04,many,1",
            "line 3 has `many` as ContextTokens, which is no whole number",
        ),
        (
            azure,
            "2023-11-16 18:17:04,1,99999",
            "line 3 has 99999 as GeneratedTokens, more than the 32768 allowed",
        ),
        (
            azure,
            "2023-11-16 18:17:02,1,1",
            "line 3 goes back in time: 1700158622 s, after 1700158623 s",
        ),
        (azure, "\"2023-11-16 18:17:04,1,1", "line 3 has a quote that is not closed"),
        (burst, "NaN,x,1,1,2,y", "line 3 has `NaN` as Timestamp, which is no time"),
        (burst, "8.5,x,1,1,2,y", "line 3 goes back in time: 8.5 s, after 9 s"),
        (burst, "10,x,1.5,1,2,y", "line 3 has `1.5` as Request tokens, which is no whole number"),
        (own, "{\"at_s\":0.9}", "line 3 goes back in time: 0.9 s, after 1 s"),
        (
            own,
            "{\"at_s\":2,\"prompt\":\"x\",\"input_tokens\":1}",
            "line 3 has both prompt and input_tokens; one of them must do",
        ),
        (
            own,
            "{\"at_s\":2,\"prompt\":\"\"}",
            "line 3 has a prompt of 0 bytes, not of 1 to 1048576",
        ),
        (
            own,
            "{\"at_s\":2,\"input_tokens\":1000001}",
            "line 3 has 1000001 as input_tokens, more than the 1000000 allowed",
        ),
        (own, "{\"at_s\":1e300}", "line 3 has `1"),
        (own, "oops", "line 3 is not the JSON of a row: expected value"),
    ] {
        let refused = read(&format!("{good}{bad}\n{good}")).unwrap_err();
        assert!(refused.starts_with(said), "{bad}: {refused}");
    }
    let unknown = read(&format!("{own}{{\"at_s\":2,\"max_tokens\":1}}")).unwrap_err();
    assert!(unknown.starts_with("line 3 is not the JSON of a row: unknown field `max_tokens`"));
}

#[test]
fn a_line_without_an_end_fills_no_memory() {
    let endless = BufReader::new(std::io::repeat(b'x').take(1 << 40));
    let refused = Trace::read(endless, None, ALL).unwrap_err();
    assert_eq!(refused.to_string(), "line 1 is longer than 6295552 bytes");
}

/// A trace of `rows` rows, a millisecond apart, written while it is read.
fn long(rows: u64, line: impl Fn(u64) -> String + 'static) -> impl BufRead {
    struct Source<F>(u64, u64, F);
    impl<F: Fn(u64) -> String> Read for Source<F> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == self.1 {
                return Ok(0);
            }
            let line = (self.2)(self.0);
            self.0 += 1;
            buffer[..line.len()].copy_from_slice(line.as_bytes());
            Ok(line.len())
        }
    }
    BufReader::with_capacity(4_096, Source(0, rows, line))
}

#[test]
fn a_bad_line_in_the_middle_of_a_big_trace_is_named_though_it_would_never_be_sent() {
    let line = |nth| match nth {
        150_000 => "{\"at_s\":150,\"prompt\":7}\n".to_owned(),
        _ => format!("{{\"at_s\":{nth}e-3}}\n"),
    };
    let wanted = Wanted { until_us: 1_000_000, ..ALL };
    let refused = Trace::read(long(300_000, line), None, wanted).unwrap_err();
    let said = "line 150001 is not the JSON of a row: invalid type: integer `7`";
    assert!(refused.to_string().starts_with(said), "{refused}");
}

#[test]
fn a_million_rows_are_forty_bytes_each() {
    assert_eq!(size_of::<Row>(), 40);
    let line = |nth| match nth {
        0 => "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n".to_owned(),
        _ => format!("{}.25,ChatGPT,472,18,490,Conversation log\n", nth / 1_000),
    };
    let rows = Trace::read(long(1_000_001, line), None, ALL).unwrap().rows;
    assert_eq!((rows.len(), rows[999_999].due_us), (1_000_000, 1_000_000_000));
    let too_many = Trace::read(long(MOST_ROWS as u64 + 3, line), None, ALL).unwrap_err();
    assert!(too_many.to_string().contains("give max_requests or a shorter duration"));
}

#[test]
fn only_what_can_be_sent_is_kept_and_when_it_would_go_on() {
    let row = |at_s: u32| format!("{{\"at_s\":{at_s}}}\n");
    let own = [10, 11, 12, 13, 14].map(row).concat();
    let kept = |wanted: Wanted| -> (Vec<Micros>, Option<Micros>) {
        let trace = Trace::read(own.as_bytes(), None, wanted).unwrap();
        (trace.rows.iter().map(|row| row.due_us / 1_000).collect(), trace.beyond_us)
    };
    let until = |until_s: u64, speed: f64| Wanted { until_us: until_s * 1_000_000, speed, ..ALL };
    assert_eq!(kept(ALL), (vec![0, 1_000, 2_000, 3_000, 4_000], None));
    assert_eq!(kept(until(3, 1.0)), (vec![0, 1_000, 2_000], Some(3_000_000)));
    assert_eq!(kept(until(2, 2.0)), (vec![0, 500, 1_000, 1_500], Some(2_000_000)), "twice as fast");
    assert_eq!(kept(until(2, 0.5)), (vec![0], Some(2_000_000)), "half as fast");
    assert_eq!(kept(Wanted { most: 2, ..ALL }), (vec![0, 1_000], Some(2_000_000)));
    assert_eq!(kept(Wanted { most: 5, ..ALL }).1, None, "as many as there are");
}
