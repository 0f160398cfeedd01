//! Records into a Parquet file, a row group at a time.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::{Compression, Encoding},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        metadata::{
            FileMetaData, KeyValue, ParquetMetaDataBuilder, ParquetMetaDataWriter,
            RowGroupMetaData, RowGroupMetaDataBuilder,
        },
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::{
        parser::parse_message_type,
        types::{ColumnPath, SchemaDescriptor},
    },
};

use crate::{
    Checkpoint, RecordsError,
    columns::{COLUMNS, Column, Kind, TOKEN_TIMES, Value, message},
    record::Record,
};

/// Most rows of a row group: what writer and reader hold at a time.
pub const GROUP_ROWS: usize = 10_000;
/// Most token times of one, for answers may be long.
const GROUP_TOKEN_TIMES: usize = 500_000;
/// How every file begins, and ends: Parquet's name.
pub(crate) const MAGIC: &[u8] = b"PAR1";

/// What a file says of its run, beside the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The run's origin by the wall clock, RFC 3339.
    pub started_at: String,
    /// The version of the program that wrote it.
    pub version: String,
    /// The model that was asked.
    pub model: String,
    /// The seed.
    pub seed: u64,
    /// The report's `spec_hash`.
    pub spec_hash: String,
}

/// What came of writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows in the file.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
}

/// A file of records being written. Holds at most one row group.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Column>,
    group: Vec<Record>,
    token_times: usize,
    rows: u64,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file; with `token_times`, it says when each token event came.
    pub fn new(to: W, about: &About, token_times: bool) -> Result<Self, RecordsError> {
        let mut columns = COLUMNS.to_vec();
        columns.extend(token_times.then_some(TOKEN_TIMES));
        let schema = parse_message_type(&message(&columns))?;
        let file = SerializedFileWriter::new(to, Arc::new(schema), Arc::new(properties(about)))?;
        Ok(Self { file, columns, group: Vec::new(), token_times: 0, rows: 0 })
    }

    /// Adds a row.
    pub fn push(&mut self, record: Record) -> Result<(), RecordsError> {
        self.token_times += record.token_times_us.len();
        self.group.push(record);
        if self.group.len() >= GROUP_ROWS || self.token_times >= GROUP_TOKEN_TIMES {
            self.write_group()?;
        }
        Ok(())
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<Written, RecordsError> {
        if !self.group.is_empty() {
            self.write_group()?;
        }
        self.file.finish()?;
        Ok(Written { rows: self.rows, bytes: self.file.bytes_written() as u64 })
    }

    /// What makes a whole file of what has been written until now. The file itself goes on as if
    /// nobody had asked.
    pub fn checkpoint(&mut self) -> Result<Checkpoint, RecordsError> {
        self.file.flush().map_err(ParquetError::from)?;
        let length = self.file.bytes_written();
        let mut groups = self.file.flushed_row_groups().to_vec();
        let mut tail = Vec::new();
        if !self.group.is_empty() {
            let (bytes, group) = self.waiting_group(length, groups.len())?;
            tail = bytes;
            groups.push(group);
        }
        let properties = self.file.properties();
        let about = FileMetaData::new(
            properties.writer_version().as_num(),
            groups.iter().map(RowGroupMetaData::num_rows).sum(),
            Some(properties.created_by().to_owned()),
            properties.key_value_metadata().cloned(),
            Arc::new(SchemaDescriptor::new(self.file.schema_descr().root_schema_ptr())),
            None,
        );
        let whole = ParquetMetaDataBuilder::new(about).set_row_groups(groups).build();
        ParquetMetaDataWriter::new(&mut tail, &whole).finish()?;
        Ok(Checkpoint { length: length as u64, tail: tail.into() })
    }

    /// The group that is not full yet as it would be in the file from byte `at` on, its
    /// `ordinal`th: its bytes, and what the file would say of it.
    fn waiting_group(
        &self,
        at: usize,
        ordinal: usize,
    ) -> Result<(Vec<u8>, RowGroupMetaData), RecordsError> {
        let schema = self.file.schema_descr().root_schema_ptr();
        let mut alone =
            SerializedFileWriter::new(Vec::new(), schema, Arc::clone(self.file.properties()))?;
        write_group(&mut alone, &self.columns, &self.group)?;
        alone.flush().map_err(ParquetError::from)?;
        let [group] = alone.flushed_row_groups() else { return Err(RecordsError::Malformed) };
        let by = i64::try_from(at - MAGIC.len()).map_err(ParquetError::from)?;
        let ordinal = i32::try_from(ordinal).map_err(ParquetError::from)?;
        let group = moved(group, by)?.set_ordinal(ordinal).build()?;
        Ok((alone.inner()[MAGIC.len()..].to_vec(), group))
    }

    fn write_group(&mut self) -> Result<(), RecordsError> {
        write_group(&mut self.file, &self.columns, &self.group)?;
        self.rows += self.group.len() as u64;
        self.group.clear();
        self.token_times = 0;
        Ok(())
    }
}

fn write_group<W: Write + Send>(
    file: &mut SerializedFileWriter<W>,
    columns: &[Column],
    rows: &[Record],
) -> Result<(), RecordsError> {
    let mut group = file.next_row_group()?;
    for column in columns {
        let Some(mut writer) = group.next_column()? else { break };
        write_column(column, rows, &mut writer)?;
        writer.close()?;
    }
    group.close()?;
    Ok(())
}

/// What a file says of `group` when all of it lies `by` bytes further on.
pub(crate) fn moved(
    group: &RowGroupMetaData,
    by: i64,
) -> Result<RowGroupMetaDataBuilder, RecordsError> {
    let columns = group.columns().iter().map(|column| {
        let moved = column.clone().into_builder();
        let moved = moved.set_data_page_offset(column.data_page_offset() + by);
        let dictionary = column.dictionary_page_offset().map(|at| at + by);
        moved.set_dictionary_page_offset(dictionary).build()
    });
    let columns = columns.collect::<Result<_, _>>()?;
    let file_offset = group.file_offset().unwrap_or_default() + by;
    Ok(group.clone().into_builder().set_column_metadata(columns).set_file_offset(file_offset))
}

fn properties(about: &About) -> WriterProperties {
    let key = |name: &str, value: &str| KeyValue::new(name.to_owned(), value.to_owned());
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("llm-bench {}", about.version))
        .set_key_value_metadata(Some(vec![
            key("started_at", &about.started_at),
            key("model", &about.model),
            key("seed", &about.seed.to_string()),
            key("spec_hash", &about.spec_hash),
        ]))
        .set_dictionary_enabled(false);
    for column in COLUMNS {
        let path = ColumnPath::from(column.name);
        properties = match column.kind() {
            // Stamps grow from row to row: their differences are short.
            Kind::Whole => properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            Kind::Text => properties.set_column_dictionary_enabled(path, true),
            Kind::Number | Kind::Flag | Kind::Wholes => properties,
        };
    }
    let times = [TOKEN_TIMES.name, "list", "element"].map(str::to_owned).to_vec();
    properties.set_column_encoding(ColumnPath::new(times), Encoding::DELTA_BINARY_PACKED).build()
}

fn write_column(
    column: &Column,
    rows: &[Record],
    writer: &mut SerializedColumnWriter<'_>,
) -> Result<(), RecordsError> {
    match column.value {
        Value::Whole(of) => write::<Int64Type>(writer, rows.iter().map(|row| of(row).map(signed))),
        Value::Number(of) => write::<DoubleType>(writer, rows.iter().map(of)),
        Value::Text(of) => {
            write::<ByteArrayType>(writer, rows.iter().map(|row| of(row).map(ByteArray::from)))
        }
        Value::Flag(of) => write::<BoolType>(writer, rows.iter().map(of)),
        Value::Wholes(of) => write_lists(writer, rows.iter().map(of)),
    }
}

/// Values that may be absent.
fn write<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<(), RecordsError> {
    let (mut present, mut values_there) = (Vec::new(), Vec::new());
    for value in values {
        present.push(i16::from(value.is_some()));
        values_there.extend(value);
    }
    writer.typed::<T>().write_batch(&values_there, Some(&present), None)?;
    Ok(())
}

/// Lists, each of them there. In Parquet's terms an element is defined to level 2, an empty list
/// to level 1; the first element of a row repeats at level 0, the others at level 1.
fn write_lists<'a>(
    writer: &mut SerializedColumnWriter<'_>,
    lists: impl Iterator<Item = &'a [u64]>,
) -> Result<(), RecordsError> {
    let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for list in lists {
        if list.is_empty() {
            defined.push(1);
            repeated.push(0);
        }
        for (at, value) in list.iter().enumerate() {
            defined.push(2);
            repeated.push(i16::from(at > 0));
            values.push(signed(*value));
        }
    }
    writer.typed::<Int64Type>().write_batch(&values, Some(&defined), Some(&repeated))?;
    Ok(())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
