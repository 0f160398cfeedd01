//! Prompts of a dataset's file: the text column of its JSON, JSONL, CSV or Parquet.
//!
//! Lenient where [`jsonl`](super::jsonl) is strict: it is somebody else's data, so rows without a
//! text are passed over, and only a file without any is an error.

use std::{fs::File, sync::Arc};

use super::{
    LONGEST_PROMPT, MOST_PROMPTS, PromptError,
    hub::HubFile,
    json_rows::{Row, Rows},
};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
    schema::types::Type,
};

/// The columns that may hold the prompt, most telling first.
pub(super) const COLUMNS: [&str; 14] = [
    "text",
    "prompt",
    "question",
    "instruction",
    "query",
    "input",
    "problem",
    "content",
    "sentence",
    "user",
    "message",
    "utterance",
    "document",
    "article",
];

/// The formats that can be read, best first.
pub(super) const FORMATS: [&str; 4] = [".jsonl", ".json", ".csv", ".parquet"];

/// Why a file gave nothing.
enum Unreadable {
    /// The reader's words.
    Why(String),
    /// The columns it has instead.
    Columns(Vec<String>),
}

/// The texts of `file`, of the dataset `id`; may take seconds.
pub(super) fn prompts(id: &str, file: &HubFile) -> Result<Vec<String>, PromptError> {
    let read = match FORMATS.iter().find(|ending| file.name.ends_with(*ending)) {
        Some(&".csv") => csv(file),
        Some(&".parquet") => parquet(file),
        _ => json(file),
    };
    read.map_err(|error| match error {
        Unreadable::Why(why) => {
            PromptError::Unreadable { id: id.to_owned(), file: file.name.clone(), why }
        }
        Unreadable::Columns(found) => PromptError::NoTextColumn {
            id: id.to_owned(),
            file: file.name.clone(),
            found: if found.is_empty() { "none".to_owned() } else { found.join(", ") },
            known: COLUMNS.join(", "),
        },
    })
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn why(error: impl ToString) -> Unreadable {
    Unreadable::Why(error.to_string())
}

/// Whether a text can be a prompt.
fn sendable(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LONGEST_PROMPT
}

/// Objects, one a line or in one array.
fn json(file: &HubFile) -> Result<Vec<String>, Unreadable> {
    let bytes = std::fs::read(&file.path).map_err(why)?;
    let rows = if bytes.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice::<Rows>(&bytes).map_err(why)?.0
    } else {
        lines(&bytes)?
    };
    let has_text =
        |column: &usize| rows.iter().any(|row| row.texts.iter().any(|(at, _)| at == column));
    let Some(column) = (0..COLUMNS.len()).find(has_text) else {
        return Err(Unreadable::Columns(
            rows.into_iter().next().map(|row| row.others).unwrap_or_default(),
        ));
    };
    let texts = rows.into_iter().flat_map(|row| row.texts);
    Ok(texts.filter(|(at, text)| *at == column && sendable(text)).map(|(_, text)| text).collect())
}

fn lines(bytes: &[u8]) -> Result<Vec<Row>, Unreadable> {
    (1..)
        .zip(bytes.split(|byte| *byte == b'\n'))
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .take(MOST_PROMPTS)
        .map(|(number, line)| {
            serde_json::from_slice(line).map_err(|error| why(format!("line {number}: {error}")))
        })
        .collect()
}

fn csv(file: &HubFile) -> Result<Vec<String>, Unreadable> {
    let mut reader =
        ::csv::ReaderBuilder::new().flexible(true).from_path(&file.path).map_err(why)?;
    let header = reader.headers().map_err(why)?.clone();
    let column = |wanted: &&str| header.iter().position(|name| name.trim() == *wanted);
    let Some(column) = COLUMNS.iter().find_map(column) else {
        return Err(Unreadable::Columns(header.iter().map(str::to_owned).collect()));
    };
    let mut texts = Vec::new();
    for row in reader.records().take(MOST_PROMPTS) {
        let row = row.map_err(why)?;
        texts.extend(row.get(column).filter(|text| sendable(text)).map(str::to_owned));
    }
    Ok(texts)
}

fn parquet(file: &HubFile) -> Result<Vec<String>, Unreadable> {
    let reader = SerializedFileReader::new(File::open(&file.path).map_err(why)?).map_err(why)?;
    let schema = reader.metadata().file_metadata().schema();
    let column = |wanted: &&str| {
        schema.get_fields().iter().find(|field| field.is_primitive() && field.name() == *wanted)
    };
    let Some(column) = COLUMNS.iter().find_map(column) else {
        return Err(Unreadable::Columns(
            schema.get_fields().iter().map(|field| field.name().to_owned()).collect(),
        ));
    };
    let only_it = Type::group_type_builder(schema.name())
        .with_fields(vec![Arc::clone(column)])
        .build()
        .map_err(why)?;
    let mut texts = Vec::new();
    for row in reader.get_row_iter(Some(only_it)).map_err(why)?.take(MOST_PROMPTS) {
        let text = match row.map_err(why)?.into_columns().pop() {
            Some((_, Field::Str(text))) => text,
            Some((_, Field::Bytes(bytes))) => String::from_utf8_lossy(bytes.data()).into_owned(),
            _ => continue,
        };
        if sendable(&text) {
            texts.push(text);
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests;
