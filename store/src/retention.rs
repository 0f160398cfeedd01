//! What is thrown away of a benchmark that ended long ago: what is large and what grows. The
//! benchmark itself and its report stay until somebody deletes it.

use std::collections::BTreeSet;

use entity::{benchmark_artifact, benchmark_event, benchmark_histogram, benchmark_series};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Statement, Value};
use shared::BenchmarkId;

use crate::{Store, StoreError, milliseconds};

/// Benchmarks of one transaction.
const BATCH: i64 = 100;
/// Batches of one sweep: what is left waits for the next, so that nobody waits for long.
const BATCHES: usize = 20;

/// Benchmarks that ended before `$1` and have something left. The tables hold only what is kept,
/// so this looks at no more than that.
const LEFT_OVER: &str = "SELECT benchmark_id FROM (\
     SELECT benchmark_id FROM benchmark_event UNION SELECT benchmark_id FROM benchmark_series \
     UNION SELECT benchmark_id FROM benchmark_histogram \
     UNION SELECT benchmark_id FROM benchmark_artifact WHERE $3) AS kept \
     JOIN benchmark ON benchmark.id = kept.benchmark_id \
     WHERE benchmark.finished_at_ms < $1 ORDER BY benchmark_id LIMIT $2";

impl Store {
    /// Deletes what has been kept for long enough: of how many benchmarks.
    pub(crate) async fn retain(&self, now_ms: i64) -> Result<u64, StoreError> {
        let Some(retain) = self.rules.retain else { return Ok(0) };
        let before_ms = now_ms - milliseconds(retain);
        let mut done = 0;
        for _ in 0..BATCHES {
            let batch = self.left_over(before_ms).await?;
            if batch.is_empty() {
                break;
            }
            done += batch.len() as u64;
            self.throw_away(&batch).await?;
        }
        Ok(done)
    }

    async fn left_over(&self, before_ms: i64) -> Result<Vec<i64>, StoreError> {
        let c = &self.inner.database.main;
        // A process without an artifact store leaves files, and the rows that name them, alone.
        let values: [Value; 3] = [before_ms.into(), BATCH.into(), self.artifacts.is_some().into()];
        let asked = Statement::from_sql_and_values(c.get_database_backend(), LEFT_OVER, values);
        let found = c.query_all_raw(asked).await?;
        found.iter().map(|row| Ok(row.try_get_by_index(0)?)).collect()
    }

    /// Files first: were it the other way round, one that could not be deleted would be nobody's.
    async fn throw_away(&self, batch: &[i64]) -> Result<(), StoreError> {
        let c = &self.inner.database.main;
        let ids = || batch.iter().copied();
        if let Some(artifacts) = &self.artifacts {
            let named = benchmark_artifact::Entity::find()
                .filter(benchmark_artifact::Column::BenchmarkId.is_in(ids()))
                .all(c)
                .await?;
            let with_files = named.into_iter().map(|artifact| artifact.benchmark_id);
            for id in with_files.collect::<BTreeSet<_>>() {
                artifacts.delete_all(BenchmarkId(id)).await?;
            }
        }
        let tx = self.inner.database.begin().await?;
        if self.artifacts.is_some() {
            benchmark_artifact::Entity::delete_many()
                .filter(benchmark_artifact::Column::BenchmarkId.is_in(ids()))
                .exec(&tx)
                .await?;
        }
        benchmark_event::Entity::delete_many()
            .filter(benchmark_event::Column::BenchmarkId.is_in(ids()))
            .exec(&tx)
            .await?;
        benchmark_series::Entity::delete_many()
            .filter(benchmark_series::Column::BenchmarkId.is_in(ids()))
            .exec(&tx)
            .await?;
        benchmark_histogram::Entity::delete_many()
            .filter(benchmark_histogram::Column::BenchmarkId.is_in(ids()))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
