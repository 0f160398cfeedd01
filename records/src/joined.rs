//! Several files as one, without a look at their rows.

use std::ops::Range;

use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::metadata::{
        FileMetaData, ParquetMetaDataBuilder, ParquetMetaDataWriter, RowGroupMetaData,
    },
};

use crate::{
    Layout, RecordsError,
    writer::{MAGIC, moved},
};

/// Several files as one: [`Self::HEAD`], the bytes that [`Self::bodies`] names of each file, as they
/// are, and [`Self::tail`].
///
/// It says of its run what the first of them says, and has its columns. Page indexes stay behind:
/// they name places of the file that they were made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Which bytes of each file there are its row groups; empty: it has none.
    pub bodies: Vec<Range<u64>>,
    /// What comes after them.
    pub tail: Bytes,
}

impl Joined {
    /// What comes before them.
    pub const HEAD: &'static [u8] = MAGIC;

    /// The file of all rows of `files`, in their order.
    ///
    /// # Errors
    ///
    /// [`RecordsError::Columns`] where they have not the same columns, [`RecordsError::Malformed`]
    /// where one contradicts itself, or there is none.
    pub fn of(files: &[Layout]) -> Result<Self, RecordsError> {
        let Some(first) = files.first() else { return Err(RecordsError::Malformed) };
        let about = first.metadata().file_metadata();
        let (mut bodies, mut groups) = (Vec::with_capacity(files.len()), Vec::new());
        let mut at = MAGIC.len() as u64;
        for file in files {
            let theirs = file.metadata().file_metadata().schema_descr();
            if theirs.root_schema() != about.schema_descr().root_schema() {
                return Err(RecordsError::Columns);
            }
            let body = file.body()?;
            let by = i64::try_from(at - body.start).map_err(ParquetError::from)?;
            for group in file.metadata().row_groups() {
                let ordinal = i32::try_from(groups.len()).map_err(ParquetError::from)?;
                groups.push(moved(group, by)?.set_ordinal(ordinal).build()?);
            }
            at += body.end - body.start;
            bodies.push(body);
        }
        let about = FileMetaData::new(
            about.version(),
            groups.iter().map(RowGroupMetaData::num_rows).sum(),
            about.created_by().map(str::to_owned),
            about.key_value_metadata().cloned(),
            about.schema_descr_ptr(),
            None,
        );
        let whole = ParquetMetaDataBuilder::new(about).set_row_groups(groups).build();
        let mut tail = Vec::new();
        let writer = ParquetMetaDataWriter::new(&mut tail, &whole);
        writer.with_preserve_page_index_locations(false).finish()?;
        Ok(Self { bodies, tail: tail.into() })
    }
}
