//! Rows of somebody's JSON, of which only what may be a prompt is kept.
//!
//! A file of 200 MB read into a tree of values would take gigabytes; here the rest of a row is
//! parsed and dropped.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{MOST_PROMPTS, columns::COLUMNS};

/// Names of other columns kept of a row, to be named where no column is known.
const MOST_NAMES: usize = 20;

/// One row.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// Texts, by their column's place in [`COLUMNS`].
    pub(super) texts: Vec<(usize, String)>,
    /// The columns of a row without such a text.
    pub(super) others: Vec<String>,
}

/// The rows of an array.
#[derive(Debug)]
pub(super) struct Rows(pub(super) Vec<Row>);

/// Any JSON value, kept if it is a text.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfRow;

        impl<'de> Visitor<'de> for OfRow {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut row = Row::default();
                while let Some(name) = map.next_key::<String>()? {
                    let column = COLUMNS.iter().position(|column| *column == name);
                    let text = match column {
                        Some(_) => map.next_value::<Text>()?.0,
                        None => map.next_value::<IgnoredAny>().map(|_| None)?,
                    };
                    match (column, text) {
                        (Some(column), Some(text)) => row.texts.push((column, text)),
                        _ if row.others.len() < MOST_NAMES => row.others.push(name),
                        _ => {}
                    }
                }
                if !row.texts.is_empty() {
                    row.others = Vec::new();
                }
                Ok(row)
            }
        }

        deserializer.deserialize_map(OfRow)
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfRows;

        impl<'de> Visitor<'de> for OfRows {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Rows, A::Error> {
                let mut rows = Vec::new();
                while rows.len() < MOST_PROMPTS
                    && let Some(row) = seq.next_element()?
                {
                    rows.push(row);
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Rows(rows))
            }
        }

        deserializer.deserialize_seq(OfRows)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfText;

        impl<'de> Visitor<'de> for OfText {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<Text, E> {
                Ok(Text(Some(text)))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Text, A::Error> {
                IgnoredAny.visit_seq(seq).map(|_| Text(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
                IgnoredAny.visit_map(map).map(|_| Text(None))
            }
        }

        deserializer.deserialize_any(OfText)
    }
}
