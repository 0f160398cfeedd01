//! What a run that has ended has beside its report: histograms, and the file of its requests.

use entity::{benchmark_artifact, benchmark_histogram};
use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait, Set};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{BenchmarkId, report::Histograms};

use crate::{Store, StoreError, rows};

/// What the file of the requests is called.
const REQUESTS: &str = "requests";

/// The file of a benchmark's requests, in the artifact store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRequests {
    /// Its key.
    pub key: String,
    /// How many rows it has.
    pub rows: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Store {
    /// The file of the requests of `id`; none: there is none, or not yet.
    pub async fn requests(&self, id: BenchmarkId) -> Result<Option<StoredRequests>, StoreError> {
        let of = (id.0, REQUESTS.to_owned());
        let row = benchmark_artifact::Entity::find_by_id(of).one(&self.inner.database.main).await?;
        Ok(row.map(|row| StoredRequests {
            key: row.key,
            rows: u64::try_from(row.row_count).unwrap_or_default(),
            bytes: u64::try_from(row.byte_count).unwrap_or_default(),
        }))
    }

    /// The histograms of `id`; none: there are none, or not yet.
    pub async fn histograms(&self, id: BenchmarkId) -> Result<Option<Histograms>, StoreError> {
        let c = &self.inner.database.main;
        let row = benchmark_histogram::Entity::find_by_id(id.0).one(c).await?;
        row.map(|row| rows::histograms(id, &row.histograms)).transpose()
    }
}

/// Writes what a run left behind, in the transaction that ends it.
pub(crate) async fn insert<C: ConnectionTrait>(
    c: &C,
    id: BenchmarkId,
    histograms: Option<Value>,
    requests: Option<StoredRequests>,
) -> Result<(), StoreError> {
    if let Some(histograms) = histograms {
        let row = benchmark_histogram::ActiveModel {
            benchmark_id: Set(id.0),
            histograms: Set(histograms),
        };
        row.insert(c).await?;
    }
    if let Some(StoredRequests { key, rows, bytes }) = requests {
        let count = |number| Set(i64::try_from(number).unwrap_or(i64::MAX));
        let row = benchmark_artifact::ActiveModel {
            benchmark_id: Set(id.0),
            name: Set(REQUESTS.to_owned()),
            key: Set(key),
            row_count: count(rows),
            byte_count: count(bytes),
        };
        row.insert(c).await?;
    }
    Ok(())
}
