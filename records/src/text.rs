//! Row groups as text, for whoever has no reader of Parquet.

use std::io::Write as _;

use bytes::Bytes;
use parquet::record::Field;
use serde_json::{Value, json};

use crate::{Layout, RecordsError};

/// A text that rows can be put as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// Comma-separated values with a line of names; absent is empty, a list is a JSON array.
    Csv,
    /// One JSON object a line; absent is null.
    Jsonl,
}

impl TextFormat {
    /// What stands before the first row.
    pub fn head(self, layout: &Layout) -> Result<Vec<u8>, RecordsError> {
        match self {
            Self::Csv => {
                let mut lines = csv::Writer::from_writer(Vec::new());
                lines.write_record(layout.columns())?;
                lines.into_inner().map_err(|_| RecordsError::Malformed)
            }
            Self::Jsonl => Ok(Vec::new()),
        }
    }

    /// The rows of row group `group`, whose bytes are `bytes`. May take a tenth of a second.
    pub fn rows(
        self,
        layout: &Layout,
        group: usize,
        bytes: Bytes,
    ) -> Result<Vec<u8>, RecordsError> {
        match self {
            Self::Csv => {
                let mut lines = csv::Writer::from_writer(Vec::new());
                layout.each_row(group, bytes, |row| {
                    let cells = row.get_column_iter().map(|(_, field)| cell(field));
                    Ok(lines.write_record(cells)?)
                })?;
                lines.into_inner().map_err(|_| RecordsError::Malformed)
            }
            Self::Jsonl => {
                let mut lines = Vec::new();
                layout.each_row(group, bytes, |row| {
                    for (at, (name, field)) in row.get_column_iter().enumerate() {
                        let before = if at == 0 { '{' } else { ',' };
                        // Names are ours; a vector takes whatever is written.
                        _ = write!(lines, "{before}\"{name}\":{}", value(field));
                    }
                    lines.extend_from_slice(b"}\n");
                    Ok(())
                })?;
                Ok(lines)
            }
        }
    }
}

fn cell(field: &Field) -> String {
    match value(field) {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => json!(flag),
        Field::Long(number) => json!(number),
        Field::Double(number) => json!(number),
        Field::Str(text) => json!(text),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        // Of no column of ours.
        other => Value::String(other.to_string()),
    }
}
