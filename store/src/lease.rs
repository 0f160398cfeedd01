//! Who holds a run, and for how long: apart from the rest of a run, since it is asked twice a
//! second and must be answered while everything else waits.

use entity::benchmark;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use shared::{BenchmarkId, State};

use crate::database::LEASE_TIMEOUT;
use crate::{Store, StoreError, clock, rows};

/// A run that this runner holds, as of its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// Which benchmark.
    pub id: BenchmarkId,
    /// The fence of the claim.
    pub fence: i64,
}

/// What a renewal brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It is still held.
    Held,
    /// It is still held, and somebody asked to cancel it.
    CancelRequested,
    /// It is not held any more: stop at once.
    Lost,
}

impl Store {
    /// Renews the lease of a run, and brings back whether it is still held. On connections of its
    /// own, and an error where there is no answer within 4 s.
    pub async fn renew(&self, held: &Held) -> Result<Renewal, StoreError> {
        let database = &self.inner.database;
        let until = clock::expr(database.lease.get_database_backend()).add(self.lease().ttl_ms());
        let renewing = benchmark::Entity::update_many()
            .col_expr(benchmark::Column::LeaseUntilMs, until)
            .filter(still(held))
            .exec_with_returning(&database.lease);
        match in_time(renewing).await?.first() {
            Some(row) => Ok(renewal(rows::state(row)?)),
            None => Ok(Renewal::Lost),
        }
    }

    /// The same without renewing: cheap enough to ask twice a second.
    pub async fn cancel_requested(&self, held: &Held) -> Result<Renewal, StoreError> {
        let asking = benchmark::Entity::find()
            .select_only()
            .column(benchmark::Column::Status)
            .filter(still(held))
            .into_tuple()
            .one(&self.inner.database.lease);
        let status: Option<String> = in_time(asking).await?;
        Ok(status.and_then(|word| word.parse().ok()).map_or(Renewal::Lost, renewal))
    }
}

/// Whoever waits for longer than this for the database has no answer: a connection may be dead
/// without knowing it.
pub(crate) async fn in_time<T, E>(
    asking: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError>
where
    StoreError: From<E>,
{
    Ok(tokio::time::timeout(LEASE_TIMEOUT, asking).await.map_err(StoreError::connect)??)
}

/// The row of `held`, as long as that claim is the last and the run goes on.
pub(crate) fn still(held: &Held) -> Expr {
    benchmark::Column::Id
        .eq(held.id.0)
        .and(benchmark::Column::Fence.eq(held.fence))
        .and(benchmark::Column::Status.is_in([State::Running.as_str(), State::Cancelling.as_str()]))
}

fn renewal(state: State) -> Renewal {
    match state {
        State::Running => Renewal::Held,
        State::Cancelling => Renewal::CancelRequested,
        _ => Renewal::Lost,
    }
}
