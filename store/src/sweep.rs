//! What time brings about: leases that ran out, waiting that took too long, tickets that got lost,
//! and what can be thrown away.
//!
//! Every process asks for it all along, and one at a time does it. That saves work and nothing
//! depends on it: any number may sweep at any time. Each row is taken on its own, in a transaction
//! that looks again before it writes: between finding a row and acting on it, its runner may have
//! come back or ended it, or another sweep has.

use std::time::Duration;

use entity::{benchmark, benchmark_secret, runner};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement,
};
use shared::machine::MOST_CLAIMS;
use shared::{BenchmarkId, OnLost, Reason, ReasonCode, RunnerState, State};

use crate::chore::Chore;
use crate::transition::{self, Change, Results};
use crate::{Store, StoreError, clock, idempotency, measures, queue, quota, rows};

/// How often old tickets and runners are looked for, in all.
const PRUNE_EVERY: Duration = Duration::from_mins(10);
/// A sweep is due a little before the processes ask for it again: one that is alone, and asks a
/// millisecond early, must not have to wait for another turn.
const DUE_AFTER: f64 = 0.9;
/// How long a runner that is gone stays in the list.
const GONE_FOR_MS: i64 = 24 * 60 * 60 * 1_000;
/// Names the lock of whoever issues tickets again: "tickets" in ASCII.
const TICKETS_LOCK: i64 = 0x74_6963_6b65_7473;
/// Who did it, in events.
const SWEEPER: &str = "sweeper";

/// What a sweep came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Their runner went silent, and load may have been sent.
    pub lost: Vec<BenchmarkId>,
    /// Their runner went silent before it sent any load, or they may send it again.
    pub requeued: Vec<BenchmarkId>,
    /// Their runner went silent, or did not stop, after somebody asked to cancel.
    pub cancelled: Vec<BenchmarkId>,
    /// No runner took them in time, or their runner did not end them in time.
    pub timed_out: Vec<BenchmarkId>,
    /// Tickets issued again.
    pub tickets: u64,
    /// Runners found to be gone.
    pub runners_gone: u64,
    /// Old tickets, workers, runners, idempotency keys and hours of quotas deleted, and benchmarks
    /// whose old results were.
    pub pruned: u64,
}

impl Store {
    /// Sweeps, unless another process has just done so: then none. Every process calls it every
    /// [`Lease::sweep_every`](crate::Lease::sweep_every).
    pub async fn sweep_if_due(&self) -> Result<Option<Swept>, StoreError> {
        let every = self.lease().sweep_every().mul_f64(DUE_AFTER);
        if !Chore::Sweep.take(&self.inner.database.main, every).await? {
            return Ok(None);
        }
        self.sweep().await.map(Some)
    }

    /// Does what is due.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        let c = &self.inner.database.main;
        let mut swept = Swept::default();
        let now = clock::now(c).await?;
        let late = now - self.lease().grace_ms();
        // By the index of those that have a lease, which is of these states.
        let is_active =
            benchmark::Column::Status.is_in([State::Running.as_str(), State::Cancelling.as_str()]);
        let expired = benchmark::Column::LeaseUntilMs.lt(late).and(is_active.clone());
        for id in found(c, expired).await? {
            // One row that cannot be swept must not keep the others from it.
            match self.expire(id).await {
                Ok(Some(State::Lost)) => swept.lost.push(id),
                Ok(Some(State::Queued)) => swept.requeued.push(id),
                Ok(Some(_)) => swept.cancelled.push(id),
                Ok(None) | Err(StoreError::Lost(_)) => {}
                Err(outage) if outage.is_outage() => return Err(outage),
                Err(refused) => {
                    tracing::error!(benchmark = id.0, error = ?refused, "cannot end a lost run");
                }
            }
        }
        let overdue = benchmark::Column::Status
            .eq(State::Queued.as_str())
            .and(benchmark::Column::QueuedDeadlineMs.lte(now));
        for id in found(c, overdue).await? {
            match self.time_out(id).await {
                Ok(true) => swept.timed_out.push(id),
                Ok(false) | Err(StoreError::Lost(_)) => {}
                Err(outage) if outage.is_outage() => return Err(outage),
                Err(refused) => {
                    tracing::error!(benchmark = id.0, error = ?refused, "cannot time out");
                }
            }
        }
        let overrun = benchmark::Column::RunDeadlineMs.lte(now).and(is_active);
        for id in found(c, overrun).await? {
            match self.stop_overrun(id).await {
                Ok(Some(State::TimedOut)) => swept.timed_out.push(id),
                Ok(Some(_)) => swept.cancelled.push(id),
                Ok(None) | Err(StoreError::Lost(_)) => {}
                Err(outage) if outage.is_outage() => return Err(outage),
                Err(refused) => {
                    tracing::error!(benchmark = id.0, error = ?refused, "cannot end an overrun");
                }
            }
        }
        swept.runners_gone = runners_gone(c, now - self.lease().ttl_ms()).await?;
        forget_expired_secrets(c, now).await?;
        swept.tickets = self.reissue_tickets().await?;
        if Chore::Prune.take(c, PRUNE_EVERY).await? {
            swept.pruned = queue::prune(c).await? + idempotency::prune(c, now).await?;
            swept.pruned += quota::prune(c, now).await?;
            // Its files may be out of reach; all else was done.
            match self.retain(now).await {
                Ok(retained) => swept.pruned += retained,
                Err(outage) if outage.is_outage() => return Err(outage),
                Err(refused) => tracing::error!(error = ?refused, "cannot prune old results"),
            }
            swept.pruned += runner::Entity::delete_many()
                .filter(runner::Column::State.eq(rows::runner_state_word(RunnerState::Gone)))
                .filter(runner::Column::LastSeenMs.lt(now - GONE_FOR_MS))
                .exec(c)
                .await?
                .rows_affected;
        }
        measures::swept(&swept);
        Ok(swept)
    }

    /// Takes a run from a runner that has been silent for too long; to which state, if so.
    async fn expire(&self, id: BenchmarkId) -> Result<Option<State>, StoreError> {
        let tx = self.inner.database.begin().await?;
        let now = clock::now(&tx).await?;
        let Some(row) = transition::locked(&tx, id).await? else { return Ok(None) };
        let late = now - self.lease().grace_ms();
        if row.lease_until_ms.is_none_or(|until| until >= late) {
            return Ok(None);
        }
        let from = rows::state(&row)?;
        let runner = row.runner_id.as_deref().unwrap_or("unknown");
        let (to, reason) = match from {
            State::Cancelling => (
                State::Cancelled,
                Reason::new(
                    ReasonCode::CancelledRunnerLost,
                    format!("cancelled by request; runner {runner} went silent before it said so"),
                ),
            ),
            State::Running if row.load_started_at_ms.is_some() && may_rerun(&row)? => (
                State::Queued,
                Reason::new(
                    ReasonCode::RunnerLost,
                    format!(
                        "runner {runner} went silent while it was sending load; it is run again, as \
                         on_lost=rerun asks"
                    ),
                ),
            ),
            State::Running if row.load_started_at_ms.is_some() => (
                State::Lost,
                Reason::new(
                    ReasonCode::RunnerLost,
                    format!("runner {runner} went silent while it was sending load"),
                ),
            ),
            State::Running if row.claims < MOST_CLAIMS => (
                State::Queued,
                Reason::new(
                    ReasonCode::RunnerLost,
                    format!("runner {runner} went silent before it sent any load"),
                ),
            ),
            State::Running => (
                State::Lost,
                Reason::new(
                    ReasonCode::RunnerLost,
                    format!("{MOST_CLAIMS} runners in a row went silent before they sent any load"),
                ),
            ),
            _ => return Ok(None),
        };
        self.take_away(&tx, &row, (from, to), &reason, now).await?;
        tx.commit().await?;
        tracing::warn!(benchmark = id.0, runner, to = %to, "a runner went silent");
        Ok(Some(to))
    }

    /// Takes a run from a runner that lives and does not end it; to which state, if so.
    async fn stop_overrun(&self, id: BenchmarkId) -> Result<Option<State>, StoreError> {
        let tx = self.inner.database.begin().await?;
        let now = clock::now(&tx).await?;
        let Some(row) = transition::locked(&tx, id).await? else { return Ok(None) };
        if row.run_deadline_ms.is_none_or(|deadline| deadline > now) {
            return Ok(None);
        }
        let from = rows::state(&row)?;
        let runner = row.runner_id.as_deref().unwrap_or("unknown");
        let (to, code) = match from {
            State::Running => (State::TimedOut, ReasonCode::RunTimeout),
            State::Cancelling => (State::Cancelled, ReasonCode::CancelledRunnerLost),
            _ => return Ok(None),
        };
        let reason = Reason::new(code, format!("runner {runner} did not end it in time"));
        self.take_away(&tx, &row, (from, to), &reason, now).await?;
        tx.commit().await?;
        tracing::warn!(benchmark = id.0, runner, to = %to, "a runner did not end its run in time");
        Ok(Some(to))
    }

    /// Ends the run of `row`, or puts it back into the queue, whatever its runner believes.
    async fn take_away<C: ConnectionTrait>(
        &self,
        c: &C,
        row: &benchmark::Model,
        (from, to): (State, State),
        reason: &Reason,
        now: i64,
    ) -> Result<(), StoreError> {
        let change = Change {
            id: BenchmarkId(row.id),
            from: Some(from),
            to,
            // From here on, nothing its old runner writes has any effect.
            fence: row.fence + 1,
            at_ms: now,
            actor: SWEEPER,
            reason: Some(reason),
        };
        if to == State::Queued {
            return transition::requeue(c, row, &change, row.claims).await;
        }
        let left = Results { cooldown_ms: self.cooldown_ms(), ..Results::default() };
        transition::end(c, row, &change, left).await
    }

    async fn time_out(&self, id: BenchmarkId) -> Result<bool, StoreError> {
        let tx = self.inner.database.begin().await?;
        let now = clock::now(&tx).await?;
        let Some(row) = transition::locked(&tx, id).await? else { return Ok(false) };
        let overdue = row.queued_deadline_ms.is_some_and(|deadline| deadline <= now);
        if !overdue || rows::state(&row)? != State::Queued {
            return Ok(false);
        }
        let reason = Reason::new(ReasonCode::QueueTimeout, "no runner took it before its deadline");
        let change = Change {
            id,
            from: Some(State::Queued),
            to: State::TimedOut,
            fence: row.fence,
            at_ms: now,
            actor: SWEEPER,
            reason: Some(&reason),
        };
        transition::end(&tx, &row, &change, Results::default()).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn reissue_tickets(&self) -> Result<u64, StoreError> {
        let tx = self.inner.database.begin().await?;
        if clock::is_postgres(&tx) {
            // Two at once would issue everything twice.
            let sql = "SELECT pg_try_advisory_xact_lock($1) AS taken";
            let backend = tx.get_database_backend();
            let taken = Statement::from_sql_and_values(backend, sql, [TICKETS_LOCK.into()]);
            let taken = tx.query_one_raw(taken).await?.ok_or(StoreError::NoAnswer)?;
            if !taken.try_get::<bool>("", "taken")? {
                return Ok(0);
            }
        }
        let now = clock::now(&tx).await?;
        let pushed = queue::reissue(&tx, now, self.cooldown_ms()).await?;
        tx.commit().await?;
        Ok(pushed)
    }
}

/// Whether its load may be sent again.
fn may_rerun(row: &benchmark::Model) -> Result<bool, StoreError> {
    Ok(row.claims < MOST_CLAIMS && rows::spec(row)?.on_lost == OnLost::Rerun)
}

async fn found<C: ConnectionTrait>(c: &C, which: Expr) -> Result<Vec<BenchmarkId>, StoreError> {
    let ids: Vec<i64> = benchmark::Entity::find()
        .select_only()
        .column(benchmark::Column::Id)
        .filter(which)
        .order_by_asc(benchmark::Column::Id)
        .limit(1_000)
        .into_tuple()
        .all(c)
        .await?;
    Ok(ids.into_iter().map(BenchmarkId).collect())
}

async fn runners_gone<C: ConnectionTrait>(c: &C, seen_ms: i64) -> Result<u64, StoreError> {
    let gone = rows::runner_state_word(RunnerState::Gone);
    let found = runner::Entity::update_many()
        .col_expr(runner::Column::State, Expr::value(gone))
        .filter(runner::Column::State.ne(gone))
        .filter(runner::Column::LastSeenMs.lt(seen_ms))
        .exec(c)
        .await?;
    Ok(found.rows_affected)
}

/// Empties the boxes of keys that waited for too long. Their rows stay, so that a claim can say
/// that there was one.
async fn forget_expired_secrets<C: ConnectionTrait>(c: &C, now: i64) -> Result<(), StoreError> {
    benchmark_secret::Entity::update_many()
        .col_expr(benchmark_secret::Column::Sealed, Expr::value(Vec::<u8>::new()))
        .filter(benchmark_secret::Column::ExpiresAtMs.lte(now))
        .filter(benchmark_secret::Column::Sealed.ne(Vec::<u8>::new()))
        .exec(c)
        .await?;
    Ok(())
}
