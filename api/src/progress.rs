//! Following a benchmark: waiting for its end, and its events as they happen.
//!
//! Both read the database again and again, since the runner is another process. A permit for each
//! keeps the number of followers, and with it the reads, bounded.

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
use tokio::sync::OwnedSemaphorePermit;

use crate::AppState;

/// Requests that may wait or follow at once.
pub(crate) const MAX_FOLLOWERS: usize = 1_000;

/// How often a wait looks, at first and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How often events are looked for.
const EVENT_LOOK: Duration = Duration::from_millis(250);
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// `benchmark` when it is over, or as it is when `longest` has passed, when the server shuts down,
/// or at once when too many wait already.
pub(crate) async fn until_over(
    state: &AppState,
    benchmark: Benchmark,
    longest: Duration,
) -> Result<Benchmark, StoreError> {
    if benchmark.status.is_terminal() || longest.is_zero() {
        return Ok(benchmark);
    }
    // A benchmark is large, and so is the future that carries it: it lives on the heap.
    Box::pin(look_until_over(state, benchmark, longest)).await
}

async fn look_until_over(
    state: &AppState,
    benchmark: Benchmark,
    longest: Duration,
) -> Result<Benchmark, StoreError> {
    let Ok(_permit) = state.followers.try_acquire() else { return Ok(benchmark) };
    let deadline = tokio::time::Instant::now() + longest;
    let (mut pause, longest_pause) = LOOKS;
    let mut latest = benchmark;
    loop {
        let next_look = (tokio::time::Instant::now() + pause).min(deadline);
        tokio::select! {
            () = state.shutdown.cancelled() => return Ok(latest),
            () = tokio::time::sleep_until(next_look) => {}
        }
        latest = state.store.get(latest.id).await?;
        if latest.status.is_terminal() || next_look == deadline {
            return Ok(latest);
        }
        pause = (pause * 2).min(longest_pause);
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

/// Everything that happens to `benchmark` after the event `after`, until it is over.
pub(crate) fn follow(
    state: Arc<AppState>,
    benchmark: &Benchmark,
    after: i64,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Message> + Send + 'static {
    let follower = Follower {
        state,
        id: benchmark.id,
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
            if self.is_over || self.state.shutdown.is_cancelled() {
                return None;
            }
            if let Err(error) = self.look().await {
                // The stream breaks off; the client comes back with its Last-Event-ID.
                if !matches!(error, StoreError::NotFound(_)) {
                    tracing::warn!(benchmark = %self.id, %error, "events cannot be followed");
                }
                return None;
            }
            if self.ready.is_empty() && !self.is_over {
                tokio::select! {
                    () = self.state.shutdown.cancelled() => return None,
                    () = tokio::time::sleep(EVENT_LOOK) => {}
                }
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        // The row before its events: whatever state it shows, its event is there to be read.
        let now = Instant::now();
        let progress_due = self.told.is_none_or(|told| now - told >= PROGRESS_EVERY);
        let benchmark =
            if progress_due { Some(self.state.store.get(self.id).await?) } else { None };
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
        if let Some(benchmark) = benchmark.filter(|_| !self.is_over) {
            self.is_over = benchmark.status.is_terminal();
            if matches!(benchmark.status, State::Running | State::Cancelling) {
                self.told = Some(now);
                self.ready.push_back(Message::Progress(benchmark.progress));
            }
        }
        Ok(())
    }
}
