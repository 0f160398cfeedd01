//! The runner's half: claim, lease, progress, end. Every write is a compare-and-set with the
//! fence: once a run is lost, nothing its old runner writes has any effect.

use std::time::{Duration, Instant};

use entity::{benchmark, benchmark_partial, benchmark_secret};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, Set, SqlErr,
};
use secrecy::SecretString;
use shared::{
    BenchmarkId, BenchmarkSpec, Progress, Reason, Report, RunnerId, SecondRow, State,
    report::Histograms,
};

use crate::gathering::{self, Entry};
use crate::lease::{Held, still};
use crate::longest::longest_run_ms;
use crate::transition::{self, Change, Results};
use crate::vault::Sealed;
use crate::{
    SealedKeyError, Store, StoreError, StoredRequests, clock, measures, next, rows, shard, shards,
};

/// How often a claim tries again where somebody was in between.
const CLAIM_TRIES: usize = 20;
/// The wait before each.
const CLAIM_AGAIN_AFTER: Duration = Duration::from_millis(25);

/// A benchmark taken from the queue.
#[derive(Debug)]
pub struct Claim {
    /// What to write with.
    pub held: Held,
    /// What to do.
    pub spec: BenchmarkSpec,
    /// How many runners make the load together; this one holds the run and is the first of them.
    pub shards: u32,
    /// Which try this is, from 1 on; one that was given back does not count.
    pub attempt: u32,
    /// The target's key; an error where it is there and cannot be opened.
    pub api_key: Result<Option<SecretString>, SealedKeyError>,
}

/// How a run ends.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Completed, failed, cancelled or timed out.
    pub to: State,
    /// Why it did not complete.
    pub reason: Option<Reason>,
    /// What was measured; none: what the last progress brought.
    pub report: Option<Report>,
    /// The same by seconds.
    pub series: Vec<SecondRow>,
    /// The samples behind the report.
    pub histograms: Histograms,
    /// Where each request's row is; none: nowhere.
    pub requests: Option<StoredRequests>,
}

impl Store {
    /// Claims the next benchmark that is due, needs no more than `max_users` and no label that
    /// `runner` has not, and whose targets are all free; none where there is none. Owners take turns.
    ///
    /// # Errors
    ///
    /// [`StoreError::ShardWaits`] where a load waits for this runner: [`claim_shard`](Self::claim_shard)
    /// comes first.
    pub async fn claim(
        &self,
        runner: &RunnerId,
        max_users: u32,
    ) -> Result<Option<Claim>, StoreError> {
        let asked_at = Instant::now();
        for _ in 0..CLAIM_TRIES {
            let entry = Entry::AmongOthers;
            match Box::pin(self.try_claim(runner, max_users, entry, asked_at)).await {
                // The index on active targets: another runner took one of these just now.
                Err(StoreError::Database(refused)) if is_taken(&refused) => {}
                // The row was cancelled just now, or is locked.
                Err(StoreError::Lost(_)) => {}
                outcome => return outcome,
            }
            tokio::time::sleep(CLAIM_AGAIN_AFTER).await;
        }
        Ok(None)
    }

    async fn try_claim(
        &self,
        runner: &RunnerId,
        max_users: u32,
        entry: Entry,
        asked_at: Instant,
    ) -> Result<Option<Claim>, StoreError> {
        let tx = self.inner.database.begin().await?;
        let now = gathering::enter(&tx, entry).await?;
        if shard::waits_for(&tx, runner, max_users).await? {
            return Err(StoreError::ShardWaits);
        }
        let seen = now - self.lease().ttl_ms();
        let cooldown = self.cooldown_ms();
        let next = next::lock_next(&tx, now, cooldown, runner, max_users, Some(seen)).await?;
        let Some(mut row) = next else { return Ok(None) };
        let mut shards = gathering::wanted(&row, max_users);
        if shards > 1 {
            if !gathering::are_enough_free(&tx, &row, shards, runner, seen).await? {
                if gathering::is_kept_for(&row, now) {
                    return Ok(None);
                }
                let next = next::lock_next(&tx, now, cooldown, runner, max_users, None).await?;
                let Some(alone) = next else { return Ok(None) };
                (row, shards) = (alone, 1);
            } else if !entry.is_alone(&tx) {
                // They may be about to claim something else. Two that waited here for the other to
                // be gone would wait for ever, so this one goes first, and looks anew.
                tx.rollback().await?;
                let again = self.try_claim(runner, max_users, Entry::Alone, asked_at);
                return Box::pin(again).await;
            }
        }
        let held = Held { id: BenchmarkId(row.id), fence: row.fence + 1 };
        let change = Change {
            id: held.id,
            from: Some(State::Queued),
            to: State::Running,
            fence: held.fence,
            at_ms: now,
            actor: &runner.0,
            reason: None,
        };
        let columns = benchmark::ActiveModel {
            claims: Set(row.claims + 1),
            runner_id: Set(Some(runner.0.clone())),
            lease_until_ms: Set(Some(now + self.lease().ttl_ms())),
            started_at_ms: Set(Some(now)),
            ..Default::default()
        };
        transition::apply(&tx, &row, &change, columns).await?;
        if shards > 1 {
            shards::offer(&tx, &held, row.users, shards).await?;
        }
        let secret = benchmark_secret::Entity::find_by_id(row.id).one(&tx).await?;
        let spec = rows::spec(&row)?;
        tx.commit().await?;
        measures::claimed(now - row.run_at_ms, asked_at.elapsed());
        let api_key = self.opened(held.id, secret, now);
        let attempt = u32::try_from(row.claims + 1).unwrap_or(1);
        Ok(Some(Claim { held, spec, shards, attempt, api_key }))
    }

    /// The target's key of a benchmark, from its sealed box.
    pub(crate) fn opened(
        &self,
        id: BenchmarkId,
        secret: Option<benchmark_secret::Model>,
        now: i64,
    ) -> Result<Option<SecretString>, SealedKeyError> {
        match secret {
            None => Ok(None),
            Some(secret) if secret.sealed.is_empty() || secret.expires_at_ms <= now => {
                Err(SealedKeyError::Expired)
            }
            Some(benchmark_secret::Model { kid, nonce, sealed: text, .. }) => {
                self.inner.vault.open(id, &Sealed { kid, nonce, text }).map(Some)
            }
        }
    }

    /// Notes that load begins now, against `model`: the point of no return. Only when this has
    /// come back may the first request leave.
    ///
    /// # Errors
    ///
    /// [`StoreError::CancelRequested`] where somebody asked to cancel, [`StoreError::Lost`] where
    /// the run is not held any more or its lease has run out.
    pub async fn load_starts(&self, held: &Held, model: &str) -> Result<(), StoreError> {
        self.starts(held, model, None).await.map(drop)
    }

    /// The same of a load that `of` runners make together, all of them `ahead` from now; when that
    /// is, in unix microseconds by the database's clock.
    ///
    /// # Errors
    ///
    /// As for one; [`StoreError::NotGathered`] where not all of them are ready.
    pub async fn load_starts_together(
        &self,
        held: &Held,
        model: &str,
        of: u32,
        ahead: Duration,
    ) -> Result<i64, StoreError> {
        let started = self.starts(held, model, Some((of, ahead))).await?;
        started.ok_or(StoreError::NotGathered(held.id))
    }

    async fn starts(
        &self,
        held: &Held,
        model: &str,
        together: Option<(u32, Duration)>,
    ) -> Result<Option<i64>, StoreError> {
        let tx = self.inner.database.begin().await?;
        let now = clock::now(&tx).await?;
        let row = self.held_row(&tx, held).await?;
        if row.lease_until_ms.is_none_or(|until| until < now) {
            return Err(StoreError::Lost(held.id));
        }
        if rows::state(&row)? == State::Cancelling {
            return Err(StoreError::CancelRequested(held.id));
        }
        // Set already: this call's own first try, whose answer was lost.
        if row.load_started_at_ms.is_none() {
            let longest = longest_run_ms(&rows::spec(&row)?);
            let begun = benchmark::Entity::update_many()
                .col_expr(benchmark::Column::LoadStartedAtMs, Expr::value(now))
                .col_expr(benchmark::Column::RunDeadlineMs, Expr::value(now + longest))
                .col_expr(benchmark::Column::Model, Expr::value(rows::storable(model)))
                .col_expr(benchmark::Column::Version, transition::next_version())
                .filter(still(held))
                .filter(benchmark::Column::Status.eq(State::Running.as_str()))
                .filter(benchmark::Column::LoadStartedAtMs.is_null())
                .exec(&tx)
                .await?;
            if begun.rows_affected != 1 {
                return Err(StoreError::Lost(held.id));
            }
        }
        let start_at_us = match together {
            Some((of, ahead)) => Some(shards::start(&tx, held, of, ahead, now).await?),
            None => None,
        };
        tx.commit().await?;
        Ok(start_at_us)
    }

    /// Stores where a run is, and what it has measured so far where that is given.
    pub async fn progress(
        &self,
        held: &Held,
        progress: &Progress,
        partial: Option<(&Report, &[SecondRow])>,
    ) -> Result<(), StoreError> {
        let tx = self.inner.database.begin().await?;
        let written = benchmark::Entity::update_many()
            .col_expr(benchmark::Column::Progress, Expr::value(rows::json(progress)))
            .col_expr(benchmark::Column::Version, transition::next_version())
            .filter(still(held))
            .exec(&tx)
            .await?;
        if written.rows_affected != 1 {
            return Err(StoreError::Lost(held.id));
        }
        if let Some((report, series)) = partial {
            let now = clock::now(&tx).await?;
            put_partial(&tx, held, now, report, series).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Ends a run, and says how it has ended: cancelled, whatever was asked, where somebody had
    /// asked for that. Ending twice with the same claim says the same again.
    pub async fn finish(&self, held: &Held, ending: Ending) -> Result<State, StoreError> {
        // A report is large, and so is the future that carries it: it lives on the heap.
        Box::pin(self.end(held, ending)).await
    }

    async fn end(&self, held: &Held, ending: Ending) -> Result<State, StoreError> {
        use State::{Cancelled, Completed, Failed, TimedOut};
        if !matches!(ending.to, Completed | Failed | Cancelled | TimedOut) {
            return Err(StoreError::NotAnEnding { to: ending.to });
        }
        let tx = self.inner.database.begin().await?;
        let now = clock::now(&tx).await?;
        let row = transition::locked(&tx, held.id).await?;
        let row = row.filter(|row| row.fence == held.fence).ok_or(StoreError::Lost(held.id))?;
        let from = rows::state(&row)?;
        // A loss would have raised the fence; so this is our own doing, and its answer was lost.
        if from.is_terminal() {
            return Ok(from);
        }
        let (to, reason) = match from {
            State::Queued => return Err(StoreError::Lost(held.id)),
            State::Cancelling => {
                let first =
                    rows::reason(held.id, row.reason_code.clone(), row.reason_detail.clone())?;
                (Cancelled, first.or(ending.reason))
            }
            // Cancelled is only reached by way of cancelling.
            _ if ending.to == Cancelled => (Failed, ending.reason),
            _ => (ending.to, ending.reason),
        };
        let runner = row.runner_id.clone().unwrap_or_default();
        let change = Change {
            id: held.id,
            from: Some(from),
            to,
            fence: held.fence,
            at_ms: now,
            actor: &runner,
            reason: reason.as_ref(),
        };
        let report = ending.report.as_ref().map(rows::json);
        let series = report.as_ref().map(|_| rows::json(&ending.series));
        let histograms = report.as_ref().map(|_| rows::json(&ending.histograms));
        let cooldown_ms = self.cooldown_ms();
        let requests = ending.requests;
        let results = Results { report, series, histograms, requests, cooldown_ms };
        transition::end(&tx, &row, &change, results).await?;
        tx.commit().await?;
        measures::ended(to, row.cancel_requested_at_ms.map(|asked| now - asked));
        Ok(to)
    }

    /// Puts a run back into the queue: this runner stops, and no load was sent.
    ///
    /// # Errors
    ///
    /// [`StoreError::LoadStarted`] where it was; [`StoreError::CancelRequested`] where it should
    /// end instead.
    pub async fn give_back(&self, held: &Held) -> Result<(), StoreError> {
        let tx = self.inner.database.begin().await?;
        let now = clock::now(&tx).await?;
        let row = self.held_row(&tx, held).await?;
        if row.load_started_at_ms.is_some() {
            return Err(StoreError::LoadStarted(held.id));
        }
        if rows::state(&row)? == State::Cancelling {
            return Err(StoreError::CancelRequested(held.id));
        }
        let runner = row.runner_id.clone().unwrap_or_default();
        let change = Change {
            id: held.id,
            from: Some(State::Running),
            to: State::Queued,
            fence: held.fence,
            at_ms: now,
            actor: &runner,
            reason: None,
        };
        // Being given back is not having failed.
        transition::requeue(&tx, &row, &change, row.claims - 1).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn held_row<C: ConnectionTrait>(
        &self,
        c: &C,
        held: &Held,
    ) -> Result<benchmark::Model, StoreError> {
        let row = benchmark::Entity::find().filter(still(held)).lock_exclusive().one(c).await?;
        row.ok_or(StoreError::Lost(held.id))
    }
}

fn is_taken(refused: &DbErr) -> bool {
    matches!(refused.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

async fn put_partial<C: ConnectionTrait>(
    c: &C,
    held: &Held,
    now: i64,
    report: &Report,
    series: &[SecondRow],
) -> Result<(), StoreError> {
    use benchmark_partial::Column;
    let partial = benchmark_partial::ActiveModel {
        benchmark_id: Set(held.id.0),
        shard: Set(0),
        fence: Set(held.fence),
        seq: Set(1),
        at_ms: Set(now),
        report: Set(rows::json(report)),
        series: Set(rows::json(series)),
    };
    let mut newer = OnConflict::columns([Column::BenchmarkId, Column::Shard]);
    newer
        .update_columns([Column::Fence, Column::AtMs, Column::Report, Column::Series])
        .value(Column::Seq, Expr::col((benchmark_partial::Entity, Column::Seq)).add(1));
    benchmark_partial::Entity::insert(partial).on_conflict(newer).exec_without_returning(c).await?;
    Ok(())
}
