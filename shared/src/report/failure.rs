//! What failed, by class, and why answers ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One class of failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Failure {
    /// The class.
    pub class: FailureClass,
    /// Requests in it.
    pub count: u64,
    /// The first of them in words, with up to 2 KiB of what the target said.
    pub sample: String,
}

/// Why a request did not count, ordered by how far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The name did not resolve.
    Dns,
    /// No TCP connection, or it broke before the answer began.
    Connect,
    /// No TLS session.
    Tls,
    /// No connection in time.
    TimeoutConnect,
    /// No token in time.
    TimeoutFirstToken,
    /// No byte in time, after the first token.
    TimeoutIdle,
    /// Not over in time.
    TimeoutTotal,
    /// Status 429.
    #[serde(rename = "http_429")]
    #[cfg_attr(feature = "openapi", oai(rename = "http_429"))]
    Http429,
    /// Any other status of 3xx or 4xx.
    #[serde(rename = "http_4xx")]
    #[cfg_attr(feature = "openapi", oai(rename = "http_4xx"))]
    Http4xx,
    /// A status of 5xx.
    #[serde(rename = "http_5xx")]
    #[cfg_attr(feature = "openapi", oai(rename = "http_5xx"))]
    Http5xx,
    /// An `error` object inside a 200 stream.
    StreamError,
    /// The stream ended with neither a `finish_reason` nor `[DONE]`.
    Truncated,
    /// An event that is not the dialect's JSON.
    Malformed,
    /// Complete, but no token event.
    EmptyOutput,
}

impl FailureClass {
    /// The word it is sent as.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::TimeoutConnect => "timeout_connect",
            Self::TimeoutFirstToken => "timeout_first_token",
            Self::TimeoutIdle => "timeout_idle",
            Self::TimeoutTotal => "timeout_total",
            Self::Http429 => "http_429",
            Self::Http4xx => "http_4xx",
            Self::Http5xx => "http_5xx",
            Self::StreamError => "stream_error",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::EmptyOutput => "empty_output",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why answers ended: counts of completed requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct FinishReasons {
    /// The model's own end, or a stop sequence.
    pub stop: u64,
    /// The asked length.
    pub length: u64,
    /// A tool call.
    pub tool_calls: u64,
    /// A filter.
    pub content_filter: u64,
    /// Any other word.
    pub other: u64,
    /// `[DONE]` without a reason.
    pub missing: u64,
}

impl FinishReasons {
    /// Adds the counts of other answers.
    pub fn add(&mut self, other: &Self) {
        self.stop += other.stop;
        self.length += other.length;
        self.tool_calls += other.tool_calls;
        self.content_filter += other.content_filter;
        self.other += other.other;
        self.missing += other.missing;
    }
}
