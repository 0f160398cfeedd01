//! Who drives load.

use std::sync::Arc;

use poem_openapi::{ApiResponse, Object, OpenApi, param::Path, payload::Json};
use shared::{Runner, RunnerId};

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

#[derive(ApiResponse)]
enum Drained {
    /// Asked; it learns it with its next beat, within seconds.
    #[oai(status = 202)]
    Asked(Json<Runner>),
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

    /// Drain a runner
    ///
    /// It takes up nothing more, gives back what it has sent no load for, and ends when its run has,
    /// however long that takes. May be repeated.
    #[oai(path = "/runners/:id/drain", method = "post", operation_id = "drain_runner")]
    async fn drain(&self, id: Path<String>) -> poem::Result<Drained> {
        let runner = self.state.store.drain(&RunnerId(id.0)).await.map_err(ApiError::from)?;
        Ok(Drained::Asked(Json(runner)))
    }
}
