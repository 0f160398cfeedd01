//! Failures keep their story: "30 % failed" is useless, "30 % had no first token in 10 s" a finding.

use std::{io, time::Duration};

use shared::report::FailureClass;
use target::{Blocked, client::ConnectFailure};

/// Why one request did not count, ordered by how far it got.
#[derive(Debug, thiserror::Error)]
pub enum RequestFailure {
    /// The address must not be reached.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// No TCP connection.
    #[error("could not connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke before the answer began.
    #[error("the connection broke before the answer began: {0}")]
    BrokenBeforeAnswer(String),
    /// No TLS session.
    #[error("no TLS session: {0}")]
    Tls(#[source] io::Error),
    /// No connection in time.
    #[error("no connection within {0:?}")]
    TimeoutConnect(Duration),
    /// No token in time.
    #[error("no token within {0:?}")]
    TimeoutFirstToken(Duration),
    /// The stream stood still.
    #[error("the stream stood still for {idle:?} after {events} token events")]
    TimeoutIdle {
        /// The limit.
        idle: Duration,
        /// Token events until then.
        events: usize,
    },
    /// Not over in time.
    #[error("not over within {0:?}")]
    TimeoutTotal(Duration),
    /// Any status but 200.
    #[error("refused with HTTP {status}{}: {excerpt}", retry_after.as_ref().map(|after| format!(" (Retry-After: {after})")).unwrap_or_default())]
    Status {
        /// The status.
        status: u16,
        /// The first 2 KiB of the body.
        excerpt: String,
        /// The `Retry-After` header.
        retry_after: Option<String>,
    },
    /// An `error` object inside a 200 answer.
    #[error("an error inside the answer: {0}")]
    StreamError(String),
    /// The stream ended without saying so.
    #[error("the stream ended with neither a finish_reason nor [DONE] after {events} token events{}", cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default())]
    Truncated {
        /// Token events until then.
        events: usize,
        /// What broke, where something did.
        cause: Option<String>,
    },
    /// An answer that was not streamed ended in its middle.
    #[error("the answer broke off: {0}")]
    BrokenOff(String),
    /// Something that is not the dialect's JSON.
    #[error("not an answer of this endpoint: {0}")]
    Malformed(String),
    /// Complete, but without a token.
    #[error("the answer was complete and empty")]
    EmptyOutput,
}

impl From<ConnectFailure> for RequestFailure {
    fn from(failure: ConnectFailure) -> Self {
        match failure {
            ConnectFailure::Blocked(blocked) => Self::Blocked(blocked),
            ConnectFailure::Tcp(error) => Self::Connect(error),
            ConnectFailure::Tls(error) => Self::Tls(error),
            ConnectFailure::Http2(words) => Self::Connect(io::Error::other(words)),
            ConnectFailure::Timeout(limit) => Self::TimeoutConnect(limit),
        }
    }
}

impl RequestFailure {
    /// The same with what the target said passed through `scrub`.
    #[must_use]
    pub fn scrubbed(self, scrub: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Status { status, excerpt, retry_after } => {
                Self::Status { status, excerpt: scrub(&excerpt), retry_after }
            }
            Self::StreamError(words) => Self::StreamError(scrub(&words)),
            Self::Malformed(words) => Self::Malformed(scrub(&words)),
            other => other,
        }
    }

    /// The class it is counted in.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Blocked(_) | Self::Connect(_) | Self::BrokenBeforeAnswer(_) => {
                FailureClass::Connect
            }
            Self::Tls(_) => FailureClass::Tls,
            Self::TimeoutConnect(_) => FailureClass::TimeoutConnect,
            Self::TimeoutFirstToken(_) => FailureClass::TimeoutFirstToken,
            Self::TimeoutIdle { .. } => FailureClass::TimeoutIdle,
            Self::TimeoutTotal(_) => FailureClass::TimeoutTotal,
            Self::Status { status: 429, .. } => FailureClass::Http429,
            Self::Status { status: 500.., .. } => FailureClass::Http5xx,
            Self::Status { .. } => FailureClass::Http4xx,
            Self::StreamError(_) => FailureClass::StreamError,
            Self::Truncated { .. } | Self::BrokenOff(_) => FailureClass::Truncated,
            Self::Malformed(_) => FailureClass::Malformed,
            Self::EmptyOutput => FailureClass::EmptyOutput,
        }
    }
}
