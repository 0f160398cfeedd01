//! The server under test, by name.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

/// The base URL of an OpenAI-compatible server: http or https, no credentials, no query, no
/// fragment. Written with or without a trailing `/v1`; kept without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl {
    /// As the client wrote it: it is what the client reads back.
    given: String,
    base: Url,
}

impl TargetUrl {
    /// Longest URL accepted, in characters.
    pub const MAX_CHARS: usize = 2_048;

    /// The URL as the client wrote it.
    pub fn given(&self) -> &str {
        &self.given
    }

    /// The normalised base, without `/v1` and without a slash at its end.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The URL of an endpoint, e.g. `endpoint("chat/completions")` for `…/v1/chat/completions`.
    pub fn endpoint(&self, path: &str) -> Url {
        self.beside_v1(&format!("v1/{path}"))
    }

    /// The URL of what a server has beside its `/v1`, e.g. `beside_v1("metrics")`.
    pub fn beside_v1(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let prefix = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{prefix}/{path}"));
        url
    }

    /// Host name or literal address, as the URL parser normalised it (`0x7f.1` is `127.0.0.1`).
    #[expect(clippy::missing_panics_doc, reason = "`TryFrom` refuses URLs without a host")]
    pub fn host(&self) -> url::Host<&str> {
        self.base.host().expect("TryFrom refuses URLs without a host")
    }

    /// The port, given or implied by the scheme.
    #[expect(clippy::missing_panics_doc, reason = "http and https have default ports")]
    pub fn port(&self) -> u16 {
        self.base.port_or_known_default().expect("http and https have default ports")
    }

    /// What this server is called where one active run per target is kept.
    pub fn key(&self) -> TargetKey {
        let path = self.base.path().trim_end_matches('/');
        TargetKey(format!("{}://{}:{}{path}", self.base.scheme(), self.host(), self.port()))
    }
}

impl TryFrom<String> for TargetUrl {
    type Error = InvalidTarget;

    fn try_from(given: String) -> Result<Self, InvalidTarget> {
        if given.chars().count() > Self::MAX_CHARS {
            return Err(InvalidTarget::TooLong);
        }
        let mut base = Url::parse(given.trim()).map_err(InvalidTarget::Unreadable)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(InvalidTarget::Scheme(base.scheme().to_owned()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(InvalidTarget::Credentials);
        }
        if base.fragment().is_some() {
            return Err(InvalidTarget::Fragment);
        }
        if base.query().is_some() {
            return Err(InvalidTarget::Query);
        }
        if base.host_str().is_none_or(str::is_empty) {
            return Err(InvalidTarget::NoHost);
        }
        if base.port_or_known_default() == Some(0) {
            return Err(InvalidTarget::Port);
        }
        let path = base.path().trim_end_matches('/');
        let path = path.strip_suffix("/v1").unwrap_or(path).trim_end_matches('/').to_owned();
        base.set_path(&path);
        Ok(Self { given: given.trim().to_owned(), base })
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

impl Serialize for TargetUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.given.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TargetUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

/// Why a URL cannot name a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// No URL at all, as the parser says.
    #[error("url cannot be read: {0}")]
    Unreadable(url::ParseError),
    /// Neither http nor https.
    #[error("url must start with http:// or https://, not {0}:")]
    Scheme(String),
    /// `user:password@` in the URL.
    #[error("url must not hold credentials; give the key as api_key")]
    Credentials,
    /// `#…` in the URL.
    #[error("url must not have a fragment")]
    Fragment,
    /// `?…` in the URL.
    #[error("url must not have a query")]
    Query,
    /// No host.
    #[error("url names no host")]
    NoHost,
    /// Port 0.
    #[error("url must have a port between 1 and 65535, not 0")]
    Port,
    /// Too many characters.
    #[error("url must be at most {max} characters long", max = TargetUrl::MAX_CHARS)]
    TooLong,
}

/// Scheme, host, port and path prefix of a target: at most one active run each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetKey(String);

impl TargetKey {
    /// The key as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of a model as the target lists it, at most [`ModelName::MAX_CHARS`] long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelName(pub String);

impl ModelName {
    /// Longest model id accepted, in characters.
    pub const MAX_CHARS: usize = 256;
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<TargetUrl, InvalidTarget> {
        url.to_owned().try_into()
    }

    #[test]
    fn the_same_server_has_one_key_however_it_is_written() {
        for url in ["http://LLM.example:80", "http://llm.example/", "http://llm.example/v1/"] {
            assert_eq!(target(url).unwrap().key().as_str(), "http://llm.example:80");
        }
        assert_eq!(
            target("http://0x7f.1:8000/v1").unwrap().key().as_str(),
            "http://127.0.0.1:8000"
        );
    }

    #[test]
    fn an_endpoint_keeps_the_path_prefix() {
        let url = target("https://gateway.example/llm/v1").unwrap();
        assert_eq!(url.endpoint("models").as_str(), "https://gateway.example/llm/v1/models");
        assert_eq!(url.beside_v1("metrics").as_str(), "https://gateway.example/llm/metrics");
    }

    #[test]
    fn what_cannot_be_a_target_says_why() {
        assert_eq!(target("ftp://x").unwrap_err(), InvalidTarget::Scheme("ftp".into()));
        assert_eq!(target("http://u:p@x").unwrap_err(), InvalidTarget::Credentials);
        assert_eq!(target("http://x/#a").unwrap_err(), InvalidTarget::Fragment);
        assert_eq!(target("http://x/?a").unwrap_err(), InvalidTarget::Query);
        assert_eq!(target("http://x:0/").unwrap_err(), InvalidTarget::Port);
        assert!(matches!(target("llm.example").unwrap_err(), InvalidTarget::Unreadable(_)));
        assert!(matches!(target("http://").unwrap_err(), InvalidTarget::Unreadable(_)));
        assert_eq!(
            target(&format!("http://{}", "x".repeat(3000))).unwrap_err(),
            InvalidTarget::TooLong
        );
    }
}
