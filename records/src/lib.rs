//! The requests of a run, one row each: what is known of them, and the file it is kept in.
//!
//! The instrument writes it, the API and the command line read it; this crate is what they agree
//! on. Parquet is written and read a row group at a time, so that neither side ever holds a whole
//! run. No I/O of its own, no async, no clock: it is given something to write to, and pieces of a
//! file to read.

mod checkpoint;
mod columns;
mod joined;
mod layout;
mod record;
mod text;
mod writer;

pub use checkpoint::Checkpoint;
pub use columns::{COLUMNS, Column, Kind, TOKEN_TIMES};
pub use joined::Joined;
pub use layout::{Layout, Tail};
pub use record::{Connection, Outcome, Record};
pub use text::TextFormat;
pub use writer::{About, GROUP_ROWS, Writer, Written};

/// Why records cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The file, or what it is written to.
    #[error(transparent)]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A row that cannot be put as CSV.
    #[error("a row cannot be put as CSV")]
    Csv(#[from] csv::Error),
    /// Files that are to be one and cannot.
    #[error("the files of the requests have not the same columns")]
    Columns,
    /// A file whose parts are not where it says.
    #[error("the file of the requests is cut off or not one of ours")]
    Malformed,
}
