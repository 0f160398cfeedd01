//! The queue as a whole: how it stands, and stopping it.

use std::sync::Arc;

use poem_openapi::{OpenApi, payload::Json};
use shared::{
    Aborted, QueueState, TargetUrl,
    request::{Field, Fields, Kind},
};

use crate::{
    AppState, Tag,
    fields::{GivenQuery, Parameters},
    problem::ApiError,
};

pub(crate) struct QueueApi {
    pub(crate) state: Arc<AppState>,
}

/// Of a pause and its end.
pub(crate) const TARGET: &[Field] = &[Field {
    name: "target",
    kind: Kind::Text { max_chars: TargetUrl::MAX_CHARS },
    default: "none: the whole queue",
    doc: "Base URL of the one target that is meant.",
}];

/// Of an abort.
pub(crate) const RUNNING: &[Field] = &[Field {
    name: "running",
    kind: Kind::Flag,
    default: "false",
    doc: "Also ask everything active to stop.",
}];

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Queue")]
impl QueueApi {
    /// See how the queue stands
    #[oai(path = "/queue", method = "get", operation_id = "get_queue")]
    async fn get(&self) -> poem::Result<Json<QueueState>> {
        self.now().await
    }

    /// Pause the queue
    ///
    /// Nothing is begun until it is resumed, with `target` on that target; what is active goes on.
    #[oai(path = "/queue/pause", method = "post", operation_id = "pause_queue")]
    async fn pause(&self, given: GivenQuery) -> poem::Result<Json<QueueState>> {
        let target = target(&given.0)?;
        self.state.store.pause(target.as_ref()).await.map_err(ApiError::from)?;
        self.now().await
    }

    /// Resume the queue
    ///
    /// Wakes the runners at once. The pause of the queue and those of targets end each by itself.
    #[oai(path = "/queue/resume", method = "post", operation_id = "resume_queue")]
    async fn resume(&self, given: GivenQuery) -> poem::Result<Json<QueueState>> {
        let target = target(&given.0)?;
        self.state.store.resume(target.as_ref()).await.map_err(ApiError::from)?;
        self.now().await
    }

    /// Cancel everything
    ///
    /// All that is queued, and with `running` all that is active. Pause before, where nothing that
    /// comes in meanwhile may begin.
    #[oai(path = "/queue/abort", method = "post", operation_id = "abort_queue")]
    async fn abort(&self, given: GivenQuery) -> poem::Result<Json<Aborted>> {
        let mut read = Parameters::new(&given.0, RUNNING);
        let running = read.flag("running").unwrap_or(false);
        read.finish()?;
        Ok(Json(self.state.store.abort(running).await.map_err(ApiError::from)?))
    }
}

impl QueueApi {
    async fn now(&self) -> poem::Result<Json<QueueState>> {
        Ok(Json(self.state.store.queue_state().await.map_err(ApiError::from)?))
    }
}

fn target(given: &Fields) -> Result<Option<TargetUrl>, ApiError> {
    let mut read = Parameters::new(given, TARGET);
    let target = read.text("target").map(|url| TargetUrl::try_from(url.to_owned()));
    let target = match target {
        Some(Err(refused)) => {
            read.refuse("target", format!("target cannot be read: {refused}"));
            None
        }
        Some(Ok(target)) => Some(target),
        None => None,
    };
    read.finish().map(|()| target)
}
