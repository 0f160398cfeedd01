//! A row of a data set: of its columns those that are known.
//!
//! A file of 200 MB read into a tree of values would take gigabytes; here the rest of a row is
//! parsed and dropped.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

/// Names of other columns kept of a row, to be named where no column is known.
const MOST_NAMES: usize = 20;

/// Conversations: an array of messages.
pub(super) const CONVERSATIONS: [&str; 3] = ["messages", "conversations", "conversation"];

/// The columns that may hold the prompt, most telling first.
pub(super) const PROMPTS: [&str; 14] = [
    "prompt",
    "text",
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

/// Answers beside a prompt.
pub(super) const ANSWERS: [&str; 4] = ["response", "answer", "output", "completion"];

/// System messages beside a prompt.
pub(super) const SYSTEMS: [&str; 2] = ["system", "system_prompt"];

/// How long the answer is.
pub(super) const LENGTHS: [&str; 2] = ["output_tokens", "max_tokens"];

/// Images beside a prompt.
pub(super) const IMAGES: [&str; 2] = ["image", "images"];

/// One row.
#[derive(Debug, Default)]
pub(super) struct Row {
    cells: Vec<(&'static str, Value)>,
    /// The columns that are not known.
    others: Vec<String>,
}

/// The column of that name, if it is known.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let groups: [&[&'static str]; 6] =
        [&CONVERSATIONS, &PROMPTS, &ANSWERS, &SYSTEMS, &LENGTHS, &IMAGES];
    groups.into_iter().flatten().find(|column| **column == name).copied()
}

impl Row {
    /// Notes the value of the column `name`; null is none.
    pub(super) fn put(&mut self, name: &'static str, value: Value) {
        if !value.is_null() {
            self.cells.push((name, value));
        }
    }

    /// Notes that there is a column that is not known.
    pub(super) fn put_other(&mut self, name: &str) {
        if self.others.len() < MOST_NAMES {
            self.others.push(name.to_owned());
        }
    }

    /// Takes the value out of the first of `columns` that has one which `read` accepts.
    pub(super) fn take<T>(
        &mut self,
        columns: &[&str],
        mut read: impl FnMut(&mut Value) -> Option<T>,
    ) -> Option<T> {
        columns.iter().find_map(|column| {
            self.cells.iter_mut().find(|(name, _)| name == column).and_then(|(_, it)| read(it))
        })
    }

    /// Takes the first text of `columns` that is not blank.
    pub(super) fn take_text(&mut self, columns: &[&str]) -> Option<String> {
        self.take(columns, |value| match value {
            Value::String(text) if !text.trim().is_empty() => Some(std::mem::take(text)),
            _ => None,
        })
    }

    /// Its columns, known or not, in words.
    pub(super) fn columns(&self) -> String {
        let known = self.cells.iter().map(|(name, _)| *name);
        let names: Vec<&str> = known.chain(self.others.iter().map(String::as_str)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfRow;

        impl<'de> Visitor<'de> for OfRow {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut row = Row::default();
                while let Some(name) = map.next_key::<String>()? {
                    if let Some(column) = known(&name) {
                        row.put(column, map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        row.put_other(&name);
                    }
                }
                Ok(row)
            }
        }

        deserializer.deserialize_map(OfRow)
    }
}
