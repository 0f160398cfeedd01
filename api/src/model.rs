//! Which models a target serves.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, param::Header, payload::Json};
use shared::{
    TargetUrl,
    request::{Field, Kind as FieldKind},
};
use target::Control;

use crate::{
    AppState, Tag,
    fields::{GivenQuery, Parameters},
    problem::{ApiError, Kind},
    submit,
};

/// The parameter of the list.
pub(crate) const PARAMETERS: &[Field] = &[Field {
    name: "url",
    kind: FieldKind::Text { max_chars: TargetUrl::MAX_CHARS },
    default: "LOCUST_HOST",
    doc: "Base URL of the target, with or without /v1. Required where LOCUST_HOST is not set.",
}];

pub(crate) struct ModelApi {
    pub(crate) state: Arc<AppState>,
}

/// The models of a target.
#[derive(Debug, Object)]
#[expect(clippy::struct_field_names, reason = "what is in it")]
struct Models {
    /// The target.
    url: TargetUrl,
    /// The model a benchmark asks for when it names none; empty: there is none.
    model: String,
    /// All of them, in the target's order.
    models: Vec<ListedModel>,
}

/// A model as the target lists it.
#[derive(Debug, Object)]
struct ListedModel {
    /// What requests name it by.
    id: String,
    /// Who the target says owns it.
    owned_by: Option<String>,
    /// Most tokens of prompt and answer together, where the target says so.
    max_model_len: Option<u64>,
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Targets")]
impl ModelApi {
    /// List a target's models
    ///
    /// The key is taken from a header, never from the query. Without it, `API_AUTH_TOKEN` is
    /// sent, and that to `LOCUST_HOST` alone.
    #[oai(path = "/model", method = "get", operation_id = "list_models")]
    async fn list(
        &self,
        given: GivenQuery,
        /// The target's key.
        #[oai(name = "X-Target-Api-Key")]
        target_api_key: Header<Option<String>>,
    ) -> poem::Result<Json<Models>> {
        let mut read = Parameters::new(&given.0, PARAMETERS);
        let url = match read.text("url").map(|url| TargetUrl::try_from(url.to_owned())) {
            Some(Ok(url)) => Some(url),
            Some(Err(invalid)) => {
                read.refuse("url", invalid.to_string());
                None
            }
            None => self.state.defaults.url.clone(),
        };
        read.finish()?;
        let url = url.ok_or_else(|| {
            ApiError::field(Kind::VALIDATION, "url", "url is required: the target's base URL")
        })?;
        self.state.judge("url", &url)?;
        let key = submit::key_of(target_api_key.0.as_deref());
        let key = key.or_else(|| self.state.default_key_for(&url));
        let _permit = self.state.target_call()?;
        let control =
            Control::new(&self.state.egress, &url, key.as_ref()).map_err(ApiError::from)?;
        let models = control.models().await.map_err(ApiError::from)?;
        let model = models.first().map(|model| model.id.clone()).unwrap_or_default();
        let models = models.into_iter().map(|model| ListedModel {
            id: model.id,
            owned_by: model.owned_by,
            max_model_len: model.max_model_len,
        });
        Ok(Json(Models { url, model, models: models.collect() }))
    }
}
