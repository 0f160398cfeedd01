//! What became of the requests' own rows.

use serde::{Deserialize, Serialize};

/// How many requests have a row in the requests file when the run ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Recorded {
    /// Rows in the file: `requests.started`, unless some are missing.
    pub rows: u64,
    /// Requests without one: the file was written too slowly, or one of several runners has not kept
    /// its rows.
    pub missing: u64,
    /// Why there is no file, or only a broken one, or one without the rows of some of several
    /// runners; none: there is.
    pub error: Option<String>,
}
