//! What can go wrong between us and a target, when nothing is measured.

use std::{error::Error, io, time::Duration};

use crate::{Blocked, ResolveFailure};

/// Why a call to a target brought nothing. What it quotes of the target is short, printable and
/// without the key.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Its address must not be reached.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// The key has characters that no header takes.
    #[error("the target's key has characters that an HTTP header cannot carry")]
    UnusableKey,
    /// TLS or the client could not be set up: ours, not the target's.
    #[error("cannot set up a client for the target: {0}")]
    Setup(String),
    /// No connection, or it broke before the answer was whole.
    #[error("the target cannot be reached: {0}")]
    Unreachable(String),
    /// No whole answer in time.
    #[error("the target did not answer within {within:?}")]
    Timeout {
        /// The limit.
        within: Duration,
    },
    /// A 3xx.
    #[error(
        "the target redirects (HTTP {status}{}), and redirects are not followed; give the final address as url",
        location.as_ref().map(|location| format!(" to `{location}`")).unwrap_or_default()
    )]
    Redirect {
        /// The status.
        status: u16,
        /// Where to, at most 256 bytes.
        location: Option<String>,
    },
    /// A 4xx or 5xx.
    #[error("the target refused with HTTP {status}: {}", if excerpt.is_empty() { "(no body)" } else { excerpt })]
    Status {
        /// The status.
        status: u16,
        /// The first 2 KiB of the body.
        excerpt: String,
        /// The `Retry-After` header.
        retry_after: Option<String>,
    },
    /// A body that is compressed though nobody asked for it.
    #[error("the target's answer has the content-encoding `{0}`, which was not asked for")]
    Encoded(String),
    /// A body beyond the cap.
    #[error("the target's answer is larger than {max_bytes} bytes")]
    TooLarge {
        /// The cap.
        max_bytes: usize,
    },
    /// A 200 that is not the dialect's JSON.
    #[error("the target's answer is not the JSON of an OpenAI-compatible server: {}", if .0.is_empty() { "(no body)" } else { .0 })]
    NotJson(String),
    /// JSON, but no list of models.
    #[error("the target's answer lists no models: {0}")]
    NotAList(String),
    /// An `error` in a 200.
    #[error("the target answered with an error: {0}")]
    Refused(String),
    /// No model was named, and the target lists none.
    #[error("no model was named, and the target lists none")]
    NoModel,
}

impl From<ResolveFailure> for TargetError {
    fn from(failure: ResolveFailure) -> Self {
        match failure {
            ResolveFailure::Blocked(blocked) => Self::Blocked(blocked),
            failure @ ResolveFailure::Dns(_) => Self::Unreachable(failure.to_string()),
        }
    }
}

impl TargetError {
    /// What reqwest says, sorted by what happened.
    pub(crate) fn of(error: reqwest::Error, within: Duration) -> Self {
        let error = error.without_url();
        let mut words = Vec::new();
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(link) = cause {
            match link.downcast_ref::<ResolveFailure>() {
                Some(ResolveFailure::Blocked(blocked)) => return Self::Blocked(*blocked),
                Some(dns @ ResolveFailure::Dns(_)) => return Self::Unreachable(dns.to_string()),
                None => (),
            }
            if let Some(blocked) = link.downcast_ref::<Blocked>() {
                return Self::Blocked(*blocked);
            }
            // The operating system's words say it best; the wrappers only repeat "connect error".
            if let Some(io) = link.downcast_ref::<io::Error>()
                && io.raw_os_error().is_some()
            {
                return Self::Unreachable(io.to_string());
            }
            words.push(link.to_string());
            cause = link.source();
        }
        if error.is_timeout() {
            return Self::Timeout { within };
        }
        Self::Unreachable(words.join(": "))
    }
}
