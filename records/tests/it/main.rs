//! Files of records, written and read back as their readers do: the end first, then group by group.

mod checkpoints;
mod joined;

use bytes::Bytes;
use records::{
    About, COLUMNS, Connection, GROUP_ROWS, Layout, Outcome, Record, TOKEN_TIMES, Tail, TextFormat,
    Writer,
};
use serde_json::{Value, json};

fn written(records: impl IntoIterator<Item = Record>, token_times: bool) -> Bytes {
    let mut file = Vec::new();
    let about = About { started_at: "2026-11-24T08:00:00Z".to_owned(), ..About::default() };
    let mut writer = Writer::new(&mut file, &about, token_times).unwrap();
    let mut rows = 0;
    for record in records {
        writer.push(record).unwrap();
        rows += 1;
    }
    let told = writer.finish().unwrap();
    assert_eq!((told.rows, told.bytes), (rows, file.len() as u64));
    file.into()
}

fn layout(file: &Bytes) -> Layout {
    match Layout::read(file, file.len() as u64).unwrap() {
        Tail::Whole(layout) => layout,
        Tail::Needs(bytes) => panic!("the whole file is not enough, {bytes} bytes are needed"),
    }
}

/// The file as text, with each group's own bytes and no others.
fn text(file: &Bytes, format: TextFormat) -> String {
    let layout = layout(file);
    let mut text = format.head(&layout).unwrap();
    for group in 0..layout.groups() {
        let range = layout.range(group).unwrap();
        let (from, to) = (usize::try_from(range.start), usize::try_from(range.end));
        let bytes = Bytes::copy_from_slice(&file[from.unwrap()..to.unwrap()]);
        text.extend(format.rows(&layout, group, bytes).unwrap());
    }
    String::from_utf8(text).unwrap()
}

fn rows(file: &Bytes) -> Vec<Value> {
    let lines = text(file, TextFormat::Jsonl);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn whole() -> Record {
    Record {
        index: 7,
        user: Some(3),
        nth: 2,
        target: 1,
        turn: Some(3),
        intended_us: 1_000,
        picked_up_us: 1_010,
        sent_us: Some(1_500),
        first_event_us: Some(41_000),
        first_token_us: Some(41_500),
        first_answer_us: Some(51_500),
        last_token_us: Some(101_500),
        end_us: 102_000,
        outcome: Outcome::Completed,
        http_status: Some(200),
        counted: true,
        tpot_ms: Some(20.0),
        itl_mean_ms: Some(19.5),
        stall_us: Some(25_250),
        token_events: 4,
        input_tokens: Some(9),
        output_tokens: 4,
        token_source: "usage",
        asked_tokens: 16,
        finish_reason: Some("stop, \"well\"\nended".to_owned()),
        connection: Some(Connection::Opened { connect_us: 120 }),
        token_reads: 4,
        token_times_us: vec![41_500, 51_500, 76_750, 101_500],
        ..Record::default()
    }
}

/// It never got a connection.
fn refused() -> Record {
    Record {
        index: 8,
        end_us: 5,
        outcome: Outcome::Failed,
        failure: Some("connect"),
        message: Some("could not connect: refused".to_owned()),
        token_source: "events",
        ..Record::default()
    }
}

#[test]
fn a_row_comes_back_as_it_was_with_its_latencies_from_sent() {
    let rows = rows(&written([whole(), refused()], true));
    let expected = json!({
        "index": 7, "user": 3, "nth": 2, "turn": 3, "target": 1, "intended_us": 1_000, "picked_up_us": 1_010,
        "sent_us": 1_500, "first_event_us": 41_000, "first_token_us": 41_500,
        "first_answer_us": 51_500, "last_token_us": 101_500, "end_us": 102_000,
        "outcome": "completed", "failure": null, "message": null, "http_status": 200,
        "counted": true, "ttft_ms": 40.0, "ttfa_ms": 50.0, "ttfe_ms": 39.5, "e2e_ms": 100.0,
        "tpot_ms": 20.0, "itl_mean_ms": 19.5, "stall_ms": 25.25, "token_events": 4,
        "input_tokens": 9, "output_tokens": 4, "reasoning_tokens": null,
        "output_by_tokenizer": null, "token_source": "usage", "asked_tokens": 16,
        "finish_reason": "stop, \"well\"\nended", "connection": "opened", "connect_us": 120,
        "token_reads": 4, "coalesced_reads": 0,
        "token_times_us": [41_500, 51_500, 76_750, 101_500],
    });
    assert_eq!(rows[0], expected);
    let absent =
        ["user", "turn", "sent_us", "ttft_ms", "e2e_ms", "http_status", "connection", "connect_us"];
    assert!(absent.iter().all(|name| rows[1][name].is_null()), "{}", rows[1]);
    assert_eq!(rows[1]["message"], "could not connect: refused");
    assert_eq!(rows[1]["token_times_us"], json!([]));
}

#[test]
fn csv_has_a_line_of_names_and_quotes_what_needs_it() {
    let csv = text(&written([whole(), refused()], true), TextFormat::Csv);
    let mut lines = csv::Reader::from_reader(csv.as_bytes());
    let names: Vec<_> = COLUMNS.iter().chain([&TOKEN_TIMES]).map(|column| column.name).collect();
    assert_eq!(lines.headers().unwrap().iter().collect::<Vec<_>>(), names);
    let rows: Vec<csv::StringRecord> = lines.records().map(Result::unwrap).collect();
    let cell = |row: usize, name: &str| {
        let at = names.iter().position(|known| *known == name).unwrap();
        rows[row].get(at).unwrap().to_owned()
    };
    assert_eq!(cell(0, "finish_reason"), "stop, \"well\"\nended");
    assert_eq!(cell(0, "stall_ms"), "25.25");
    assert_eq!(cell(0, "token_times_us"), "[41500,51500,76750,101500]");
    assert_eq!(cell(1, "sent_us"), "");
    assert_eq!(cell(1, "counted"), "false");
}

#[test]
fn a_file_grows_by_groups_and_each_can_be_read_alone() {
    let many = GROUP_ROWS as u64 * 2 + 1;
    let file = written((0..many).map(|index| Record { index, ..whole() }), false);
    let layout = layout(&file);
    assert_eq!((layout.groups(), layout.rows()), (3, many));
    assert_eq!(layout.about("started_at"), Some("2026-11-24T08:00:00Z"));
    let rows = rows(&file);
    assert_eq!(rows.len() as u64, many);
    assert!(rows.iter().zip(0..).all(|(row, index)| row["index"] == index));
    assert!(rows[0].get("token_times_us").is_none(), "nobody asked for them");
}

#[test]
fn long_answers_make_small_groups() {
    let long = Record { token_times_us: (0..100_000).collect(), ..whole() };
    let file = written(std::iter::repeat_n(long, 11), true);
    assert_eq!(layout(&file).groups(), 3, "five rows of 100,000 tokens each a group");
    assert_eq!(rows(&file)[10]["token_times_us"].as_array().unwrap().len(), 100_000);
}

#[test]
fn a_file_without_rows_has_its_columns() {
    let file = written([], false);
    assert_eq!((layout(&file).groups(), layout(&file).rows()), (0, 0));
    assert_eq!(text(&file, TextFormat::Jsonl), "");
    assert!(text(&file, TextFormat::Csv).starts_with("index,user,nth,turn,intended_us,"));
}

#[test]
fn the_end_says_how_much_more_of_it_is_needed() {
    let file = written([whole()], false);
    let length = file.len() as u64;
    let Tail::Needs(needed) = Layout::read(&file.slice(file.len() - 20..), length).unwrap() else {
        panic!("20 bytes are not enough");
    };
    let from = file.len() - usize::try_from(needed).unwrap();
    assert!(matches!(Layout::read(&file.slice(from..), length), Ok(Tail::Whole(_))));
}

#[test]
fn what_is_no_file_of_ours_is_refused() {
    let file = written([whole()], false);
    for broken in [Bytes::new(), Bytes::from_static(b"PAR1"), file.slice(..file.len() - 1)] {
        let length = broken.len() as u64;
        assert!(Layout::read(&broken, length).is_err(), "{length} bytes");
    }
    let cut = Bytes::copy_from_slice(&file[4..40]);
    assert!(TextFormat::Csv.rows(&layout(&file), 0, cut).is_err());
}

#[test]
fn the_manual_has_every_column_as_it_is() {
    let manual = include_str!("../../../docs/requests.md");
    for column in COLUMNS.iter().chain([&TOKEN_TIMES]) {
        let row = format!("| `{}` | {} | {} |", column.name, column.unit, column.doc);
        assert!(manual.contains(&row), "docs/requests.md lacks\n{row}");
    }
}
