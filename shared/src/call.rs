//! How the target is asked: which endpoint of the dialect, streamed or not.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ExtraBody, ExtraHeaders};

/// An endpoint of the OpenAI dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    #[default]
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/responses`.
    Responses,
    /// `/v1/embeddings`: one answer without a text, never streamed.
    Embeddings,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Chat, Self::Completions, Self::Responses, Self::Embeddings];

    /// What a request names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
        }
    }

    /// Its path below the target's `/v1/`.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
        }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = UnknownEndpoint;

    fn try_from(name: String) -> Result<Self, UnknownEndpoint> {
        let known = Self::ALL.into_iter().find(|endpoint| endpoint.as_str() == name);
        known.ok_or_else(|| UnknownEndpoint(name.chars().take(64).collect()))
    }
}

/// A name that no endpoint has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("endpoint must be one of chat, completions, responses, embeddings, not `{0}`")]
pub struct UnknownEndpoint(String);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A version of HTTP that a target is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum))]
pub enum HttpVersion {
    /// HTTP/1.1: a connection carries one request at a time.
    #[default]
    #[serde(rename = "1.1")]
    #[cfg_attr(feature = "openapi", oai(rename = "1.1"))]
    Http1,
    /// HTTP/2: a connection carries many at once. By ALPN on https, by prior knowledge on http.
    #[serde(rename = "2")]
    #[cfg_attr(feature = "openapi", oai(rename = "2"))]
    Http2,
}

impl HttpVersion {
    /// What a request names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "1.1",
            Self::Http2 => "2",
        }
    }

    /// Whether it is the version of old.
    pub fn is_1(&self) -> bool {
        *self == Self::Http1
    }
}

impl TryFrom<String> for HttpVersion {
    type Error = UnknownHttpVersion;

    fn try_from(name: String) -> Result<Self, UnknownHttpVersion> {
        let known = [Self::Http1, Self::Http2].into_iter().find(|it| it.as_str() == name);
        known.ok_or_else(|| UnknownHttpVersion(name.chars().take(64).collect()))
    }
}

/// A version that nobody speaks here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("http_version must be 1.1 or 2, not `{0}`")]
pub struct UnknownHttpVersion(String);

impl fmt::Display for HttpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the target is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Call {
    /// The endpoint.
    #[serde(default)]
    pub endpoint: Endpoint,
    /// Whether answers are streamed.
    #[serde(default = "yes")]
    #[cfg_attr(feature = "openapi", oai(default = "yes"))]
    pub stream: bool,
    /// Members of every request's body, over those that the spec sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", oai(default, skip_serializing_if_is_none))]
    pub extra_body: Option<ExtraBody>,
    /// Headers of every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", oai(default, skip_serializing_if_is_none))]
    pub extra_headers: Option<ExtraHeaders>,
    /// The version of HTTP.
    #[serde(default, skip_serializing_if = "HttpVersion::is_1")]
    #[cfg_attr(feature = "openapi", oai(default, skip_serializing_if = "HttpVersion::is_1"))]
    pub http_version: HttpVersion,
}

fn yes() -> bool {
    true
}

impl Call {
    /// Whether it is what is asked for where nothing else is said.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Call {
    /// A streamed chat.
    fn default() -> Self {
        Self {
            endpoint: Endpoint::Chat,
            stream: true,
            extra_body: None,
            extra_headers: None,
            http_version: HttpVersion::Http1,
        }
    }
}
