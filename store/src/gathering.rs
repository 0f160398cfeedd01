//! Which load that wants several runners may have them, and when.
//!
//! Its claim counts who is free and offers them shards. So that nobody who was counted takes up
//! something else in between, PostgreSQL has one lock for all claims: they share it, and a claim that
//! gathers has it alone. Whoever claims after that finds the shard that waits for it. SQLite has one
//! writer at a time anyway.

use entity::{benchmark, benchmark_shard, runner};
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Statement};
use shared::{RunnerId, RunnerState, State};

use crate::shard::Status;
use crate::{StoreError, clock, rows};

/// How long a run that wants several runners lets others go first while too few are free. Then it is
/// kept for: runners that come free take nothing else that comes after it.
const PATIENCE_MS: i64 = 30_000;

/// Names the lock of claims in PostgreSQL: "gather" in ASCII.
const GATHERING_LOCK: i64 = 0x6761_7468_6572;

/// How a claim stands to the others of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Beside them: it takes no runner but its own.
    AmongOthers,
    /// Without them: nobody claims anything until it has ended.
    Alone,
}

impl Entry {
    /// Whether nobody else claims anything in the meantime.
    pub(crate) fn is_alone<C: ConnectionTrait>(self, c: &C) -> bool {
        self == Self::Alone || !clock::is_postgres(c)
    }
}

/// Begins a claim in its transaction `c`, before that has locked anything else; when that is.
pub(crate) async fn enter<C: ConnectionTrait>(c: &C, entry: Entry) -> Result<i64, StoreError> {
    if !clock::is_postgres(c) {
        return clock::now(c).await;
    }
    let lock = match entry {
        Entry::AmongOthers => "pg_advisory_xact_lock_shared",
        Entry::Alone => "pg_advisory_xact_lock",
    };
    let backend = c.get_database_backend();
    let now = clock::sql(backend);
    let sql = format!("SELECT {now} AS now_ms FROM (SELECT {lock}($1)) AS entered");
    let entering = Statement::from_sql_and_values(backend, sql, [GATHERING_LOCK.into()]);
    let row = c.query_one_raw(entering).await?.ok_or(StoreError::NoAnswer)?;
    Ok(row.try_get("", "now_ms")?)
}

/// How many runners the load of `row` takes, for a runner that takes `max_users`.
pub(crate) fn wanted(row: &benchmark::Model, max_users: u32) -> u32 {
    let users = u32::try_from(row.users).unwrap_or(1);
    match u32::try_from(row.runners) {
        Ok(runners @ 1..) => runners,
        _ => Ord::max(users.div_ceil(Ord::max(max_users, 1)), 1),
    }
}

/// Whether enough runners beside `me` are free, and have the labels, for the load of `row`, which
/// takes `of`. Whoever claims among others learns only whether it is worth while to look alone.
pub(crate) async fn are_enough_free<C: ConnectionTrait>(
    c: &C,
    row: &benchmark::Model,
    of: u32,
    me: &RunnerId,
    seen_ms: i64,
) -> Result<bool, StoreError> {
    let running = Query::select()
        .column(benchmark::Column::RunnerId)
        .from(benchmark::Entity)
        .and_where(
            benchmark::Column::Status.is_in([State::Running.as_str(), State::Cancelling.as_str()]),
        )
        .and_where(benchmark::Column::RunnerId.is_not_null())
        .to_owned();
    let sharing = Query::select()
        .column(benchmark_shard::Column::RunnerId)
        .from(benchmark_shard::Entity)
        .and_where(benchmark_shard::Column::Status.is_in(Status::HELD.map(Status::as_str)))
        .to_owned();
    // What others have been offered and not taken yet is as good as taken. Counted in the same
    // statement: one that is taken between two of them would be in neither.
    let offered = Query::select()
        .expr(Expr::col(benchmark_shard::Column::Shard).count())
        .from(benchmark_shard::Entity)
        .and_where(benchmark_shard::Column::Status.eq(Status::Waiting.as_str()))
        .to_owned();
    let each = u32::try_from(row.users).unwrap_or(1).div_ceil(of);
    let found: Vec<(Option<serde_json::Value>, i64)> = runner::Entity::find()
        .select_only()
        .column(runner::Column::Labels)
        .expr(Expr::SubQuery(None, Box::new(offered.into())))
        .filter(runner::Column::State.eq(rows::runner_state_word(RunnerState::Active)))
        .filter(runner::Column::LastSeenMs.gte(seen_ms))
        .filter(runner::Column::DrainRequestedAtMs.is_null())
        .filter(runner::Column::MaxUsers.gte(i32::try_from(each).unwrap_or(i32::MAX)))
        .filter(runner::Column::Id.ne(&*me.0))
        .filter(runner::Column::Id.not_in_subquery(running))
        .filter(runner::Column::Id.not_in_subquery(sharing))
        .into_tuple()
        .all(c)
        .await?;
    let asked = rows::labels(row.labels.as_ref());
    let free =
        found.iter().filter(|(has, _)| asked.are_all_in(&rows::labels(has.as_ref()))).count();
    let offered = found.first().map_or(0, |(_, offered)| *offered);
    let offered = usize::try_from(offered).unwrap_or(usize::MAX);
    Ok((free + 1).saturating_sub(offered) >= of as usize)
}

/// Whether runners are kept free for `row`, which has waited until `now`.
pub(crate) fn is_kept_for(row: &benchmark::Model, now: i64) -> bool {
    let since = Ord::max(row.run_at_ms, row.queued_at_ms);
    now - since >= PATIENCE_MS
}
