//! What load balancers, Kubernetes, Prometheus and the original's clients ask first. Open to all.

#![expect(clippy::unused_async, reason = "poem-openapi takes nothing but async handlers")]

use std::{sync::Arc, time::Duration};

use poem_openapi::{
    ApiResponse, Object, OpenApi,
    payload::{Json, PlainText},
};

use crate::{
    AppState, Tag,
    problem::{ApiError, Kind},
};

/// Longest time that the database may take to say how full the queue is.
const DEPTH_WITHIN: Duration = Duration::from_secs(1);
/// Longest time the database may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

pub(crate) struct HealthApi {
    pub(crate) state: Arc<AppState>,
}

/// What answers here.
#[derive(Debug, Object)]
#[expect(clippy::struct_field_names, reason = "the original's name")]
struct Service {
    /// `healthy`.
    status: String,
    /// The program's name.
    service: String,
    /// The program's version.
    version: String,
    /// `acknowledged`, as the original service said.
    msg: String,
}

/// A word that all is well.
#[derive(Debug, Object)]
struct Well {
    /// `ok`.
    status: String,
}

#[derive(ApiResponse)]
enum Scrape {
    /// Prometheus text format.
    #[oai(status = 200, content_type = "text/plain; version=0.0.4; charset=utf-8")]
    Text(PlainText<String>),
}

fn well() -> Json<Well> {
    Json(Well { status: "ok".to_owned() })
}

#[OpenApi(tag = "Tag::Health")]
impl HealthApi {
    /// What answers here
    #[oai(path = "/", method = "get", operation_id = "get_service")]
    async fn service(&self) -> Json<Service> {
        Json(Service {
            status: "healthy".to_owned(),
            service: "LLM Benchmark API".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            msg: "acknowledged".to_owned(),
        })
    }

    /// Whether the process lives
    ///
    /// Asks nothing of the database.
    #[oai(path = "/livez", method = "get", operation_id = "get_livez")]
    async fn livez(&self) -> Json<Well> {
        well()
    }

    /// Whether requests should be sent here
    ///
    /// Not while the database is out of reach or not migrated, and not once the server shuts down.
    #[oai(path = "/readyz", method = "get", operation_id = "get_readyz")]
    async fn readyz(&self) -> poem::Result<Json<Well>> {
        if self.state.shutdown.is_cancelled() {
            return Err(ApiError::told(Kind::UNAVAILABLE, "the server is shutting down").into());
        }
        match tokio::time::timeout(READY_WITHIN, self.state.store.ready()).await {
            Ok(Ok(())) => Ok(well()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database is not ready");
                Err(ApiError::told(Kind::UNAVAILABLE, "the database is not ready").into())
            }
            Err(_) => {
                let within_s = READY_WITHIN.as_secs();
                let detail = format!("the database did not answer within {within_s} s");
                Err(ApiError::told(Kind::UNAVAILABLE, detail).into())
            }
        }
    }

    /// What the API counts of itself
    #[oai(path = "/metrics", method = "get", operation_id = "get_metrics")]
    async fn metrics(&self) -> Scrape {
        // Without a database there is still what this process has counted.
        if let Ok(Ok(depth)) = tokio::time::timeout(DEPTH_WITHIN, self.state.store.depth()).await {
            depth.tell();
        }
        let text = self.state.metrics.render() + &daemon::told();
        Scrape::Text(PlainText(text))
    }
}
