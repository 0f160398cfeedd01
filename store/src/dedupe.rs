//! One at a time: who asks for what waits or runs already, where both were asked for so, gets that.

use entity::benchmark::{self, Column};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Statement};
use shared::{BenchmarkId, State};

use crate::{StoreError, clock, rows};

/// `owner`'s benchmark that waits or runs and of which `asked` was asked for, too; it does so until
/// the transaction `c` has ended. Who looks for the same at the same time waits as long, for `c` may be
/// about to make it.
pub(crate) async fn find<C: ConnectionTrait>(
    c: &C,
    owner: &str,
    asked: &str,
) -> Result<Option<BenchmarkId>, StoreError> {
    let (owner, dedupe) = (rows::storable(owner), rows::digest(asked));
    if clock::is_postgres(c) {
        let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        let values = [format!("{owner} {dedupe}").into()];
        c.execute_raw(Statement::from_sql_and_values(c.get_database_backend(), sql, values))
            .await?;
    }
    let found: Option<i64> = benchmark::Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Owner.eq(owner))
        .filter(Column::Dedupe.eq(dedupe))
        .filter(Column::Status.is_in([State::Queued.as_str(), State::Running.as_str()]))
        .lock_shared()
        .into_tuple()
        .one(c)
        .await?;
    Ok(found.map(BenchmarkId))
}
