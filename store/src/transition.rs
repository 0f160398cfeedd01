//! What every change of state has in common: the row's compare-and-set, its event, and at the end
//! the tidying up. All within the caller's transaction.

use std::collections::BTreeSet;

use entity::{benchmark, benchmark_partial, benchmark_secret, benchmark_series, benchmark_target};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Set, Statement,
};
use serde_json::Value;
use shared::{BenchmarkId, Reason, State};

use crate::{StoreError, StoredRequests, measured, next, queue, rows, shards};

/// One change of state.
pub(crate) struct Change<'a> {
    pub(crate) id: BenchmarkId,
    pub(crate) from: Option<State>,
    pub(crate) to: State,
    /// The fence from the change on.
    pub(crate) fence: i64,
    pub(crate) at_ms: i64,
    /// `api`, `sweeper`, or the id of a runner.
    pub(crate) actor: &'a str,
    pub(crate) reason: Option<&'a Reason>,
}

/// What a run leaves behind.
#[derive(Default)]
pub(crate) struct Results {
    /// None: what was measured so far.
    pub(crate) report: Option<Value>,
    pub(crate) series: Option<Value>,
    pub(crate) histograms: Option<Value>,
    pub(crate) requests: Option<StoredRequests>,
    /// How long its targets are left alone.
    pub(crate) cooldown_ms: i64,
}

/// What every change that a client can see does to the row's version.
pub(crate) fn next_version() -> Expr {
    Expr::col(benchmark::Column::Version).add(1)
}

/// The row of `id`, kept from others until the transaction ends.
pub(crate) async fn locked<C: ConnectionTrait>(
    c: &C,
    id: BenchmarkId,
) -> Result<Option<benchmark::Model>, StoreError> {
    Ok(benchmark::Entity::find_by_id(id.0).lock_exclusive().one(c).await?)
}

/// An event, numbered after the last one.
const RECORD: &str = "INSERT INTO benchmark_event (benchmark_id, seq, at_ms, from_status, \
     to_status, fence, actor, reason_code, reason_detail) \
     SELECT $1, coalesce(max(seq), 0) + 1, $2, $3, $4, $5, $6, $7, $8 \
     FROM benchmark_event WHERE benchmark_id = $1";

/// Writes the event of `change`. The row has been written before, in the same transaction, so
/// nobody else counts events of this benchmark now.
pub(crate) async fn record<C: ConnectionTrait>(
    c: &C,
    change: &Change<'_>,
) -> Result<(), StoreError> {
    let (reason_code, reason_detail) = rows::reason_columns(change.reason);
    let values: [sea_orm::Value; 8] = [
        change.id.0.into(),
        change.at_ms.into(),
        change.from.map(|state| state.to_string()).into(),
        change.to.to_string().into(),
        change.fence.into(),
        change.actor.to_owned().into(),
        reason_code.into(),
        reason_detail.into(),
    ];
    let backend = c.get_database_backend();
    c.execute_raw(Statement::from_sql_and_values(backend, RECORD, values)).await?;
    Ok(())
}

/// Moves `row`, as it was read in this transaction, by `change`; `columns` is what changes beside
/// the state. Refuses with [`StoreError::Lost`] where it is no longer as it was read.
pub(crate) async fn apply<C: ConnectionTrait>(
    c: &C,
    row: &benchmark::Model,
    change: &Change<'_>,
    columns: benchmark::ActiveModel,
) -> Result<(), StoreError> {
    let columns = benchmark::ActiveModel {
        status: Set(change.to.to_string()),
        fence: Set(change.fence),
        ..columns
    };
    let moved = benchmark::Entity::update_many()
        .set(columns)
        .col_expr(benchmark::Column::Version, next_version())
        .filter(benchmark::Column::Id.eq(row.id))
        .filter(benchmark::Column::Status.eq(&row.status))
        .filter(benchmark::Column::Fence.eq(row.fence))
        .exec(c)
        .await?;
    if moved.rows_affected != 1 {
        return Err(StoreError::Lost(change.id));
    }
    record(c, change).await
}

/// Ends `row` by `change`: results stored (what was measured so far, where there are none), lease
/// given up, key deleted, and a ticket pushed for whatever waits for the target.
pub(crate) async fn end<C: ConnectionTrait>(
    c: &C,
    row: &benchmark::Model,
    change: &Change<'_>,
    results: Results,
) -> Result<(), StoreError> {
    let partial = benchmark_partial::Entity::find()
        .filter(benchmark_partial::Column::BenchmarkId.eq(row.id))
        .filter(benchmark_partial::Column::Shard.eq(0))
        .one(c)
        .await?;
    let Results { report, series, histograms, requests, cooldown_ms } = results;
    let (report, series) = match (report, partial) {
        (None, Some(partial)) => (Some(partial.report), Some(partial.series)),
        (report, _) => (report, series),
    };
    if change.to == State::Completed && report.is_none() {
        return Err(StoreError::NotAnEnding { to: change.to });
    }
    let (reason_code, reason_detail) = rows::reason_columns(change.reason);
    let columns = benchmark::ActiveModel {
        reason_code: Set(reason_code),
        reason_detail: Set(reason_detail),
        lease_until_ms: Set(None),
        finished_at_ms: Set(Some(change.at_ms)),
        report: Set(report),
        ..Default::default()
    };
    apply(c, row, change, columns).await?;
    if let Some(series) = series {
        let series = benchmark_series::ActiveModel { benchmark_id: Set(row.id), rows: Set(series) };
        series.insert(c).await?;
    }
    let of_others = shards::taken_away(c, row).await?;
    let requests = requests.map(|requests| (0, requests)).into_iter().chain(of_others);
    measured::insert(c, change.id, histograms, requests).await?;
    forget_partials(c, row.id).await?;
    benchmark_secret::Entity::delete_by_id(row.id).exec(c).await?;
    if change.from != Some(State::Queued) {
        let cooldown_ms = if row.load_started_at_ms.is_some() { cooldown_ms } else { 0 };
        next_of_its_targets(c, row.id, change.at_ms, cooldown_ms).await?;
    }
    Ok(())
}

/// Pushes a ticket for the next due benchmark of each target that has become free with the end of
/// `ended`; it wakes a worker when the target has been left alone for long enough.
async fn next_of_its_targets<C: ConnectionTrait>(
    c: &C,
    ended: i64,
    now_ms: i64,
    cooldown_ms: i64,
) -> Result<(), StoreError> {
    let freed: Vec<String> = benchmark_target::Entity::find()
        .select_only()
        .column(benchmark_target::Column::TargetKey)
        .filter(benchmark_target::Column::BenchmarkId.eq(ended))
        .order_by_asc(benchmark_target::Column::TargetKey)
        .into_tuple()
        .all(c)
        .await?;
    let mut next = BTreeSet::new();
    for target_key in freed {
        next.extend(next::of_target(c, &target_key, now_ms + cooldown_ms).await?);
    }
    for next in next {
        queue::push(c, next, Some(now_ms + cooldown_ms).filter(|_| cooldown_ms > 0)).await?;
    }
    Ok(())
}

/// Puts `row` back into the queue, with a ticket, as if nothing had been sent to its target.
pub(crate) async fn requeue<C: ConnectionTrait>(
    c: &C,
    row: &benchmark::Model,
    change: &Change<'_>,
    claims: i32,
) -> Result<(), StoreError> {
    let columns = benchmark::ActiveModel {
        claims: Set(claims),
        runner_id: Set(None),
        lease_until_ms: Set(None),
        queued_at_ms: Set(change.at_ms),
        started_at_ms: Set(None),
        load_started_at_ms: Set(None),
        run_deadline_ms: Set(None),
        progress: Set(None),
        ..Default::default()
    };
    apply(c, row, change, columns).await?;
    forget_partials(c, row.id).await?;
    // Their rows are of a load that counts no more.
    shards::taken_away(c, row).await?;
    queue::push(c, change.id, None).await
}

async fn forget_partials<C: ConnectionTrait>(c: &C, id: i64) -> Result<(), StoreError> {
    benchmark_partial::Entity::delete_many()
        .filter(benchmark_partial::Column::BenchmarkId.eq(id))
        .exec(c)
        .await?;
    Ok(())
}
