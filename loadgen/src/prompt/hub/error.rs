//! What can go wrong between us and the hub.

use super::LARGEST_FILE;

/// Why the hub did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No answer.
    #[error("cannot reach {host}: {why}")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// What happened.
        why: String,
    },
    /// Unknown, private or gated: the hub does not say which.
    #[error(
        "no such {kind} on the hub, or it is private and HUGGINGFACE_TOKEN may not read it: {id}"
    )]
    Refused {
        /// `dataset` or `model`.
        kind: &'static str,
        /// The repository.
        id: String,
    },
    /// Any other status.
    #[error("{host} answered {status} for {what}")]
    Status {
        /// Who answered.
        host: String,
        /// The status.
        status: u16,
        /// What was asked for.
        what: String,
    },
    /// No listing, or one that cannot be meant.
    #[error("{host} answered with no listing of {id}: {why}")]
    Listing {
        /// Who answered.
        host: String,
        /// The repository.
        id: String,
        /// What is wrong.
        why: String,
    },
    /// Nothing in it that can be read.
    #[error("{kind} {id} has no {wanted}")]
    Without {
        /// `dataset` or `model`.
        kind: &'static str,
        /// The repository.
        id: String,
        /// What was looked for.
        wanted: String,
    },
    /// Too many bytes.
    #[error("{0} is larger than the {limit} MiB allowed", limit = LARGEST_FILE / 1024 / 1024)]
    TooLarge(String),
    /// The cache cannot be written.
    #[error("cannot keep {what} below DATA_DIR: {cause}")]
    Cache {
        /// What was fetched.
        what: String,
        /// What the system says.
        cause: std::io::Error,
    },
}

/// Why no hub can be asked.
#[derive(Debug, thiserror::Error)]
pub enum InvalidHub {
    /// Not a URL of http or https.
    #[error("HF_ENDPOINT must be an http or https URL, not `{0}`")]
    Endpoint(String),
    /// The token has characters that a header cannot hold.
    #[error("HUGGINGFACE_TOKEN has characters that no token has")]
    Token,
    /// No HTTP client, e.g. no root certificates.
    #[error("no HTTP client for the hub: {0}")]
    Client(String),
}
