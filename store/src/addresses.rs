//! Where targets are, whatever they are called: two names of one server have two runs at a time, and
//! each is told of the other.

use std::{collections::BTreeSet, net::SocketAddr};

use entity::benchmark::{self, Column};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Statement};
use shared::BenchmarkId;

use crate::lease::{Held, still};
use crate::{Store, StoreError};

/// Those that have load now, and those whose load ended since `$2`; but for `$1`.
const LOADED_SINCE: &str = "SELECT id, addresses FROM benchmark \
     WHERE status IN ('running', 'cancelling') AND id <> $1 \
     AND addresses IS NOT NULL AND load_started_at_ms IS NOT NULL \
     UNION ALL SELECT id, addresses FROM benchmark \
     WHERE finished_at_ms >= $2 AND finished_at_ms < 9223372036854775807 AND id <> $1 \
     AND addresses IS NOT NULL AND load_started_at_ms IS NOT NULL";

/// Another benchmark at the same address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// Which.
    pub id: BenchmarkId,
    /// Where both are: address and port.
    pub address: String,
}

impl Store {
    /// Notes where the targets of the run `held` are; to be called before its load begins.
    pub async fn note_addresses(
        &self,
        held: &Held,
        addresses: &BTreeSet<SocketAddr>,
    ) -> Result<(), StoreError> {
        let noted: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let written = benchmark::Entity::update_many()
            .col_expr(Column::Addresses, Expr::value(noted.join(",")))
            .filter(still(held))
            .exec(&self.inner.database.main)
            .await?;
        if written.rows_affected == 1 { Ok(()) } else { Err(StoreError::Lost(held.id)) }
    }

    /// Other benchmarks that have had load at an address of the run `held` since its own began; each
    /// once.
    pub async fn neighbours(&self, held: &Held) -> Result<Vec<Neighbour>, StoreError> {
        let c = &self.inner.database.main;
        let own: Option<(Option<String>, Option<i64>)> = benchmark::Entity::find()
            .select_only()
            .columns([Column::Addresses, Column::LoadStartedAtMs])
            .filter(Column::Id.eq(held.id.0))
            .into_tuple()
            .one(c)
            .await?;
        let Some((Some(own), Some(since))) = own else { return Ok(Vec::new()) };
        let own: BTreeSet<&str> = own.split(',').collect();
        let values: [sea_orm::Value; 2] = [held.id.0.into(), since.into()];
        let asked = Statement::from_sql_and_values(c.get_database_backend(), LOADED_SINCE, values);
        let mut neighbours = BTreeSet::new();
        for row in c.query_all_raw(asked).await? {
            let id = BenchmarkId(row.try_get("", "id")?);
            let addresses: String = row.try_get("", "addresses")?;
            let shared = addresses.split(',').find(|address| own.contains(address));
            neighbours.extend(shared.map(|address| Neighbour { id, address: address.to_owned() }));
        }
        Ok(neighbours.into_iter().collect())
    }
}
