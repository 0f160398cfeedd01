//! What a request carries beside what its spec says: members of its body, headers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Members of every request's body, over those that the spec sets; null leaves one out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct ExtraBody(Map<String, Value>);

/// Members that say what a request asks, and of whom: nothing may stand over them.
const FIXED: &[&str] = &["model", "messages", "prompt", "input", "stream"];

/// Members with a field of their own, which may only be left out here.
const OF_FIELDS: &[&str] =
    &["max_tokens", "max_output_tokens", "min_tokens", "ignore_eos", "temperature", "top_p"];

impl ExtraBody {
    /// Longest JSON, in bytes.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// The members.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Whether it leaves `name` out.
    pub fn leaves_out(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(Value::is_null)
    }
}

impl TryFrom<Map<String, Value>> for ExtraBody {
    type Error = InvalidExtra;

    fn try_from(members: Map<String, Value>) -> Result<Self, InvalidExtra> {
        for (name, value) in &members {
            if FIXED.contains(&name.as_str()) {
                return Err(InvalidExtra::Fixed(name.clone()));
            }
            if OF_FIELDS.contains(&name.as_str()) && !value.is_null() {
                return Err(InvalidExtra::OwnField(name.clone()));
            }
        }
        let members = Value::Object(members);
        let written = members.to_string();
        if written.len() > Self::MAX_BYTES {
            return Err(InvalidExtra::BodyTooLarge);
        }
        if written.contains("\\u0000") {
            return Err(InvalidExtra::Nul);
        }
        match members {
            Value::Object(members) => Ok(Self(members)),
            _ => Ok(Self(Map::new())),
        }
    }
}

impl From<ExtraBody> for Map<String, Value> {
    fn from(extra: ExtraBody) -> Self {
        extra.0
    }
}

/// Headers of every request to the target. They are no secret: they are shown with the benchmark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct ExtraHeaders(BTreeMap<String, String>);

/// Headers that are this connection's, or the instrument's own.
const RESERVED: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What is in the names of headers that hold secrets.
const SECRET: &[&str] =
    &["authorization", "authenticat", "api-key", "apikey", "cookie", "secret", "password"];

impl ExtraHeaders {
    /// Most headers.
    pub const MAX: usize = 32;
    /// Most bytes of all names and values.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// Names in lower case, and values.
    pub fn each(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl TryFrom<BTreeMap<String, String>> for ExtraHeaders {
    type Error = InvalidExtra;

    fn try_from(given: BTreeMap<String, String>) -> Result<Self, InvalidExtra> {
        if given.len() > Self::MAX {
            return Err(InvalidExtra::TooManyHeaders(given.len()));
        }
        if given.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            > Self::MAX_BYTES
        {
            return Err(InvalidExtra::HeadersTooLarge);
        }
        let mut headers = BTreeMap::new();
        for (given, value) in given {
            let name = given.to_ascii_lowercase();
            let shown = || name.chars().take(64).collect::<String>();
            if name.is_empty() || !name.bytes().all(is_name_byte) {
                return Err(InvalidExtra::HeaderName(shown()));
            }
            if RESERVED.contains(&name.as_str()) {
                return Err(InvalidExtra::ReservedHeader(name));
            }
            let secret = SECRET.iter().any(|word| name.contains(word));
            if secret || name == "token" || name.ends_with("-token") {
                return Err(InvalidExtra::SecretHeader(name));
            }
            let visible = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            if !visible || value.trim() != value {
                return Err(InvalidExtra::HeaderValue(name));
            }
            if headers.insert(name.clone(), value).is_some() {
                return Err(InvalidExtra::HeaderTwice(name));
            }
        }
        Ok(Self(headers))
    }
}

impl From<ExtraHeaders> for BTreeMap<String, String> {
    fn from(headers: ExtraHeaders) -> Self {
        headers.0
    }
}

/// Whether a byte may stand in a header's name (RFC 9110, section 5.6.2).
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Why extra members or headers are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExtra {
    /// A member that nothing may stand over.
    #[error("extra_body must not hold `{0}`: it is what the benchmark itself says")]
    Fixed(String),
    /// A member with a field of its own.
    #[error(
        "extra_body may hold `{0}` only as null, which leaves it out; its value has a field of its own"
    )]
    OwnField(String),
    /// Too long.
    #[error("extra_body must be at most {} bytes of JSON", ExtraBody::MAX_BYTES)]
    BodyTooLarge,
    /// A NUL.
    #[error("extra_body must not contain NUL characters")]
    Nul,
    /// Too many.
    #[error("extra_headers must be at most {max} headers, not {0}", max = ExtraHeaders::MAX)]
    TooManyHeaders(usize),
    /// Too long.
    #[error("extra_headers must be at most {} bytes of names and values", ExtraHeaders::MAX_BYTES)]
    HeadersTooLarge,
    /// No name of a header.
    #[error("extra_headers: `{0}` cannot be the name of a header")]
    HeaderName(String),
    /// A header of the connection's or the instrument's.
    #[error("extra_headers must not hold `{0}`: the service sets it, or the connection needs it")]
    ReservedHeader(String),
    /// A secret.
    #[error(
        "extra_headers must not hold `{0}`: they are shown with the benchmark; give the target's key as api_key"
    )]
    SecretHeader(String),
    /// No value of a header.
    #[error("extra_headers: the value of `{0}` must be visible ASCII, without blanks at its ends")]
    HeaderValue(String),
    /// The same name twice, but for its case.
    #[error("extra_headers holds `{0}` twice")]
    HeaderTwice(String),
}
