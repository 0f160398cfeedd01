//! The queue as a whole: how it stands, and stopping it.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, payload::Json};
use shared::{
    State, TargetUrl,
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

/// How the queue stands.
#[derive(Debug, Object)]
struct Queue {
    /// Whether nothing is begun.
    paused: bool,
    /// Benchmarks in each state there is one of.
    states: Vec<InState>,
    /// Queued benchmarks whose time has come.
    due: u64,
    /// Seconds for which the oldest of them has been due.
    oldest_due_s: Option<u64>,
    /// Targets with something queued, active or paused, the first 1,000 by their name.
    targets: Vec<OfTarget>,
    /// Runners that live and take work.
    runners: u64,
    /// Those of them that have none.
    free_runners: u64,
}

/// Benchmarks in one state.
#[derive(Debug, Object)]
struct InState {
    /// The state.
    status: State,
    /// How many.
    count: u64,
}

/// How one target stands.
#[derive(Debug, Object)]
struct OfTarget {
    /// Scheme, host, port and path.
    target: String,
    /// Benchmarks that wait for it.
    queued: u64,
    /// Benchmarks that load it.
    active: u64,
    /// Whether nothing is begun on it.
    paused: bool,
}

/// What an abort came to.
#[derive(Debug, Object)]
struct Aborted {
    /// Benchmarks that waited and are cancelled.
    cancelled: u64,
    /// Benchmarks that are asked to stop.
    asked_to_stop: u64,
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Queue")]
impl QueueApi {
    /// See how the queue stands
    #[oai(path = "/queue", method = "get", operation_id = "get_queue")]
    async fn get(&self) -> poem::Result<Json<Queue>> {
        self.now().await
    }

    /// Pause the queue
    ///
    /// Nothing is begun until it is resumed, with `target` on that target; what is active goes on.
    #[oai(path = "/queue/pause", method = "post", operation_id = "pause_queue")]
    async fn pause(&self, given: GivenQuery) -> poem::Result<Json<Queue>> {
        let target = target(&given.0)?;
        self.state.store.pause(target.as_ref()).await.map_err(ApiError::from)?;
        self.now().await
    }

    /// Resume the queue
    ///
    /// Wakes the runners at once. The pause of the queue and those of targets end each by itself.
    #[oai(path = "/queue/resume", method = "post", operation_id = "resume_queue")]
    async fn resume(&self, given: GivenQuery) -> poem::Result<Json<Queue>> {
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
        let store::Aborted { cancelled, asked_to_stop } =
            self.state.store.abort(running).await.map_err(ApiError::from)?;
        Ok(Json(Aborted { cancelled, asked_to_stop }))
    }
}

impl QueueApi {
    async fn now(&self) -> poem::Result<Json<Queue>> {
        let now = self.state.store.queue_state().await.map_err(ApiError::from)?;
        let states = now.states.into_iter().map(|(status, count)| InState { status, count });
        let targets = now.targets.into_iter().map(|known| {
            let store::TargetState { target, queued, active, paused } = known;
            OfTarget { target, queued, active, paused }
        });
        Ok(Json(Queue {
            paused: now.paused,
            states: states.collect(),
            due: now.due,
            oldest_due_s: now.oldest_due_s,
            targets: targets.collect(),
            runners: now.runners,
            free_runners: now.free_runners,
        }))
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
