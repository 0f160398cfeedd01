use std::{path::PathBuf, sync::Arc};

use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use target::request::{Length, Message, Part, Role};

use super::*;
use crate::prompt::{LONGEST_PROMPT, tokenizer_tests::words};

fn wants() -> Wants {
    Wants { turns: 1, endpoint: Endpoint::Chat, lengths: false, tokenizer: None }
}

fn read_as(
    strict: bool,
    name: &str,
    bytes: &[u8],
    wants: &Wants,
) -> Result<Vec<Conversation>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let set = if strict {
        DataSet::local(dir.path(), name)
    } else {
        DataSet::fetched("org/set", HubFile { name: name.to_owned(), path })
    };
    set.conversations(wants).map_err(|error| error.to_string())
}

const LENGTH: Length = Length { max_tokens: 99, min_tokens: 0 };

fn begun(conversation: &Conversation, tag: u64) -> Vec<Message> {
    conversation.asked(tag, LENGTH).into_messages()
}

fn texts(conversations: &[Conversation]) -> Vec<String> {
    let text = |message: &Message| {
        let texts: Vec<_> = message.parts.iter().filter_map(Part::text).collect();
        format!("{:?}:{}", message.role, texts.concat())
    };
    let first = |it: &Conversation| {
        let messages = begun(it, 0);
        messages.iter().map(text).collect::<Vec<_>>().join(" | ").replace("[0000000000000000] ", "")
    };
    conversations.iter().map(first).map(|it| it.trim_start_matches("User:").to_owned()).collect()
}

/// The first turns of somebody else's file, and of one of our own.
fn lenient(name: &str, bytes: &[u8]) -> Result<Vec<String>, String> {
    read_as(false, name, bytes, &wants()).map(|all| texts(&all))
}

fn strict(name: &str, bytes: &[u8]) -> Result<Vec<String>, String> {
    read_as(true, name, bytes, &wants()).map(|all| texts(&all))
}

#[test]
fn json_rows_are_one_a_line_or_an_array() {
    let lines = b"\xef\xbb\xbf{\"text\":\"one\",\"label\":3}\r\n\n{\"text\":\"two\"}\n";
    let array = br#"[{"question":"one","more":{"a":[1,null,true]}},{"question":"two"}]"#;
    for read in [lenient, strict] {
        assert_eq!(read("test.jsonl", lines).unwrap(), ["one", "two"]);
        assert_eq!(read("test.json", lines).unwrap(), ["one", "two"]);
        assert_eq!(read("test.json", array).unwrap(), ["one", "two"]);
        assert_eq!(read("test.jsonl", b"\n \n").unwrap(), [""; 0]);
    }
}

#[test]
fn the_most_telling_column_is_taken_and_somebody_elses_rows_without_a_text_are_passed_over() {
    let rows = br#"[{"input":"no","prompt":"one"},{"prompt":null},{"prompt":7},{"prompt":[1]},
        {"prompt":{"a":1}},{"prompt":" "},{"prompt":-1.5},{"prompt":"two"}]"#;
    assert_eq!(lenient("train.json", rows).unwrap(), ["one", "two"]);
    let refused = strict("train.json", rows).unwrap_err();
    assert!(refused.starts_with("dataset: train.json, row 2 has neither messages nor a text in any of the columns prompt, text, "), "{refused}");
    assert!(refused.ends_with("; it has none"), "{refused}");
    let both = br#"{"text":"second","prompt":"first","system":"Be short."}"#;
    assert_eq!(strict("x.jsonl", both).unwrap(), ["System:Be short. | User:first"]);
}

#[test]
fn csv_has_its_columns_named_in_the_first_line() {
    let csv = b"id,text,label\n1,\"one, with a comma\nand a line\",x\n2,two,y\n3,,z\n4\n";
    assert_eq!(lenient("test.csv", csv).unwrap(), ["one, with a comma\nand a line", "two"]);
    assert!(strict("test.csv", csv).unwrap_err().contains("row 3 has neither messages nor"));
    let quoted =
        b"conversations,id\n\"[{\"\"from\"\":\"\"human\"\",\"\"value\"\":\"\"hi\"\"}]\",1\n";
    assert_eq!(strict("test.csv", quoted).unwrap(), ["hi"]);
}

/// Parquet of `schema`, whose columns have `values` at `levels` of definition and repetition.
type Column = (&'static [&'static str], &'static [i16], &'static [i16]);

fn parquet_of(schema: &str, columns: &[Column]) -> Vec<u8> {
    let snappy = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(snappy)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (values, defined, repeated) in columns {
        let values: Vec<_> = values.iter().copied().map(ByteArray::from).collect();
        let mut column = group.next_column().unwrap().unwrap();
        let some = |levels: &'static [i16]| (!levels.is_empty()).then_some(levels);
        let typed = column.typed::<ByteArrayType>();
        typed.write_batch(&values, some(defined), some(repeated)).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn parquet_is_read_by_its_known_columns() {
    let schema = "message schema { required binary label (UTF8); optional binary text (UTF8); }";
    let columns: [Column; 2] = [(&["a", "b", "c"], &[], &[]), (&["one", "two"], &[1, 0, 1], &[])];
    let bytes = parquet_of(schema, &columns);
    assert_eq!(lenient("test.parquet", &bytes).unwrap(), ["one", "two"]);
    assert!(strict("test.parquet", &bytes).unwrap_err().contains("row 2 has neither"));
}

#[test]
fn parquet_may_hold_lists_of_messages() {
    let schema = "message schema { optional group messages (LIST) { repeated group list {
        required group element { required binary role (UTF8); required binary content (UTF8); } } } }";
    // two rows: three messages, and one
    let columns: [Column; 2] = [
        (&["system", "user", "assistant", "user"], &[2; 4], &[0, 1, 1, 0]),
        (&["Be short.", "one", "1", "two"], &[2; 4], &[0, 1, 1, 0]),
    ];
    let bytes = parquet_of(schema, &columns);
    assert_eq!(strict("chat.parquet", &bytes).unwrap(), ["System:Be short. | User:one", "two"]);
}

#[test]
fn conversations_are_read_as_sharegpt_and_openai_write_them() {
    let sharegpt = br#"[{"id":"a","conversations":[{"from":"gpt","value":"before"},{"from":"human","value":"one"},
        {"from":"gpt","value":"1"},{"from":"human","value":"two"},{"from":"gpt","value":"2"}]}]"#;
    let openai = br#"{"messages":[{"role":"system","content":"Be short."},{"role":"user","content":[{"type":"text","text":"one"}]},{"role":"assistant","content":"1"},{"role":"user","content":"two"}]}"#;
    let wants = Wants { turns: 5, ..wants() };
    for (name, bytes, opening) in
        [("s.json", &sharegpt[..], "one"), ("o.jsonl", openai, "System:Be short. | User:one")]
    {
        let read = read_as(true, name, bytes, &wants).unwrap();
        assert_eq!(texts(&read), [opening]);
        let second = read[0].turn(1).unwrap();
        assert_eq!(second.asked, [Message::text(Role::User, "two")]);
        assert_eq!(read[0].turn(2), None);
        let one = read_as(true, name, bytes, &Wants { turns: 1, ..wants.clone() }).unwrap();
        assert_eq!(one[0].turn(1), None);
    }
}

#[test]
fn a_conversation_that_cannot_be_sent_is_refused_by_its_row() {
    for (row, said) in [
        (r#"{"messages":[]}"#, "has no message of a user"),
        (r#"{"messages":[{"role":"assistant","content":"x"}]}"#, "has no message of a user"),
        (
            r#"{"messages":[{"role":"user","content":" "}]}"#,
            "has a message of a user without a text",
        ),
        (r#"{"messages":["x"]}"#, "has a message that is no object"),
        (r#"{"messages":[{"content":"x"}]}"#, "has a message that has no role"),
        (
            r#"{"messages":[{"role":"tool","content":"x"}]}"#,
            "has a message that has the role `tool`, not system, developer, user or assistant",
        ),
        (
            r#"{"messages":[{"role":"user","content":null}]}"#,
            "has a message that has neither a text nor parts as its content",
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"audio"}]}]}"#,
            "has a message that has a part of the type `audio` that is neither a text nor an image_url",
        ),
        (
            r#"{"prompt":"x","image":"none.png"}"#,
            "has an image that cannot be sent: there is no file `none.png` below DATA_DIR",
        ),
        (
            r#"{"prompt":"x","image":{"bytes":"x"}}"#,
            "has an image that cannot be sent: `{\"bytes\":\"x\"}` is neither an http, https or data: URL nor a file below DATA_DIR",
        ),
    ] {
        let rows = format!("{{\"prompt\":\"fine\"}}\n\n{row}\n");
        assert_eq!(
            strict("c.jsonl", rows.as_bytes()).unwrap_err(),
            format!("dataset: c.jsonl, line 3 {said}")
        );
        assert_eq!(lenient("c.jsonl", rows.as_bytes()).unwrap()[0], "fine");
    }
    let long = "x".repeat(LONGEST_PROMPT + 1);
    let rows = format!("{{\"text\":\"{long}\"}}\n{{\"text\":\"short\"}}");
    assert_eq!(lenient("test.jsonl", rows.as_bytes()).unwrap(), ["short"]);
    assert_eq!(
        strict("test.jsonl", rows.as_bytes()).unwrap_err(),
        "dataset: test.jsonl, line 1 has a prompt of 1048577 bytes, more than the 1048576 allowed"
    );
}

#[test]
fn a_file_without_a_row_that_can_be_sent_tells_what_it_has() {
    for (name, bytes) in [
        ("test.jsonl", &br#"{"label":3,"picture":"x"}"#[..]),
        ("test.json", br#"[{"label":3,"picture":"x"}]"#),
        ("test.csv", b"label,picture\n3,x\n"),
    ] {
        let error = lenient(name, bytes).unwrap_err();
        let beginning = format!("dataset: org/set/{name}, none of its 1 rows can be sent; ");
        assert!(error.starts_with(&beginning), "{error}");
        assert!(error.ends_with("; it has label, picture"), "{error}");
    }
}

#[test]
fn a_broken_file_is_named_with_its_reader_s_words() {
    for read in [lenient, strict] {
        let error = read("test.jsonl", b"{\"text\":\"one\"}\n{\"text\":").unwrap_err();
        assert!(error.contains("test.jsonl, line 2 cannot be read: EOF while parsing"), "{error}");
        let error = read("test.jsonl", b"[1]").unwrap_err();
        assert!(
            error.contains("line 1 cannot be read: invalid type: sequence, expected a JSON object"),
            "{error}"
        );
        let error = read("test.json", b"[{\"text\":\"a\"}, 2]").unwrap_err();
        assert!(error.contains("test.json, row 2 cannot be read: invalid type"), "{error}");
        let error = read("test.parquet", b"PAR1nonsense").unwrap_err();
        assert!(error.contains("test.parquet, cannot be read: "), "{error}");
        let error = read("test.jsonl", b"{\"prompt\":\"\xff\"}").unwrap_err();
        assert!(error.contains("line 1 cannot be read"), "{error}");
    }
}

#[test]
fn a_row_s_own_length_is_its_column_or_its_recorded_answer_counted() {
    let own = |rows: &str, tokenizer: Option<Tokenizer>, strict: bool| {
        let wants = Wants { lengths: true, tokenizer, ..wants() };
        let read = read_as(strict, "own.jsonl", rows.as_bytes(), &wants)?;
        Ok(read.iter().map(|it| it.asked(0, LENGTH).length.max_tokens).collect::<Vec<_>>())
    };
    let counted = r#"{"prompt":"a","response":"hello world hello"}"#;
    let columns = "{\"prompt\":\"a\",\"output_tokens\":7}\n{\"prompt\":\"a\",\"max_tokens\":\"12\"}\n{\"prompt\":\"a\",\"output_tokens\":3.0,\"response\":\"x\"}";
    assert_eq!(own(columns, None, true), Ok(vec![7, 12, 3]));
    assert_eq!(own(counted, Some(words()), true), Ok(vec![3]));
    let chat =
        r#"{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"hello world"}]}"#;
    assert_eq!(own(chat, Some(words()), true), Ok(vec![2]));
    let refused = |row: &str, tokenizer| {
        let error: String = own(row, tokenizer, true).unwrap_err();
        error.strip_prefix("dataset: own.jsonl, line 1 ").unwrap().to_owned()
    };
    assert_eq!(
        refused(counted, None),
        "has a recorded answer and no column output_tokens: a tokenizer is required, which counts it"
    );
    assert!(
        refused(r#"{"prompt":"a"}"#, Some(words()))
            .starts_with("has no length for output_tokens=dataset")
    );
    for bad in ["0", "32769", "\"many\"", "1.5"] {
        let row = format!("{{\"prompt\":\"a\",\"output_tokens\":{bad}}}");
        assert!(refused(&row, None).ends_with("not between 1 and 32768"), "{bad}");
    }
    let mixed = format!("{{\"prompt\":\"a\"}}\n{counted}");
    assert_eq!(own(&mixed, Some(words()), false), Ok(vec![3]), "somebody else's are passed over");
}

#[test]
fn images_go_behind_the_text_and_only_to_endpoints_that_take_them() {
    let row = br#"{"prompt":"what?","images":["https://x.example/a.png","data:image/gif;base64,R0lGODlh"]}"#;
    let read = read_as(true, "i.jsonl", row, &wants()).unwrap();
    let messages = begun(&read[0], 0);
    let parts = &messages[0].parts;
    assert!(matches!(&parts[0], Part::Text(text) if text.ends_with("] what?")));
    assert_eq!(parts[1], Part::Image("https://x.example/a.png".into()));
    assert_eq!(parts[2], Part::Image("data:image/gif;base64,R0lGODlh".into()));
    for endpoint in [Endpoint::Completions, Endpoint::Embeddings] {
        let wants = Wants { endpoint, ..wants() };
        assert_eq!(
            read_as(true, "i.jsonl", row, &wants).unwrap_err(),
            format!(
                "dataset: i.jsonl, line 1 has an image, and with endpoint {endpoint} there can be none"
            )
        );
    }
    let alone = br#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x.example/a.png"}}]}]}"#;
    let read = read_as(true, "i.jsonl", alone, &wants()).unwrap();
    assert_eq!(begun(&read[0], 1)[0].parts[0], Part::Text("[0000000000000001]".into()));
    let file =
        br#"[{"question":"what?","image":"1.png"},{"question":"what?","image":{"bytes":"x"}}]"#;
    assert_eq!(lenient("q.json", file).unwrap(), ["what?", "what?"]);
}
