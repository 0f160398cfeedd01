use std::path::{Path, PathBuf};

use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

use super::*;

fn file(dir: &Path, name: &str, bytes: &[u8]) -> HubFile {
    let path: PathBuf = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    HubFile { name: name.to_owned(), path }
}

fn read(name: &str, bytes: &[u8]) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    prompts("org/set", &file(dir.path(), name, bytes)).map_err(|error| error.to_string())
}

#[test]
fn json_rows_are_one_a_line_or_an_array() {
    let lines = b"{\"text\":\"one\",\"label\":3}\n\n{\"text\":\"two\"}\n";
    assert_eq!(read("test.jsonl", lines).unwrap(), ["one", "two"]);
    assert_eq!(read("test.json", lines).unwrap(), ["one", "two"]);
    let array = br#"[{"question":"one","more":{"a":[1,null,true]}},{"question":"two"}]"#;
    assert_eq!(read("test.json", array).unwrap(), ["one", "two"]);
}

#[test]
fn the_most_telling_column_is_taken_and_rows_without_a_text_are_passed_over() {
    let rows = br#"[{"input":"no","prompt":"one"},{"prompt":null},{"prompt":7},{"prompt":[1]},
        {"prompt":{"a":1}},{"prompt":" "},{"prompt":-1.5},{"prompt":"two"}]"#;
    assert_eq!(read("train.json", rows).unwrap(), ["one", "two"]);
}

#[test]
fn csv_has_its_columns_named_in_the_first_line() {
    let csv = b"id,text,label\n1,\"one, with a comma\nand a line\",x\n2,two,y\n3,,z\n4\n";
    assert_eq!(read("test.csv", csv).unwrap(), ["one, with a comma\nand a line", "two"]);
}

#[test]
fn parquet_is_read_by_its_text_column() {
    let schema = "message schema { required binary label (UTF8); optional binary text (UTF8); }";
    let snappy = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(snappy)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let texts =
        |texts: &[&'static str]| texts.iter().copied().map(ByteArray::from).collect::<Vec<_>>();
    for (values, present) in
        [(texts(&["a", "b", "c"]), None), (texts(&["one", "two"]), Some([1, 0, 1]))]
    {
        let mut column = group.next_column().unwrap().unwrap();
        let levels = present.as_ref().map(<[i16; 3]>::as_slice);
        column.typed::<ByteArrayType>().write_batch(&values, levels, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    assert_eq!(
        read("data/test.parquet".trim_start_matches("data/"), &bytes).unwrap(),
        ["one", "two"]
    );
}

#[test]
fn a_file_without_a_text_column_tells_what_it_has() {
    for (name, bytes) in [
        ("test.jsonl", &br#"{"label":3,"image":"x"}"#[..]),
        ("test.json", br#"[{"label":3,"image":"x"}]"#),
        ("test.csv", b"label,image\n3,x\n"),
    ] {
        let error = read(name, bytes).unwrap_err();
        let expected = format!(
            "dataset org/set: {name} has no text column; it has label, image, looked for text, prompt,"
        );
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn a_broken_file_is_named_with_its_reader_s_words() {
    let error = read("test.jsonl", b"{\"text\":\"one\"}\n{\"text\":").unwrap_err();
    assert!(error.starts_with("dataset org/set: test.jsonl cannot be read: line 2: "), "{error}");
    for (name, bytes) in [("test.parquet", &b"PAR1nonsense"[..]), ("test.json", b"[1, 2]")] {
        let error = read(name, bytes).unwrap_err();
        assert!(error.starts_with(&format!("dataset org/set: {name} cannot be read: ")), "{error}");
    }
}

#[test]
fn a_text_that_is_too_long_to_be_sent_is_passed_over() {
    let long = "x".repeat(LONGEST_PROMPT + 1);
    let rows = format!("{{\"text\":\"{long}\"}}\n{{\"text\":\"short\"}}");
    assert_eq!(read("test.jsonl", rows.as_bytes()).unwrap(), ["short"]);
}
