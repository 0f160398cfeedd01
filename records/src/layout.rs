//! Where a file's row groups lie, and what is in one.
//!
//! Whoever reads brings the bytes: first the end of the file, then one row group after the other.

use std::{io, ops::Range, sync::Arc};

use bytes::{Buf as _, Bytes};
use parquet::{
    errors::{ParquetError, Result as ParquetResult},
    file::{
        metadata::{ParquetMetaData, ParquetMetaDataReader, page_index::RowGroupPageIndex},
        properties::ReaderProperties,
        reader::{ChunkReader, Length, RowGroupReader},
        serialized_reader::SerializedRowGroupReader,
    },
    record::{Row, reader::RowIter},
};

use crate::{RecordsError, writer::MAGIC};

/// What the end of a file gives.
#[derive(Debug)]
pub enum Tail {
    /// Where everything is.
    Whole(Layout),
    /// Nothing yet: this many bytes of the file's end are needed.
    Needs(u64),
}

/// Where everything is in a file.
#[derive(Clone, Debug)]
pub struct Layout {
    metadata: Arc<ParquetMetaData>,
    length: u64,
}

impl Layout {
    /// Bytes of the end that are enough for most files.
    pub const TAIL_BYTES: u64 = 256 * 1_024;

    /// Reads the last bytes, `tail`, of a file that is `length` bytes long.
    pub fn read(tail: &Bytes, length: u64) -> Result<Tail, RecordsError> {
        let mut reader = ParquetMetaDataReader::new();
        match reader.try_parse_sized(tail, length) {
            Ok(()) => {
                let metadata = Arc::new(reader.finish()?);
                Ok(Tail::Whole(Self { metadata, length }))
            }
            Err(ParquetError::NeedMoreData(needed)) => Ok(Tail::Needs(needed as u64)),
            Err(error) => Err(error.into()),
        }
    }

    /// The names of its columns.
    pub fn columns(&self) -> Vec<String> {
        let schema = self.metadata.file_metadata().schema();
        schema.get_fields().iter().map(|field| field.name().to_owned()).collect()
    }

    /// Rows in all groups.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.metadata.file_metadata().num_rows()).unwrap_or_default()
    }

    /// What the file says of its run: `started_at`, `model`, `seed`, `spec_hash`.
    pub fn about(&self, name: &str) -> Option<&str> {
        let all = self.metadata.file_metadata().key_value_metadata()?;
        all.iter().find(|pair| pair.key == name)?.value.as_deref()
    }

    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    /// Which bytes all of its row groups take; none of them where it has none.
    ///
    /// # Errors
    ///
    /// Where the file contradicts itself.
    pub(crate) fn body(&self) -> Result<Range<u64>, RecordsError> {
        let first = MAGIC.len() as u64;
        (0..self.groups()).try_fold(first..first, |body, group| {
            let range = self.range(group)?;
            if range.start < first {
                return Err(RecordsError::Malformed);
            }
            Ok(first..body.end.max(range.end))
        })
    }

    /// How many row groups it has.
    pub fn groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    /// Which bytes row group `group` takes.
    ///
    /// # Errors
    ///
    /// Where the file contradicts itself.
    pub fn range(&self, group: usize) -> Result<Range<u64>, RecordsError> {
        let columns = self.metadata.row_group(group).columns();
        let (mut from, mut to) = (u64::MAX, 0);
        for column in columns {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let (Ok(start), Ok(length)) =
                (u64::try_from(start), u64::try_from(column.compressed_size()))
            else {
                return Err(RecordsError::Malformed);
            };
            from = from.min(start);
            to = to.max(start.saturating_add(length));
        }
        if from < to && to <= self.length { Ok(from..to) } else { Err(RecordsError::Malformed) }
    }

    /// The rows of row group `group`, whose bytes are `bytes`.
    pub(crate) fn each_row(
        &self,
        group: usize,
        bytes: Bytes,
        mut take: impl FnMut(&Row) -> Result<(), RecordsError>,
    ) -> Result<(), RecordsError> {
        let start = self.range(group)?.start;
        let window = Arc::new(Window { start, bytes, length: self.length });
        let properties = Arc::new(ReaderProperties::builder().build());
        let of_group = self.metadata.row_group(group);
        let pages = RowGroupPageIndex::new(group, None);
        let reader = SerializedRowGroupReader::new(window, of_group, pages, properties)?;
        let reader: &dyn RowGroupReader = &reader;
        for row in RowIter::from_row_group(None, reader)? {
            take(&row?)?;
        }
        Ok(())
    }
}

/// The part of a file that is at hand.
struct Window {
    start: u64,
    bytes: Bytes,
    length: u64,
}

impl Window {
    fn from(&self, start: u64) -> ParquetResult<Bytes> {
        let at = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        match at {
            Some(at) if at <= self.bytes.len() => Ok(self.bytes.slice(at..)),
            _ => Err(ParquetError::EOF(format!("byte {start} is not in this row group"))),
        }
    }
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Window {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let rest = self.from(start)?;
        if length > rest.len() {
            let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(ParquetError::External(cut.into()));
        }
        Ok(rest.slice(..length))
    }
}
