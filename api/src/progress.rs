//! Following a benchmark: waiting for its end, and its events as they happen.
//!
//! [`Watch`] looks at the database for all of them. A permit for each keeps their number bounded.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{Stream, stream};
use poem::web::sse::Event as SseEvent;
use poem_openapi::{Object, Union, types::ToJSON as _};
use shared::{Benchmark, BenchmarkId, Progress, Reason, State, Timestamp};
use store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::{AppState, watch::Seen};

/// Requests that may wait or follow at once.
pub(crate) const MAX_FOLLOWERS: usize = 1_000;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Until `id` is over or gone, `longest` has passed or the server shuts down; not at all where too
/// many wait already.
pub(crate) async fn until_over(state: &AppState, id: BenchmarkId, longest: Duration) {
    let Ok(_permit) = state.followers.try_acquire() else { return };
    let mut seen = state.watch.follow(id);
    let is_over = |seen: &Seen| match seen {
        Seen::Nothing => false,
        Seen::This(glance) => glance.state.is_terminal(),
        Seen::Gone => true,
    };
    tokio::select! {
        () = state.shutdown.cancelled() => {}
        () = tokio::time::sleep(longest) => {}
        _ = seen.wait_for(is_over) => {}
    }
}

/// Seconds after which it makes sense to ask again; none once nothing changes any more.
pub(crate) fn retry_after_s(benchmark: &Benchmark) -> Option<u64> {
    match benchmark.status {
        State::Queued => Some(2),
        State::Running | State::Cancelling => {
            let left = f64::from(benchmark.duration) - benchmark.progress.elapsed_s;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 5"
            )]
            let seconds = left.clamp(1.0, 5.0) as u64;
            Some(seconds)
        }
        _ => None,
    }
}

/// What a follower is told.
#[derive(Debug, Union)]
pub(crate) enum Message {
    /// `event: state`.
    State(StateChange),
    /// `event: progress`, once a second while the benchmark runs.
    Progress(Progress),
}

/// A benchmark went over into another state.
#[derive(Debug, Object)]
pub(crate) struct StateChange {
    /// The event's number, also its SSE id: 1 is the first of the benchmark.
    seq: i64,
    /// When.
    at: Timestamp,
    /// The state before; null: the benchmark was accepted.
    from: Option<State>,
    /// The state since.
    status: State,
    /// Why, where it did not just go on.
    reason: Option<Reason>,
    /// Whether nothing follows.
    #[oai(rename = "final")]
    is_final: bool,
}

impl Message {
    /// The message as it goes over the wire.
    pub(crate) fn into_sse(self) -> SseEvent {
        let event = SseEvent::message(self.to_json_string());
        match self {
            Self::State(change) => event.event_type("state").id(change.seq.to_string()),
            Self::Progress(_) => event.event_type("progress"),
        }
    }
}

/// Everything that happens to `id` after the event `after`, until it is over.
pub(crate) fn follow(
    state: Arc<AppState>,
    id: BenchmarkId,
    after: i64,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Message> + Send + 'static {
    let follower = Follower {
        seen: state.watch.follow(id),
        state,
        id,
        after,
        told: None,
        ready: VecDeque::new(),
        is_over: false,
        _permit: permit,
    };
    stream::unfold(follower, Follower::next)
}

struct Follower {
    state: Arc<AppState>,
    seen: watch::Receiver<Seen>,
    id: BenchmarkId,
    after: i64,
    /// When progress was last told.
    told: Option<Instant>,
    ready: VecDeque<Message>,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(mut self) -> Option<(Message, Self)> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some((message, self));
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                () = self.state.shutdown.cancelled() => return None,
                seen = self.seen.changed() => seen.ok()?,
                () = progress_due(self.told) => {}
            }
            if let Err(error) = self.take().await {
                // The stream breaks off; the client comes back with its Last-Event-ID.
                if !matches!(error, StoreError::NotFound(_)) {
                    tracing::warn!(benchmark = %self.id, %error, "events cannot be followed");
                }
                return None;
            }
        }
    }

    /// Puts into words what was seen last.
    async fn take(&mut self) -> Result<(), StoreError> {
        let glance = match self.seen.borrow_and_update().clone() {
            Seen::Nothing => return Ok(()),
            Seen::This(glance) => glance,
            Seen::Gone => return Err(StoreError::NotFound(self.id)),
        };
        if glance.seq > self.after {
            for event in self.state.store.events(self.id, self.after).await? {
                self.after = event.seq;
                self.is_over = event.to.is_terminal();
                self.ready.push_back(Message::State(StateChange {
                    seq: event.seq,
                    at: event.at,
                    from: event.from,
                    status: event.to,
                    reason: event.reason,
                    is_final: event.to.is_terminal(),
                }));
            }
        }
        self.is_over = self.is_over || glance.state.is_terminal();
        let runs = matches!(glance.state, State::Running | State::Cancelling);
        if self.is_over || !runs {
            self.told = None;
        } else if self.told.is_none_or(|told| told.elapsed() >= PROGRESS_EVERY) {
            self.told = Some(Instant::now());
            self.ready.push_back(Message::Progress(glance.progress));
        }
        Ok(())
    }
}

/// Until progress, which was last `told` then, is to be told again; for ever where it was not yet.
async fn progress_due(told: Option<Instant>) {
    match told {
        Some(told) => tokio::time::sleep_until((told + PROGRESS_EVERY).into()).await,
        None => std::future::pending().await,
    }
}
