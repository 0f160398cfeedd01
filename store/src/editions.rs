//! Which edition of a benchmark is the current one: what everybody asks who polls, and cheap to say.

use entity::benchmark::{self, Column};
use sea_orm::sea_query::Expr;
use sea_orm::{ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use serde_json::Value;
use shared::{Benchmark, BenchmarkId};

use crate::{Store, StoreError, clock, lease, rows};

/// One of all that a benchmark has looked like: where a client sees something else, it is another.
/// Where the database is put back to an older copy and goes on from there, the other parts tell most
/// of what comes then from what was before, and the version alone would not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edition {
    /// When the benchmark was accepted, unix ms.
    pub created_at_ms: i64,
    /// Counts the changes that a client can see.
    pub version: i64,
    /// Counts claims and losses.
    pub fence: i64,
    /// When the benchmark ended, unix ms.
    pub finished_at_ms: Option<i64>,
}

impl Store {
    /// The editions of those of `ids` that are there, in one statement; an error where there is no
    /// answer within 4 s.
    pub async fn editions(
        &self,
        ids: &[BenchmarkId],
    ) -> Result<Vec<(BenchmarkId, Edition)>, StoreError> {
        let c = &self.inner.database.main;
        let asking = benchmark::Entity::find()
            .select_only()
            .columns([
                Column::Id,
                Column::CreatedAtMs,
                Column::Version,
                Column::Fence,
                Column::FinishedAtMs,
            ])
            .filter(is_one_of(c, ids))
            .into_tuple()
            .all(c);
        let found: Vec<(i64, i64, i64, i64, Option<i64>)> = lease::in_time(asking).await?;
        let edition = |(id, created_at_ms, version, fence, finished_at_ms)| {
            (BenchmarkId(id), Edition { created_at_ms, version, fence, finished_at_ms })
        };
        Ok(found.into_iter().map(edition).collect())
    }

    /// The benchmark `id`, with what was measured so far, and which edition of it this is.
    pub async fn edition(&self, id: BenchmarkId) -> Result<(Edition, Benchmark), StoreError> {
        let found = rows::find_one(&self.inner.database.main, id).await?;
        Ok((found.edition(), rows::benchmark(found)?))
    }
}

/// Whether a benchmark is one of `ids`. One value for all of them: a statement of its own for each
/// number of ids would be planned anew each time. And an array, of which PostgreSQL expects ten
/// values: of rows from a function it expects a hundred, and reads the whole table.
pub(crate) fn is_one_of<C: ConnectionTrait>(c: &C, ids: &[BenchmarkId]) -> Expr {
    let (is_one, ids) = if clock::is_postgres(c) {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        ("= ANY (string_to_array($1, ',')::bigint[])", ids.join(","))
    } else {
        let ids = ids.iter().map(|id| id.0).collect::<Value>();
        ("IN (SELECT value FROM json_each(?))", ids.to_string())
    };
    Expr::cust_with_values(format!("\"benchmark\".\"id\" {is_one}"), [ids])
}
