//! Errors as a client reads them: RFC 9457 problem details.

use serde::{Deserialize, Serialize};

/// RFC 9457 problem details; `message` repeats `detail` for readers of the original service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Problem {
    /// A relative reference that names the kind, e.g. `/problems/validation`.
    pub r#type: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The same as `detail`.
    pub message: String,
    /// The kind as one word, for programs.
    pub code: String,
    /// Which fields were refused, where it was about fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", oai(skip_serializing_if_is_empty, default))]
    pub errors: Vec<FieldError>,
    /// What our log calls this, where the cause is only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", oai(skip_serializing_if_is_none))]
    pub trace_id: Option<String>,
}

/// One refused field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct FieldError {
    /// JSON pointer to the field, e.g. `/user`.
    pub pointer: String,
    /// What is wrong with it, and the limit.
    pub detail: String,
}

impl FieldError {
    /// An error of the top-level field `field`.
    pub fn new(field: &str, detail: impl Into<String>) -> Self {
        Self { pointer: format!("/{field}"), detail: detail.into() }
    }

    /// The field's name.
    pub fn field(&self) -> &str {
        self.pointer.trim_start_matches('/')
    }
}
