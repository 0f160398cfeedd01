//! What happened to a benchmark, in order.

use entity::{benchmark, benchmark_event};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};
use shared::{BenchmarkId, Reason, State, Timestamp};

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

impl Store {
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
