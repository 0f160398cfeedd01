//! Who drives load.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, payload::Json};
use shared::Runner;

use crate::{AppState, Tag, problem::ApiError};

pub(crate) struct RunnersApi {
    pub(crate) state: Arc<AppState>,
}

/// Every runner of late.
#[derive(Debug, Object)]
struct Runners {
    /// The runners.
    results: Vec<Runner>,
    /// How many they are.
    total: usize,
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Runners")]
impl RunnersApi {
    /// List runners
    ///
    /// Those that are gone stay in the list for a while.
    #[oai(path = "/runners", method = "get", operation_id = "list_runners")]
    async fn list(&self) -> poem::Result<Json<Runners>> {
        let results = self.state.store.runners().await.map_err(ApiError::from)?;
        Ok(Json(Runners { total: results.len(), results }))
    }
}
