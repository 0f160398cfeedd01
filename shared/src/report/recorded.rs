//! What became of the requests' own rows.

use serde::{Deserialize, Serialize};

/// How many requests have a row in the requests file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Recorded {
    /// Rows in the file: `requests.started`, unless some are missing.
    pub rows: u64,
    /// Requests whose rows were left out: the file was written too slowly, or another of several
    /// runners sent them.
    pub missing: u64,
    /// Why there is no file, or only a broken one; none: there is.
    pub error: Option<String>,
}
