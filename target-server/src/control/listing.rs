//! The list of models: what servers write, read leniently. Pure.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::NAME_BYTES;
use crate::excerpt;

/// Most models kept of a list.
const MAX_MODELS: usize = 1_000;

/// A model as the target lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its id, which requests name it by.
    pub id: String,
    /// Who the target says owns it.
    pub owned_by: Option<String>,
    /// Most tokens of prompt and answer together, where the target says so: `max_model_len`, or
    /// llama.cpp's `meta.n_ctx` or `meta.n_ctx_train`.
    pub max_model_len: Option<u64>,
}

/// Why a body lists no models.
pub(super) enum NoList {
    /// It is no JSON.
    NotJson,
    /// It is something else.
    NotAList,
    /// It is an `error`, in the target's words.
    Error(String),
}

/// Reads the body of a list.
pub(super) fn read(body: &[u8]) -> Result<Vec<Model>, NoList> {
    let listed: Listed = serde_json::from_slice(body).map_err(|_| NoList::NotJson)?;
    if let Some(error) = listed.error.filter(|error| !error.is_null()) {
        let words = error.get("message").or(Some(&error)).and_then(Value::as_str);
        return Err(NoList::Error(words.map_or_else(|| error.to_string(), str::to_owned)));
    }
    let models = listed.data.or(listed.models).ok_or(NoList::NotAList)?;
    Ok(models.into_iter().filter_map(ListedModel::read).take(MAX_MODELS).collect())
}

/// `data` by the dialect; `models` as some servers call it.
#[derive(Deserialize)]
struct Listed {
    data: Option<Vec<ListedModel>>,
    models: Option<Vec<ListedModel>>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ListedModel {
    Id(String),
    Object {
        id: Option<String>,
        name: Option<String>,
        owned_by: Option<String>,
        max_model_len: Option<u64>,
        meta: Option<Value>,
    },
    /// Something without an id that can be read.
    Other(IgnoredAny),
}

impl ListedModel {
    fn read(self) -> Option<Model> {
        let (id, owned_by, max_model_len) = match self {
            Self::Id(id) => (id, None, None),
            Self::Object { id, name, owned_by, max_model_len, meta } => {
                let told = |name| meta.as_ref()?.get(name)?.as_u64().filter(|tokens| *tokens > 0);
                let context =
                    max_model_len.or_else(|| told("n_ctx")).or_else(|| told("n_ctx_train"));
                (id.or(name)?, owned_by, context)
            }
            Self::Other(_) => return None,
        };
        // An id is sent back as it is or not at all.
        let printable = !id.is_empty() && id.len() <= NAME_BYTES && !id.contains(char::is_control);
        let kept = |text: String| excerpt::excerpt(text.as_bytes(), NAME_BYTES);
        printable.then(|| Model { id, owned_by: owned_by.map(kept), max_model_len })
    }
}
