//! What happened to a benchmark, in order.

use entity::{benchmark, benchmark_event};
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;
use shared::{BenchmarkId, Progress, Reason, State, Timestamp};

use crate::editions::is_one_of;
use crate::{Store, StoreError, rows};

/// One change of a benchmark's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// From 1 up, without gaps.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// From which state; none: it was created.
    pub from: Option<State>,
    /// To which.
    pub to: State,
    /// Why, where it is not the usual course.
    pub reason: Option<Reason>,
    /// Who did it: `api`, `sweeper`, or the id of a runner.
    pub actor: String,
    /// The fence from then on.
    pub fence: i64,
}

/// What those see of a benchmark who follow it.
#[derive(Clone, Debug, PartialEq)]
pub struct Glance {
    /// Which.
    pub id: BenchmarkId,
    /// Its state.
    pub state: State,
    /// The number of its last event, which brought it there.
    pub seq: i64,
    /// How its run goes.
    pub progress: Progress,
}

impl Store {
    /// A look at each of `ids` that is there, in one statement.
    pub async fn glances(&self, ids: &[BenchmarkId]) -> Result<Vec<Glance>, StoreError> {
        use benchmark::Column;
        let c = &self.inner.database.main;
        let last = Query::select()
            .expr(Expr::col((benchmark_event::Entity, benchmark_event::Column::Seq)).max())
            .from(benchmark_event::Entity)
            .and_where(
                Expr::col((benchmark_event::Entity, benchmark_event::Column::BenchmarkId))
                    .equals((benchmark::Entity, Column::Id)),
            )
            .to_owned();
        let found: Vec<(i64, String, Option<Value>, Option<i64>)> = benchmark::Entity::find()
            .select_only()
            .columns([Column::Id, Column::Status, Column::Progress])
            .expr_as(last, "seq")
            .filter(is_one_of(c, ids))
            .into_tuple()
            .all(c)
            .await?;
        let glance = |(id, status, progress, seq): (i64, String, Option<Value>, Option<i64>)| {
            let id = BenchmarkId(id);
            let state: State = rows::word(id, "a status", &status)?;
            let progress = rows::progress(id, state, progress.as_ref())?;
            Ok(Glance { id, state, seq: seq.unwrap_or(0), progress })
        };
        found.into_iter().map(glance).collect()
    }

    /// The events of `id` after the one numbered `after_seq`; 0 for all.
    pub async fn events(&self, id: BenchmarkId, after_seq: i64) -> Result<Vec<Event>, StoreError> {
        let c = &self.inner.database.main;
        let found = benchmark_event::Entity::find()
            .filter(benchmark_event::Column::BenchmarkId.eq(id.0))
            .filter(benchmark_event::Column::Seq.gt(after_seq))
            .order_by_asc(benchmark_event::Column::Seq)
            .all(c)
            .await?;
        if found.is_empty() && benchmark::Entity::find_by_id(id.0).count(c).await? == 0 {
            return Err(StoreError::NotFound(id));
        }
        found.into_iter().map(rows::event).collect()
    }
}
