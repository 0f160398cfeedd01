//! What a run that has ended has beside its report: histograms, and the files of its requests, one
//! of each runner that sent some. Its runners store them with its end; one that died has left rows
//! in a file, for which whoever finds it may ask here.

use entity::{benchmark, benchmark_artifact, benchmark_event, benchmark_histogram};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{BenchmarkId, RunnerId, State, report::Histograms};

use crate::{Held, Store, StoreError, artifacts, rows, transition};

/// What the file of the requests is called that the runner has sent which holds the run.
const REQUESTS: &str = "requests";

/// What the file of the requests of shard `shard` is called; 0: of the runner that holds the run.
pub fn requests_of(shard: u32) -> String {
    match shard {
        0 => REQUESTS.to_owned(),
        shard => format!("{REQUESTS}-{shard}"),
    }
}

/// Whose requests the file `name` has; none: it is another kind of file.
fn shard_of(name: &str) -> Option<u32> {
    let shard = match name.strip_prefix(REQUESTS)? {
        "" => 0,
        number => number.strip_prefix('-')?.parse().ok()?,
    };
    (requests_of(shard) == name).then_some(shard)
}

/// A file of a benchmark's requests, in the artifact store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRequests {
    /// Its key.
    pub key: String,
    /// How many rows it has.
    pub rows: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The file of a runner's requests, or why it is not kept.
pub type KeptRequests = Result<StoredRequests, String>;

/// What is to become of rows that a claim has left in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftRows {
    /// This database knows of no such claim, or not any more: they may be another one's.
    Unknown,
    /// Its run goes on, as far as anybody knows: their time has not come.
    Early,
    /// The run has ended with its load under way, and nobody has stored them: they are its rows.
    Wanted,
    /// The run has its rows, or has no use for these: it was sent again, or sent nothing.
    Unwanted,
}

impl Store {
    /// What is to become of the rows that the claim `held` of `runner` has left as `name`.
    pub async fn left_rows(
        &self,
        held: &Held,
        runner: &RunnerId,
        name: &str,
    ) -> Result<LeftRows, StoreError> {
        let c = &self.inner.database.main;
        let row = benchmark::Entity::find_by_id(held.id.0).one(c).await?;
        judge(c, row, held, runner, name).await
    }

    /// Makes `stored` the rows `name` of the run that the claim `held` of `runner` has left them of,
    /// if they are still wanted; what came of it otherwise.
    pub async fn keep_left_rows(
        &self,
        held: &Held,
        runner: &RunnerId,
        name: &str,
        stored: StoredRequests,
    ) -> Result<LeftRows, StoreError> {
        let tx = self.inner.database.begin().await?;
        let row = transition::locked(&tx, held.id).await?;
        let left = judge(&tx, row, held, runner, name).await?;
        if left == LeftRows::Wanted {
            insert_rows(&tx, held.id, name, stored).await?;
            tx.commit().await?;
        }
        Ok(left)
    }

    /// Deletes the rows `name` that the claim `held` has put into the artifact store, unless they
    /// are those of its benchmark.
    pub async fn withdraw_rows(&self, held: &Held, name: &str) -> Result<(), StoreError> {
        let artifacts = self.artifacts()?;
        let key = artifacts::rows_key(held, name);
        let of = (held.id.0, name.to_owned());
        let c = &self.inner.database.main;
        let row = benchmark_artifact::Entity::find_by_id(of).one(c).await?;
        if row.is_some_and(|row| row.key == key) {
            return Ok(());
        }
        artifacts.delete(&key).await
    }

    /// The files of the requests of `id`, in the order of their shards; none: there are none, or not
    /// yet.
    pub async fn requests(&self, id: BenchmarkId) -> Result<Vec<StoredRequests>, StoreError> {
        let files = benchmark_artifact::Entity::find()
            .filter(benchmark_artifact::Column::BenchmarkId.eq(id.0))
            .all(&self.inner.database.main)
            .await?;
        let mut files: Vec<_> =
            files.into_iter().filter_map(|row| Some((shard_of(&row.name)?, row))).collect();
        files.sort_unstable_by_key(|(shard, _)| *shard);
        let stored = files.into_iter().map(|(_, row)| StoredRequests {
            key: row.key,
            rows: u64::try_from(row.row_count).unwrap_or_default(),
            bytes: u64::try_from(row.byte_count).unwrap_or_default(),
        });
        Ok(stored.collect())
    }

    /// The histograms of `id`; none: there are none, or not yet.
    pub async fn histograms(&self, id: BenchmarkId) -> Result<Option<Histograms>, StoreError> {
        let c = &self.inner.database.main;
        let row = benchmark_histogram::Entity::find_by_id(id.0).one(c).await?;
        row.map(|row| rows::histograms(id, &row.histograms)).transpose()
    }
}

/// Writes what a run left behind, in the transaction that ends it; `requests`: by shard.
pub(crate) async fn insert<C: ConnectionTrait>(
    c: &C,
    id: BenchmarkId,
    histograms: Option<Value>,
    requests: impl IntoIterator<Item = (u32, StoredRequests)>,
) -> Result<(), StoreError> {
    if let Some(histograms) = histograms {
        let row = benchmark_histogram::ActiveModel {
            benchmark_id: Set(id.0),
            histograms: Set(histograms),
        };
        row.insert(c).await?;
    }
    for (shard, stored) in requests {
        insert_rows(c, id, &requests_of(shard), stored).await?;
    }
    Ok(())
}

async fn insert_rows<C: ConnectionTrait>(
    c: &C,
    id: BenchmarkId,
    name: &str,
    StoredRequests { key, rows, bytes }: StoredRequests,
) -> Result<(), StoreError> {
    let count = |number| Set(i64::try_from(number).unwrap_or(i64::MAX));
    let row = benchmark_artifact::ActiveModel {
        benchmark_id: Set(id.0),
        name: Set(name.to_owned()),
        key: Set(key),
        row_count: count(rows),
        byte_count: count(bytes),
    };
    row.insert(c).await?;
    Ok(())
}

async fn judge<C: ConnectionTrait>(
    c: &C,
    row: Option<benchmark::Model>,
    held: &Held,
    runner: &RunnerId,
    name: &str,
) -> Result<LeftRows, StoreError> {
    use benchmark_event::Column;
    let Some(row) = row else { return Ok(LeftRows::Unknown) };
    // Ids of benchmarks begin at 1 in every database; a runner's id is nobody else's.
    let claim = benchmark_event::Entity::find()
        .filter(Column::BenchmarkId.eq(held.id.0))
        .filter(Column::ToStatus.eq(State::Running.as_str()))
        .filter(Column::Fence.eq(held.fence))
        .filter(Column::Actor.eq(&runner.0))
        .one(c)
        .await?;
    if claim.is_none() {
        return Ok(LeftRows::Unknown);
    }
    let stored = benchmark_artifact::Entity::find_by_id((row.id, name.to_owned())).one(c).await?;
    let run = Run {
        state: rows::state(&row)?,
        fence: row.fence,
        load_started: row.load_started_at_ms.is_some(),
        has_rows: stored.is_some(),
    };
    Ok(run.left_by(held.fence))
}

/// What the rows of a claim depend on.
struct Run {
    state: State,
    fence: i64,
    load_started: bool,
    has_rows: bool,
}

impl Run {
    /// What is to become of the rows that the claim with `fence` has left.
    fn left_by(&self, fence: i64) -> LeftRows {
        match self.fence - fence {
            // A copy of the database from before the claim.
            ..0 => LeftRows::Unknown,
            0 if matches!(self.state, State::Running | State::Cancelling) => LeftRows::Early,
            // Whoever takes a run from a silent runner raises the fence by one, and ends it or puts
            // it back into the queue, where its load has not started.
            0 | 1 if self.state.is_terminal() && self.load_started && !self.has_rows => {
                LeftRows::Wanted
            }
            _ => LeftRows::Unwanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_of_requests_tells_whose_they_are_and_no_other_name_does() {
        for (shard, name) in [(0, "requests"), (1, "requests-1"), (63, "requests-63")] {
            assert_eq!(requests_of(shard), name);
            assert_eq!(shard_of(name), Some(shard));
        }
        for other in ["requests-", "requests-0", "requests-01", "requests-x", "requests2", "trace"]
        {
            assert_eq!(shard_of(other), None, "{other}");
        }
    }

    #[test]
    fn rows_are_wanted_of_the_claim_that_a_run_ended_with_and_of_no_other() {
        use LeftRows::{Early, Unknown, Unwanted, Wanted};
        let over = State::ALL.into_iter().filter(|state| state.is_terminal());
        let over = &over.collect::<Vec<_>>()[..];
        let active = &[State::Running, State::Cancelling][..];
        let queued = &[State::Queued][..];
        let claim = 5;
        for (states, fence, load_started, has_rows, expected) in [
            // it goes on
            (active, 5, true, false, Early),
            // it was taken from its runner, or its runner has ended it without them
            (over, 6, true, false, Wanted),
            (over, 5, true, false, Wanted),
            // somebody was faster
            (over, 6, true, true, Unwanted),
            (over, 5, true, true, Unwanted),
            // it was put back into the queue, and ended there
            (queued, 6, false, false, Unwanted),
            (over, 6, false, false, Unwanted),
            // it was put back and claimed again
            (active, 6, true, false, Unwanted),
            (active, 7, true, false, Unwanted),
            (over, 7, true, false, Unwanted),
            (over, 8, true, true, Unwanted),
            // an old copy of the database
            (queued, 4, false, false, Unknown),
            (over, 4, true, false, Unknown),
        ] {
            for state in states {
                let run = Run { state: *state, fence, load_started, has_rows };
                assert_eq!(run.left_by(claim), expected, "{state} with fence {fence}");
            }
        }
    }
}
