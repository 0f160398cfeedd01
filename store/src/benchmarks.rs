//! The API's half: create, get, edit, delete, ask to cancel.

use std::collections::BTreeSet;

use entity::{benchmark, benchmark_partial, benchmark_secret, benchmark_series, benchmark_target};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set,
};
use shared::benchmark::Configuration;
use shared::request::{Edit, NewBenchmark};
use shared::{Benchmark, BenchmarkId, Reason, ReasonCode, Runners, SecondRow, State, Timestamp};

use crate::idempotency::{self, IdempotencyKey};
use crate::transition::{self, Change, Results};
use crate::{Quota, Store, StoreError, clock, control, dedupe, queue, quota, rows};

/// How long a sealed key waits for a runner once its benchmark is due.
const SECRET_TTL_MS: i64 = 24 * 60 * 60 * 1_000;

/// Whose a benchmark is where nobody says who he is.
const ANYONE: &str = "anyone";

/// Who asks, in events.
pub(crate) const API: &str = "api";

/// What a request to delete came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Deleted,
    /// A runner has it; it was asked to stop, and can be deleted once it has.
    CancelRequested,
}

/// Whether a request made something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It did.
    Now,
    /// One before it had.
    Before,
}

/// What a submission came to.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The benchmark.
    pub benchmark: Benchmark,
    /// Whether this made it.
    pub created: Created,
    /// What its owner may still have, where it did.
    pub quotas: Vec<Quota>,
}

impl Store {
    /// Accepts a benchmark of nobody in particular.
    pub async fn create(&self, new: NewBenchmark) -> Result<Benchmark, StoreError> {
        // A row is large, and so is the future that carries it: it lives on the heap.
        Ok(Box::pin(self.submit(new, ANYONE, None)).await?.benchmark)
    }

    /// Accepts a benchmark of `owner`: row, sealed key, event and ticket, all of them or none.
    ///
    /// With a key once: where it has been used for the same request within a day, there is nothing
    /// new, and it is the benchmark of then as it is now. Likewise where it is to be the only one of
    /// its kind that waits or runs, and is not.
    ///
    /// # Errors
    ///
    /// [`StoreError::KeyReused`] where the key was used for another request;
    /// [`StoreError::NotFound`] where what came of it has been deleted.
    pub async fn submit(
        &self,
        new: NewBenchmark,
        owner: &str,
        key: Option<&IdempotencyKey>,
    ) -> Result<Submission, StoreError> {
        let tx = self.inner.database.begin().await?;
        let now = clock::now(&tx).await?;
        let replayed = match key {
            Some(key) => idempotency::take(&tx, key, now).await?,
            None => None,
        };
        let (before, key) = match (replayed, &new.dedupe) {
            (Some(_), _) => (replayed, None),
            (None, Some(asked)) => (dedupe::find(&tx, owner, asked).await?, key),
            (None, None) => (None, key),
        };
        if let Some(before) = before {
            if let Some(key) = key {
                idempotency::keep(&tx, key, before).await?;
            }
            let benchmark = self.read(&tx, before).await?;
            tx.commit().await?;
            return Ok(Submission { benchmark, created: Created::Before, quotas: Vec::new() });
        }
        let (row, quotas) = Box::pin(self.insert(&tx, &new, owner, now)).await?;
        if let Some(key) = key {
            idempotency::keep(&tx, key, BenchmarkId(row.id)).await?;
        }
        tx.commit().await?;
        let benchmark = rows::benchmark(row.into())?;
        Ok(Submission { benchmark, created: Created::Now, quotas })
    }

    async fn insert<C: ConnectionTrait>(
        &self,
        tx: &C,
        new: &NewBenchmark,
        owner: &str,
        now: i64,
    ) -> Result<(benchmark::Model, Vec<Quota>), StoreError> {
        if new.api_key.is_some() && !self.keeps_keys() {
            return Err(StoreError::NoMasterKey);
        }
        let quotas = quota::charge(tx, &self.rules, owner, now).await?;
        let due = new.waiting.due_at(Timestamp::from_unix_ms(now));
        let due = due.map_err(|refused| StoreError::Refused(vec![refused]))?;
        let target_key = self.target_key(&new.spec.url);
        let further = new.spec.urls.iter().map(|url| self.target_key(url));
        let further: BTreeSet<_> = further.filter(|key| *key != target_key).collect();
        let row = insertable(new, target_key, owner, now, due).insert(tx).await?;
        let id = BenchmarkId(row.id);
        // The row of the first is there already, by a trigger.
        if !further.is_empty() {
            let further = further.into_iter().map(|key| benchmark_target::ActiveModel {
                benchmark_id: Set(row.id),
                target_key: Set(key),
                waits: Set(true),
                ..Default::default()
            });
            benchmark_target::Entity::insert_many(further).exec_without_returning(tx).await?;
        }
        if let Some(key) = &new.api_key {
            let sealed = self.inner.vault.seal(id, key).ok_or(StoreError::NoMasterKey)?;
            let secret = benchmark_secret::ActiveModel {
                benchmark_id: Set(row.id),
                kid: Set(sealed.kid),
                nonce: Set(sealed.nonce),
                sealed: Set(sealed.text),
                expires_at_ms: Set(due.unix_ms() + SECRET_TTL_MS),
            };
            secret.insert(tx).await?;
        }
        let change = Change {
            id,
            from: None,
            to: State::Queued,
            fence: 0,
            at_ms: now,
            actor: API,
            reason: None,
        };
        transition::record(tx, &change).await?;
        queue::push(tx, id, Some(due.unix_ms()).filter(|due| *due > now)).await?;
        Ok((row, quotas))
    }

    /// The benchmark `id`, with what was measured so far.
    pub async fn get(&self, id: BenchmarkId) -> Result<Benchmark, StoreError> {
        self.read(&self.inner.database.main, id).await
    }

    async fn read<C: ConnectionTrait>(
        &self,
        c: &C,
        id: BenchmarkId,
    ) -> Result<Benchmark, StoreError> {
        rows::benchmark(rows::find_one(c, id).await?)
    }

    /// Changes notes and mark, and the priority of one that is queued.
    ///
    /// # Errors
    ///
    /// [`StoreError::Immutable`] where the edit names another value of a field that cannot change.
    pub async fn edit(&self, id: BenchmarkId, edit: &Edit) -> Result<Benchmark, StoreError> {
        let tx = self.inner.database.begin().await?;
        // A claim that comes in between would be one of the priority that was.
        if edit.priority.is_some() {
            transition::locked(&tx, id).await?;
        }
        let before = self.read(&tx, id).await?;
        let forbidden = edit.forbidden(&before);
        let priority = edit.priority.filter(|priority| *priority != before.priority);
        if !forbidden.is_empty() {
            return Err(StoreError::Immutable(forbidden));
        }
        if edit.notes.is_some() || edit.favorite.is_some() || edit.priority.is_some() {
            let columns = benchmark::ActiveModel {
                notes: edit
                    .notes
                    .as_deref()
                    .map_or(ActiveValue::NotSet, |notes| Set(rows::storable(notes))),
                favorite: edit.favorite.map_or(ActiveValue::NotSet, Set),
                priority: priority.map_or(ActiveValue::NotSet, |priority| Set(priority.get())),
                ..Default::default()
            };
            let edited = benchmark::Entity::update_many()
                .set(columns)
                .col_expr(benchmark::Column::Version, transition::next_version())
                .filter(benchmark::Column::Id.eq(id.0))
                .exec(&tx)
                .await?;
            if edited.rows_affected != 1 {
                return Err(StoreError::NotFound(id));
            }
        }
        let edited = self.read(&tx, id).await?;
        tx.commit().await?;
        Ok(edited)
    }

    /// Deletes a benchmark that is over, and its files; with `force` also one that waits, while one
    /// that runs is asked to stop.
    ///
    /// # Errors
    ///
    /// [`StoreError::Active`] without `force` where it is not over.
    pub async fn delete(&self, id: BenchmarkId, force: bool) -> Result<Deletion, StoreError> {
        let tx = self.inner.database.begin().await?;
        let row = transition::locked(&tx, id).await?.ok_or(StoreError::NotFound(id))?;
        let state = rows::state(&row)?;
        if !state.is_terminal() && !force {
            return Err(StoreError::Active { id, state });
        }
        if matches!(state, State::Running | State::Cancelling) {
            self.ask_to_stop(&tx, &row, state).await?;
            tx.commit().await?;
            self.announce(id);
            return Ok(Deletion::CancelRequested);
        }
        let gone = benchmark::Entity::delete_many()
            .filter(benchmark::Column::Id.eq(id.0))
            .filter(benchmark::Column::Status.eq(&row.status))
            .exec(&tx)
            .await?;
        if gone.rows_affected != 1 {
            return Err(StoreError::NotFound(id));
        }
        tx.commit().await?;
        if let Some(artifacts) = &self.artifacts
            && let Err(error) = artifacts.delete_all(id).await
        {
            // The benchmark is gone for everybody; only its files take up room.
            tracing::warn!(benchmark = id.0, ?error, "cannot delete the files of a benchmark");
        }
        Ok(Deletion::Deleted)
    }

    /// Cancels: at once where it waits, by asking its runner where it runs. Asking again is fine.
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyOver`] where it ended otherwise.
    pub async fn cancel(&self, id: BenchmarkId) -> Result<Benchmark, StoreError> {
        let tx = self.inner.database.begin().await?;
        let row = transition::locked(&tx, id).await?.ok_or(StoreError::NotFound(id))?;
        match rows::state(&row)? {
            State::Queued => {
                let now = clock::now(&tx).await?;
                let change = Change {
                    id,
                    from: Some(State::Queued),
                    to: State::Cancelled,
                    fence: row.fence,
                    at_ms: now,
                    actor: API,
                    reason: Some(&cancel_requested()),
                };
                transition::end(&tx, &row, &change, Results::default()).await?;
            }
            state @ (State::Running | State::Cancelling) => {
                self.ask_to_stop(&tx, &row, state).await?;
            }
            State::Cancelled => {}
            state => return Err(StoreError::AlreadyOver { id, state }),
        }
        let cancelled = self.read(&tx, id).await?;
        tx.commit().await?;
        if cancelled.status == State::Cancelling {
            self.announce(id);
        }
        Ok(cancelled)
    }

    /// Moves a running row to cancelling, where it is not there yet, and tells its runner (again).
    async fn ask_to_stop<C: ConnectionTrait>(
        &self,
        c: &C,
        row: &benchmark::Model,
        state: State,
    ) -> Result<(), StoreError> {
        let id = BenchmarkId(row.id);
        if state == State::Running {
            let now = clock::now(c).await?;
            let reason = cancel_requested();
            let change = Change {
                id,
                from: Some(State::Running),
                to: State::Cancelling,
                fence: row.fence,
                at_ms: now,
                actor: API,
                reason: Some(&reason),
            };
            let (reason_code, reason_detail) = rows::reason_columns(Some(&reason));
            let columns = benchmark::ActiveModel {
                cancel_requested_at_ms: Set(Some(now)),
                reason_code: Set(reason_code),
                reason_detail: Set(reason_detail),
                ..Default::default()
            };
            transition::apply(c, row, &change, columns).await?;
        }
        control::notify(c, id).await
    }

    /// The per-second rows of `id`, so far.
    pub async fn timeseries(&self, id: BenchmarkId) -> Result<Vec<SecondRow>, StoreError> {
        let c = &self.inner.database.main;
        if let Some(series) = benchmark_series::Entity::find_by_id(id.0).one(c).await? {
            return rows::series(id, &series.rows);
        }
        if let Some(partial) = benchmark_partial::Entity::find_by_id((id.0, 0)).one(c).await? {
            return rows::series(id, &partial.series);
        }
        // It ended between the two looks, or there are none, or there is no such benchmark.
        match benchmark_series::Entity::find_by_id(id.0).one(c).await? {
            Some(series) => rows::series(id, &series.rows),
            None => self.get(id).await.map(|_| Vec::new()),
        }
    }
}

pub(crate) fn cancel_requested() -> Reason {
    Reason::new(ReasonCode::CancelRequested, "cancelled by request")
}

fn insertable(
    new: &NewBenchmark,
    target_key: String,
    owner: &str,
    now: i64,
    due: Timestamp,
) -> benchmark::ActiveModel {
    let spec = &new.spec;
    let model = spec.model.as_ref().map(ToString::to_string).unwrap_or_default();
    let asked = Configuration::of(spec, &model);
    let count = |number: u32| Set(i32::try_from(number).unwrap_or(i32::MAX));
    benchmark::ActiveModel {
        owner: Set(rows::storable(owner)),
        dedupe: Set(new.dedupe.as_deref().map(rows::digest)),
        status: Set(State::Queued.to_string()),
        version: Set(1),
        priority: Set(new.waiting.priority.get()),
        run_at_ms: Set(due.unix_ms()),
        queued_deadline_ms: Set(new.waiting.deadline(due).map(Timestamp::unix_ms)),
        labels: Set(rows::labels_column(&new.waiting.labels)),
        target_key: Set(target_key),
        exclusive: Set(true),
        url: Set(rows::storable(&asked.url)),
        model: Set(rows::storable(&asked.model)),
        tokenizer: Set(rows::storable(&asked.tokenizer)),
        dataset: Set(rows::storable(&asked.dataset)),
        users: count(spec.load.peak_users().get()),
        runners: count(spec.runners.map_or(0, Runners::get)),
        spawnrate: count(asked.spawnrate),
        duration_s: count(asked.duration),
        spec: Set(rows::json(spec)),
        notes: Set(rows::storable(&new.notes)),
        favorite: Set(new.favorite),
        fence: Set(0),
        claims: Set(0),
        created_at_ms: Set(now),
        queued_at_ms: Set(now),
        ..Default::default()
    }
}
