//! The shards of a run whose load several runners make together, as the runner sees them that holds
//! the run. Its own is shard 0 and has no row: the run's lease is its lease.
//!
//! A shard's row lives as long as the claim of its run: whatever ends the run, or puts it back into
//! the queue, takes the rows away, and with them whatever their runners could still write.

use std::time::Duration;

use entity::{benchmark, benchmark_shard};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
};
use shared::report::ShardEnvironment;
use shared::{BenchmarkId, Progress, Reason};

use crate::lease::{Held, still};
use crate::shard::Status;
use crate::{KeptRequests, Store, StoreError, StoredRequests, clock, queue, rows};

/// A shard as its row tells, to whoever holds the run.
#[derive(Clone, Debug)]
pub struct ShardState {
    /// Which, from 1 on.
    pub shard: u32,
    /// How far its runner is.
    pub status: Status,
    /// Who has it.
    pub runner: Option<String>,
    /// Whether that runner has been silent for longer than it may.
    pub is_silent: bool,
    /// Where its load is made; none: nobody is ready to.
    pub environment: Option<ShardEnvironment>,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// How its part of the load goes.
    pub progress: Option<Progress>,
    /// Counts what it has told of its figures; 0: nothing yet.
    pub figures_seq: i64,
    /// Whether its load is over and its figures are whole.
    pub is_measured: bool,
    /// Its rows; none: they are nowhere yet.
    pub requests: Option<KeptRequests>,
}

/// Offers the shards of a run that was just claimed to other runners.
pub(crate) async fn offer<C: ConnectionTrait>(
    c: &C,
    held: &Held,
    users: i32,
    of: u32,
) -> Result<(), StoreError> {
    let users = u32::try_from(users).unwrap_or(1);
    let shards = (1..of).map(|shard| {
        let share = users / of + u32::from(shard < users % of);
        benchmark_shard::ActiveModel {
            benchmark_id: Set(held.id.0),
            shard: Set(shard.cast_signed()),
            fence: Set(held.fence),
            status: Set(Status::Waiting.as_str().to_owned()),
            users: Set(share.cast_signed()),
            ..Default::default()
        }
    });
    benchmark_shard::Entity::insert_many(shards).exec_without_returning(c).await?;
    for _ in 1..of {
        queue::push(c, held.id, None).await?;
    }
    Ok(())
}

/// Takes the shards of `row`, as it was read in this transaction, away from whoever has them: their
/// run is over, or begins anew. Which files of requests they have told of.
pub(crate) async fn taken_away<C: ConnectionTrait>(
    c: &C,
    row: &benchmark::Model,
) -> Result<Vec<(u32, StoredRequests)>, StoreError> {
    let of_benchmark = benchmark_shard::Column::BenchmarkId.eq(row.id);
    // Kept from their runners meanwhile: who tells of a file either comes before this, or hears that
    // the run is over.
    let told: Vec<(i64, i32, Option<serde_json::Value>)> = benchmark_shard::Entity::find()
        .select_only()
        .columns([
            benchmark_shard::Column::Fence,
            benchmark_shard::Column::Shard,
            benchmark_shard::Column::Requests,
        ])
        .filter(of_benchmark.clone())
        .order_by_asc(benchmark_shard::Column::Shard)
        .lock_exclusive()
        .into_tuple()
        .all(c)
        .await?;
    benchmark_shard::Entity::delete_many().filter(of_benchmark).exec(c).await?;
    let told = told.into_iter().filter(|(fence, ..)| *fence == row.fence);
    let files = told.filter_map(|(_, shard, requests)| {
        let shard = shard.cast_unsigned();
        match kept(BenchmarkId(row.id), &requests?) {
            Ok(requests) => Some((shard, requests.ok()?)),
            // The end of a run waits for nothing.
            Err(error) => {
                tracing::error!(benchmark = row.id, shard, ?error, "rows of a shard are not kept");
                None
            }
        }
    });
    Ok(files.collect())
}

fn kept(id: BenchmarkId, requests: &serde_json::Value) -> Result<KeptRequests, StoreError> {
    rows::read(id, "a shard's rows", requests)
}

/// Has all shards of a run begin `ahead` from now, in the transaction that notes that its load
/// begins; when that is, in unix microseconds by the database's clock.
pub(crate) async fn start<C: ConnectionTrait>(
    c: &C,
    held: &Held,
    of: u32,
    ahead: Duration,
    now: i64,
) -> Result<i64, StoreError> {
    let already: Option<Option<i64>> = benchmark_shard::Entity::find()
        .select_only()
        .column(benchmark_shard::Column::StartAtUs)
        .filter(of_run(held))
        .filter(benchmark_shard::Column::StartAtUs.is_not_null())
        .into_tuple()
        .one(c)
        .await?;
    // This call's own first try, whose answer was lost.
    if let Some(start_at_us) = already.flatten() {
        return Ok(start_at_us);
    }
    let ahead_us = i64::try_from(ahead.as_micros()).unwrap_or(i64::MAX / 4);
    let start_at_us = clock::now_us(c).await? + ahead_us;
    let started = benchmark_shard::Entity::update_many()
        .col_expr(benchmark_shard::Column::StartAtUs, Expr::value(start_at_us))
        .filter(of_run(held))
        .filter(benchmark_shard::Column::Status.eq(Status::Ready.as_str()))
        .filter(benchmark_shard::Column::StartAtUs.is_null())
        .filter(benchmark_shard::Column::LeaseUntilMs.gt(now + ahead_us / 1_000))
        .exec(c)
        .await?;
    if started.rows_affected != u64::from(of - 1) {
        return Err(StoreError::NotGathered(held.id));
    }
    Ok(start_at_us)
}

fn of_run(held: &Held) -> Expr {
    benchmark_shard::Column::BenchmarkId
        .eq(held.id.0)
        .and(benchmark_shard::Column::Fence.eq(held.fence))
}

impl Store {
    /// The other runners' shards of a run, in order, without their figures.
    pub async fn shards(&self, held: &Held) -> Result<Vec<ShardState>, StoreError> {
        use benchmark_shard::Column;
        let c = &self.inner.database.main;
        let now = clock::now(c).await?;
        let found = benchmark_shard::Entity::find()
            .select_only()
            .columns([
                Column::Shard,
                Column::Status,
                Column::RunnerId,
                Column::LeaseUntilMs,
                Column::Environment,
                Column::Reason,
                Column::Progress,
                Column::FiguresSeq,
                Column::Measured,
                Column::Requests,
            ])
            .filter(of_run(held))
            .order_by_asc(Column::Shard)
            .into_tuple::<Row>()
            .all(c)
            .await?;
        found.into_iter().map(|row| state(held.id, row, now)).collect()
    }

    /// What the other runners of a run have told of their figures, by shard.
    pub async fn shard_figures(&self, held: &Held) -> Result<Vec<(u32, Vec<u8>)>, StoreError> {
        let found: Vec<(i32, Option<Vec<u8>>)> = benchmark_shard::Entity::find()
            .select_only()
            .columns([benchmark_shard::Column::Shard, benchmark_shard::Column::Figures])
            .filter(of_run(held))
            .filter(benchmark_shard::Column::Figures.is_not_null())
            .order_by_asc(benchmark_shard::Column::Shard)
            .into_tuple()
            .all(&self.inner.database.main)
            .await?;
        let told = found
            .into_iter()
            .filter_map(|(shard, figures)| Some((shard.cast_unsigned(), figures?)));
        Ok(told.collect())
    }

    /// Offers again what a runner took and went silent with before the load began, and tells runners
    /// once more of what nobody has taken.
    pub async fn offer_shards_again(&self, held: &Held) -> Result<(), StoreError> {
        use benchmark_shard::Column;
        let tx = self.inner.database.begin().await?;
        let now = clock::now(&tx).await?;
        benchmark_shard::Entity::update_many()
            .col_expr(Column::Status, Expr::value(Status::Waiting.as_str()))
            .col_expr(Column::RunnerId, Expr::value(None::<String>))
            .col_expr(Column::LeaseUntilMs, Expr::value(None::<i64>))
            .filter(of_run(held))
            .filter(Column::Status.is_in(Status::HELD.map(Status::as_str)))
            .filter(Column::StartAtUs.is_null())
            .filter(Column::LeaseUntilMs.lt(now))
            .exec(&tx)
            .await?;
        let waiting: Vec<i32> = benchmark_shard::Entity::find()
            .select_only()
            .column(Column::Shard)
            .filter(of_run(held))
            .filter(Column::Status.eq(Status::Waiting.as_str()))
            .into_tuple()
            .all(&tx)
            .await?;
        for _ in waiting {
            queue::push(&tx, held.id, None).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Has the other runners of a run stop at once and tell what they measured.
    ///
    /// # Errors
    ///
    /// [`StoreError::Lost`] where the run is not held any more.
    pub async fn stop_shards(&self, held: &Held) -> Result<(), StoreError> {
        let tx = self.inner.database.begin().await?;
        let mine = benchmark::Entity::find()
            .select_only()
            .column(benchmark::Column::Id)
            .filter(still(held))
            .into_tuple::<i64>()
            .one(&tx)
            .await?;
        if mine.is_none() {
            return Err(StoreError::Lost(held.id));
        }
        benchmark_shard::Entity::update_many()
            .col_expr(benchmark_shard::Column::Stop, Expr::value(true))
            .filter(of_run(held))
            .exec(&tx)
            .await?;
        crate::control::notify(&tx, held.id).await?;
        tx.commit().await?;
        self.announce(held.id);
        Ok(())
    }
}

type Row = (
    i32,
    String,
    Option<String>,
    Option<i64>,
    Option<serde_json::Value>,
    Option<serde_json::Value>,
    Option<serde_json::Value>,
    i64,
    bool,
    Option<serde_json::Value>,
);

fn state(id: BenchmarkId, row: Row, now: i64) -> Result<ShardState, StoreError> {
    let (
        shard,
        status,
        runner,
        lease,
        environment,
        reason,
        progress,
        figures_seq,
        measured,
        requests,
    ) = row;
    let status = rows::word(id, "a shard's status", &status)?;
    Ok(ShardState {
        shard: shard.cast_unsigned(),
        is_silent: Status::HELD.contains(&status) && lease.is_none_or(|until| until < now),
        status,
        runner,
        environment: environment.map(|json| rows::read(id, "a shard", &json)).transpose()?,
        reason: reason.map(|json| rows::read(id, "a shard's reason", &json)).transpose()?,
        progress: progress.map(|json| rows::read(id, "a shard's progress", &json)).transpose()?,
        figures_seq,
        is_measured: measured || status.is_over(),
        requests: requests.map(|json| kept(id, &json)).transpose()?,
    })
}
