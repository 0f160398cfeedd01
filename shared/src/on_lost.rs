//! What becomes of a run whose runner goes silent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What becomes of a run whose runner goes silent after it has begun to send load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum OnLost {
    /// It is `lost`, with what was measured until then: its load is never repeated.
    #[default]
    Fail,
    /// It is queued again, up to three tries in all: its load may be sent more than once.
    Rerun,
}

impl OnLost {
    /// What a request names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Rerun => "rerun",
        }
    }

    /// Whether it is what happens unless somebody asks for something else.
    pub fn is_fail(&self) -> bool {
        *self == Self::Fail
    }
}

impl TryFrom<String> for OnLost {
    type Error = UnknownOnLost;

    fn try_from(name: String) -> Result<Self, UnknownOnLost> {
        let known = [Self::Fail, Self::Rerun].into_iter().find(|it| it.as_str() == name);
        known.ok_or_else(|| UnknownOnLost(name.chars().take(64).collect()))
    }
}

/// A word that is none of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("on_lost must be one of fail, rerun, not `{0}`")]
pub struct UnknownOnLost(String);

impl fmt::Display for OnLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
