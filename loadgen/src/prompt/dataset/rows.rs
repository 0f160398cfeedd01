//! The rows of a file, whatever its format.

use std::{ffi::OsStr, fmt, path::Path, sync::Arc};

use bytes::Bytes;
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
    schema::types::Type,
};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;

use super::{
    At, Unreadable,
    row::{Row, known},
};

/// Who takes rows: says whether there may be more.
type Taker<'a> = dyn FnMut(At, Row) -> Result<bool, Unreadable> + 'a;

/// Gives each row of a file to `take`, in order, until it wants no more. The file's format is that
/// of its `name`; what has no known ending is JSON.
pub(super) fn each(name: &str, bytes: Bytes, take: &mut Taker<'_>) -> Result<(), Unreadable> {
    let without_mark = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let has_array = without_mark.trim_ascii_start().starts_with(b"[");
    match Path::new(name).extension().and_then(OsStr::to_str) {
        Some("csv") => csv(&bytes, take),
        Some("parquet") => parquet(bytes, take),
        Some("jsonl") => lines(without_mark, take),
        _ if has_array => array(without_mark, take),
        _ => lines(without_mark, take),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn unreadable(error: impl ToString) -> Unreadable {
    Unreadable::File(error.to_string())
}

fn in_row(at: At) -> impl Fn(&dyn fmt::Display) -> Unreadable {
    move |error| Unreadable::Row { at, why: error.to_string() }
}

fn lines(bytes: &[u8], take: &mut Taker<'_>) -> Result<(), Unreadable> {
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let at = At::Line(number);
        let row = serde_json::from_slice(line).map_err(|error| in_row(at)(&error))?;
        if !take(at, row)? {
            break;
        }
    }
    Ok(())
}

/// The objects of one JSON array.
fn array(bytes: &[u8], take: &mut Taker<'_>) -> Result<(), Unreadable> {
    struct Elements<'a, 'b> {
        take: &'a mut Taker<'b>,
        number: u64,
        refused: Option<Unreadable>,
    }

    impl<'de> Visitor<'de> for &mut Elements<'_, '_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of objects")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            let mut more = true;
            while more {
                self.number += 1;
                let Some(row) = seq.next_element()? else { return Ok(()) };
                match (self.take)(At::Row(self.number), row) {
                    Ok(wanted) => more = wanted,
                    Err(refused) => {
                        self.refused = Some(refused);
                        break;
                    }
                }
            }
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(())
        }
    }

    impl<'de> DeserializeSeed<'de> for &mut Elements<'_, '_> {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_seq(self)
        }
    }

    let mut elements = Elements { take, number: 0, refused: None };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = elements.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match elements.refused {
        Some(refused) => Err(refused),
        None => read.map_err(|error| in_row(At::Row(elements.number))(&error)),
    }
}

fn csv(bytes: &[u8], take: &mut Taker<'_>) -> Result<(), Unreadable> {
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let header = reader.headers().map_err(unreadable)?.clone();
    let columns: Vec<(&str, Option<&'static str>)> =
        header.iter().map(|name| (name.trim(), known(name.trim()))).collect();
    for (number, record) in (1..).zip(reader.records()) {
        let at = At::Row(number);
        let record = record.map_err(|error| in_row(at)(&error))?;
        let mut row = Row::default();
        for (nth, (name, column)) in columns.iter().enumerate() {
            match (column, record.get(nth)) {
                (Some(column), Some(cell)) => row.put(column, Value::from(cell)),
                (Some(_), None) => {}
                (None, _) => row.put_other(name),
            }
        }
        if !take(at, row)? {
            break;
        }
    }
    Ok(())
}

fn parquet(bytes: Bytes, take: &mut Taker<'_>) -> Result<(), Unreadable> {
    let reader = SerializedFileReader::new(bytes).map_err(unreadable)?;
    let schema = reader.metadata().file_metadata().schema();
    let (wanted, others): (Vec<_>, Vec<_>) =
        schema.get_fields().iter().partition(|field| known(field.name()).is_some());
    let others: Vec<&str> = others.iter().map(|field| field.name()).collect();
    let wanted = wanted.into_iter().map(Arc::clone).collect();
    let wanted =
        Type::group_type_builder(schema.name()).with_fields(wanted).build().map_err(unreadable)?;
    for (number, record) in (1..).zip(reader.get_row_iter(Some(wanted)).map_err(unreadable)?) {
        let at = At::Row(number);
        let mut row = Row::default();
        for (name, field) in record.map_err(|error| in_row(at)(&error))?.into_columns() {
            if let Some(column) = known(&name) {
                row.put(column, value(&field));
            }
        }
        for name in &others {
            row.put_other(name);
        }
        if !take(at, row)? {
            break;
        }
    }
    Ok(())
}

/// A field of Parquet as JSON has it; what no conversation is made of is null.
fn value(field: &Field) -> Value {
    match field {
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).map_or(Value::Null, Value::from),
        Field::Byte(number) => Value::from(*number),
        Field::Short(number) => Value::from(*number),
        Field::Int(number) => Value::from(*number),
        Field::Long(number) => Value::from(*number),
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        Field::Float(number) => Value::from(*number),
        Field::Double(number) => Value::from(*number),
        Field::Group(row) => {
            row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
        }
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        _ => Value::Null,
    }
}
