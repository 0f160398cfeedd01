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
        Self { endpoint: Endpoint::Chat, stream: true, extra_body: None, extra_headers: None }
    }
}
