//! Which runners there are.

use std::collections::HashMap;

use entity::{benchmark, benchmark_shard, runner};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Set,
};
use shared::{Capacity, Labels, Runner, RunnerId, RunnerState, State};

use crate::{ShardStatus, Store, StoreError, clock, rows};

/// A runner that has just started.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// New at every start.
    pub id: RunnerId,
    /// Host name and process id, for people.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Most users it takes in one run.
    pub max_users: u32,
    /// What it found that it can bear.
    pub measured: Option<Capacity>,
    /// What it is known by.
    pub labels: Labels,
}

impl Store {
    /// Enters a runner into the list.
    pub async fn register(&self, runner: &Registration) -> Result<(), StoreError> {
        let tx = self.inner.database.begin().await?;
        let now = clock::now(&tx).await?;
        let row = runner::ActiveModel {
            id: Set(runner.id.0.clone()),
            name: Set(rows::storable(&runner.name)),
            version: Set(runner.version.clone()),
            state: Set(rows::runner_state_word(RunnerState::Active).to_owned()),
            max_users: Set(i32::try_from(runner.max_users).unwrap_or(i32::MAX)),
            measured: Set(runner.measured.as_ref().map(rows::json)),
            labels: Set(rows::labels_column(&runner.labels)),
            booted_at_ms: Set(now),
            last_seen_ms: Set(now),
            drain_requested_at_ms: Set(None),
        };
        // A registration whose answer was lost may come again.
        runner::Entity::delete_by_id(&*runner.id.0).exec(&tx).await?;
        row.insert(&tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that a runner lives, and whether it takes work; whether somebody asked it to drain.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownRunner`] where it must register again.
    pub async fn beat(&self, runner: &RunnerId, state: RunnerState) -> Result<bool, StoreError> {
        let c = &self.inner.database.main;
        let now = clock::expr(sea_orm::ConnectionTrait::get_database_backend(c));
        let seen = runner::Entity::update_many()
            .col_expr(runner::Column::LastSeenMs, now)
            .col_expr(runner::Column::State, Expr::value(rows::runner_state_word(state)))
            .filter(runner::Column::Id.eq(&*runner.0))
            .exec_with_returning(c)
            .await?;
        match seen.first() {
            Some(row) => Ok(row.drain_requested_at_ms.is_some()),
            None => Err(StoreError::UnknownRunner(runner.clone())),
        }
    }

    /// Asks a runner to take up nothing more and to end when its run has. It learns that with its
    /// next beat. May be repeated.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownRunner`], or [`StoreError::RunnerGone`] where there is nobody to ask.
    pub async fn drain(&self, runner: &RunnerId) -> Result<Runner, StoreError> {
        let tx = self.inner.database.begin().await?;
        let now = clock::now(&tx).await?;
        let id = rows::storable(&runner.0);
        let row = runner::Entity::find_by_id(&*id).lock_exclusive().one(&tx).await?;
        let mut row = row.ok_or_else(|| StoreError::UnknownRunner(runner.clone()))?;
        if row.drain_requested_at_ms.is_none() {
            runner::Entity::update_many()
                .col_expr(runner::Column::DrainRequestedAtMs, Expr::value(now))
                .filter(runner::Column::Id.eq(&*id))
                .exec(&tx)
                .await?;
            row.drain_requested_at_ms = Some(now);
        }
        let held = held_by_runners(&tx).await?.get(&*id).copied();
        let found = rows::runner(row, held, now - self.lease().ttl_ms());
        if found.state == RunnerState::Gone {
            return Err(StoreError::RunnerGone(runner.clone()));
        }
        tx.commit().await?;
        Ok(found)
    }

    /// The runners of the last day, newest first.
    pub async fn runners(&self) -> Result<Vec<Runner>, StoreError> {
        let c = &self.inner.database.main;
        let now = clock::now(c).await?;
        let held = held_by_runners(c).await?;
        let found = runner::Entity::find()
            .order_by_desc(runner::Column::BootedAtMs)
            .order_by_desc(runner::Column::Id)
            .all(c)
            .await?;
        let seen = now - self.lease().ttl_ms();
        Ok(found
            .into_iter()
            .map(|row| {
                let held = held.get(&row.id).copied();
                rows::runner(row, held, seen)
            })
            .collect())
    }
}

/// What each runner has that has any: a run, or a part of the load of one.
async fn held_by_runners<C: ConnectionTrait>(c: &C) -> Result<HashMap<String, i64>, StoreError> {
    let active =
        benchmark::Column::Status.is_in([State::Running.as_str(), State::Cancelling.as_str()]);
    let runs: Vec<(Option<String>, i64)> = benchmark::Entity::find()
        .select_only()
        .columns([benchmark::Column::RunnerId, benchmark::Column::Id])
        .filter(active)
        .into_tuple()
        .all(c)
        .await?;
    let shards: Vec<(Option<String>, i64)> = benchmark_shard::Entity::find()
        .select_only()
        .columns([benchmark_shard::Column::RunnerId, benchmark_shard::Column::BenchmarkId])
        .filter(benchmark_shard::Column::Status.is_in(ShardStatus::HELD.map(ShardStatus::as_str)))
        .into_tuple()
        .all(c)
        .await?;
    let held = runs.into_iter().chain(shards);
    Ok(held.filter_map(|(runner, id)| Some((runner?, id))).collect())
}
