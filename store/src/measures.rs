//! What this process has done with runs, counted for Prometheus.
//!
//! Counted after the commit, where it happened: a sweep's counts are in the process that swept, and
//! a sum over all processes counts nothing twice. What there is, rather than what happened, is
//! [`Depth`]: the same whoever asks.

use std::time::Duration;

use entity::benchmark;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, ExprTrait},
};
use shared::State;

use crate::{Store, StoreError, Swept, clock};

const CLAIMS: &str = "llm_bench_claims_total";
const CLAIM: &str = "llm_bench_claim_seconds";
const QUEUE_WAIT: &str = "llm_bench_queue_wait_seconds";
const ENDED: &str = "llm_bench_runs_ended_total";
const REQUEUED: &str = "llm_bench_runs_requeued_total";
const CANCEL: &str = "llm_bench_cancel_seconds";
const REISSUED: &str = "llm_bench_tickets_reissued_total";
const DEPTH: &str = "llm_bench_queue_depth";
const OLDEST: &str = "llm_bench_queue_oldest_seconds";
const ACTIVE: &str = "llm_bench_runs_active";

/// Says what each figure means, and begins those that have no labels at 0.
pub(crate) fn describe() {
    metrics::describe_counter!(CLAIMS, "Benchmarks that this process took from the queue.");
    metrics::describe_histogram!(CLAIM, "From asking for a benchmark to having it.");
    metrics::describe_histogram!(QUEUE_WAIT, "From being due to being taken from the queue.");
    metrics::describe_counter!(ENDED, "Runs that this process ended, by how.");
    metrics::describe_counter!(REQUEUED, "Runs put back into the queue after a runner's silence.");
    metrics::describe_histogram!(CANCEL, "From the request to cancel to the end of the run.");
    metrics::describe_counter!(REISSUED, "Tickets issued again because the first got lost.");
    metrics::describe_gauge!(DEPTH, "Benchmarks in the queue: due now, or later.");
    metrics::describe_gauge!(OLDEST, "How long the benchmark has been due that waits longest.");
    metrics::describe_gauge!(ACTIVE, "Benchmarks that a runner has now.");
    for counter in [CLAIMS, REQUEUED, REISSUED] {
        metrics::counter!(counter).increment(0);
    }
}

pub(crate) fn claimed(waited_ms: i64, took: Duration) {
    metrics::counter!(CLAIMS).increment(1);
    metrics::histogram!(CLAIM).record(took);
    metrics::histogram!(QUEUE_WAIT).record(duration(waited_ms));
}

/// A run has ended; where somebody had asked for it, so long ago.
pub(crate) fn ended(to: State, asked_ms_ago: Option<i64>) {
    metrics::counter!(ENDED, "status" => to.as_str()).increment(1);
    if let Some(ms) = asked_ms_ago {
        metrics::histogram!(CANCEL).record(duration(ms));
    }
}

pub(crate) fn swept(swept: &Swept) {
    metrics::counter!(REQUEUED).increment(swept.requeued.len() as u64);
    metrics::counter!(REISSUED).increment(swept.tickets);
    for (state, ids) in [
        (State::Lost, &swept.lost),
        (State::Cancelled, &swept.cancelled),
        (State::TimedOut, &swept.timed_out),
    ] {
        if !ids.is_empty() {
            metrics::counter!(ENDED, "status" => state.as_str()).increment(ids.len() as u64);
        }
    }
}

fn duration(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// How full the queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Benchmarks that a runner could take now, if it and their targets were free.
    pub due: u64,
    /// Benchmarks that are to wait for longer.
    pub later: u64,
    /// Benchmarks that a runner has.
    pub active: u64,
    /// How long the one has been due that waits longest; none: none is due.
    pub oldest: Option<Duration>,
}

impl Depth {
    /// Has it told from now on.
    pub fn tell(&self) {
        #[expect(clippy::cast_precision_loss, reason = "no queue has 2^53 benchmarks")]
        let [due, later, active] = [self.due, self.later, self.active].map(|count| count as f64);
        metrics::gauge!(DEPTH, "state" => "due").set(due);
        metrics::gauge!(DEPTH, "state" => "later").set(later);
        metrics::gauge!(ACTIVE).set(active);
        metrics::gauge!(OLDEST).set(self.oldest.unwrap_or_default().as_secs_f64());
    }
}

impl Store {
    /// How full the queue is, by queries that read the indexes of the queue and of leases.
    pub async fn depth(&self) -> Result<Depth, StoreError> {
        let c = &self.inner.database.main;
        let now = clock::now(c).await?;
        let queued = benchmark::Column::Status.eq(State::Queued.as_str());
        let since = Expr::col(benchmark::Column::RunAtMs).min();
        let due = benchmark::Column::RunAtMs.lte(now);
        let due: Option<(i64, Option<i64>)> = benchmark::Entity::find()
            .select_only()
            .expr(Expr::col(benchmark::Column::Id).count())
            .expr(since)
            .filter(queued.clone().and(due))
            .into_tuple()
            .one(c)
            .await?;
        let (due, oldest) = due.unwrap_or_default();
        let later = count(c, queued.and(benchmark::Column::RunAtMs.gt(now))).await?;
        let active =
            benchmark::Column::Status.is_in([State::Running.as_str(), State::Cancelling.as_str()]);
        Ok(Depth {
            due: u64::try_from(due).unwrap_or(0),
            later,
            active: count(c, active).await?,
            oldest: oldest.map(|oldest| duration(now - oldest)),
        })
    }
}

async fn count<C: ConnectionTrait>(c: &C, which: Expr) -> Result<u64, StoreError> {
    let count: Option<i64> = benchmark::Entity::find()
        .select_only()
        .expr(Expr::col(benchmark::Column::Id).count())
        .filter(which)
        .into_tuple()
        .one(c)
        .await?;
    Ok(u64::try_from(count.unwrap_or(0)).unwrap_or(0))
}
