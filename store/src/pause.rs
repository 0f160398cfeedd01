//! The queue as a whole: how it stands, and stopping it.

use entity::benchmark;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement,
    Value,
};
use shared::{
    Aborted, BenchmarkId, InState, Labels, QueueState, RunnerState, Runners, State, TargetState,
    TargetUrl, Unplaced,
};

use crate::transition::{self, Change, Results};
use crate::{Store, StoreError, benchmarks, clock, queue};

/// What `control` calls the whole queue.
const ALL: &str = "";
/// Benchmarks that one transaction cancels.
const BATCH: u64 = 200;
/// Targets that are told one by one.
const MOST_TARGETS: i64 = 1_000;
/// Sets of labels that are told one by one.
const MOST_LABELS: i64 = 1_000;

impl Store {
    /// Begins nothing from now on, on one target or at all; what is active goes on.
    pub async fn pause(&self, target: Option<&TargetUrl>) -> Result<(), StoreError> {
        let c = &self.inner.database.main;
        let now = clock::now(c).await?;
        let sql = "INSERT INTO control (target_key, paused_at_ms) VALUES ($1, $2) \
                   ON CONFLICT (target_key) DO NOTHING";
        let values: [Value; 2] = [self.key(target).into(), now.into()];
        c.execute_raw(Statement::from_sql_and_values(c.get_database_backend(), sql, values))
            .await?;
        Ok(())
    }

    /// Ends a pause, and wakes whoever can work. The pause of the queue and those of targets are
    /// ended each by itself.
    pub async fn resume(&self, target: Option<&TargetUrl>) -> Result<(), StoreError> {
        let tx = self.inner.database.begin().await?;
        let sql = "DELETE FROM control WHERE target_key = $1";
        let backend = tx.get_database_backend();
        let values: [Value; 1] = [self.key(target).into()];
        tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
        let now = clock::now(&tx).await?;
        queue::reissue(&tx, now, self.cooldown_ms()).await?;
        tx.commit().await?;
        Ok(())
    }

    fn key(&self, target: Option<&TargetUrl>) -> String {
        target.map_or_else(|| ALL.to_owned(), |url| self.target_key(url))
    }

    /// Cancels everything that waits, and with `running` asks everything active to stop.
    pub async fn abort(&self, running: bool) -> Result<Aborted, StoreError> {
        let mut aborted = Aborted::default();
        let mut after = 0;
        loop {
            let tx = self.inner.database.begin().await?;
            let now = clock::now(&tx).await?;
            let batch = benchmark::Entity::find()
                .filter(benchmark::Column::Status.eq(State::Queued.as_str()))
                .filter(benchmark::Column::Id.gt(after))
                .order_by_asc(benchmark::Column::Id)
                .limit(BATCH)
                .lock_exclusive()
                .all(&tx)
                .await?;
            let Some(last) = batch.last() else { break };
            after = last.id;
            for row in &batch {
                let reason = benchmarks::cancel_requested();
                let change = Change {
                    id: BenchmarkId(row.id),
                    from: Some(State::Queued),
                    to: State::Cancelled,
                    fence: row.fence,
                    at_ms: now,
                    actor: benchmarks::API,
                    reason: Some(&reason),
                };
                transition::end(&tx, row, &change, Results::default()).await?;
                aborted.cancelled += 1;
            }
            tx.commit().await?;
        }
        if running {
            let active: Vec<i64> = benchmark::Entity::find()
                .select_only()
                .column(benchmark::Column::Id)
                .filter(benchmark::Column::Status.eq(State::Running.as_str()))
                .into_tuple()
                .all(&self.inner.database.main)
                .await?;
            for id in active {
                match self.cancel(BenchmarkId(id)).await {
                    Ok(_) => aborted.asked_to_stop += 1,
                    // It has just ended by itself, or is gone.
                    Err(StoreError::AlreadyOver { .. } | StoreError::NotFound(_)) => {}
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(aborted)
    }

    /// How the queue stands.
    pub async fn queue_state(&self) -> Result<QueueState, StoreError> {
        let c = &self.inner.database.main;
        let ask = async |sql: &str, values: Vec<Value>| {
            let backend = c.get_database_backend();
            c.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await
        };
        let mut state = QueueState::default();
        let counted = "SELECT status, count(*) FROM benchmark GROUP BY status ORDER BY status";
        for row in ask(counted, Vec::new()).await? {
            let word: String = row.try_get_by_index(0)?;
            if let Ok(status) = word.parse() {
                state.states.push(InState { status, count: whole(row.try_get_by_index(1)?) });
            }
        }
        let depth = self.depth().await?;
        state.due = depth.due;
        state.oldest_due_s = depth.oldest.map(|oldest| oldest.as_secs());
        let targets = "WITH live AS (SELECT t.target_key, t.active FROM benchmark_target t \
             JOIN benchmark b ON b.id = t.benchmark_id WHERE b.status = 'queued' \
             UNION ALL SELECT target_key, active FROM benchmark_target WHERE active \
             UNION ALL SELECT target_key, NULL FROM control WHERE target_key <> '') \
             SELECT live.target_key, \
             coalesce(sum(CASE WHEN live.active THEN 0 WHEN NOT live.active THEN 1 END), 0), \
             coalesce(sum(CASE WHEN live.active THEN 1 ELSE 0 END), 0), \
             (SELECT count(*) FROM control WHERE control.target_key = live.target_key) \
             FROM live GROUP BY live.target_key ORDER BY live.target_key LIMIT $1";
        for row in ask(targets, vec![MOST_TARGETS.into()]).await? {
            state.targets.push(TargetState {
                target: row.try_get_by_index(0)?,
                queued: whole(row.try_get_by_index(1)?),
                active: whole(row.try_get_by_index(2)?),
                paused: row.try_get_by_index::<i64>(3)? > 0,
            });
        }
        let paused = "SELECT 1 FROM control WHERE target_key = ''";
        state.paused = !ask(paused, Vec::new()).await?.is_empty();
        let runners = self.runners().await?;
        let active = runners.iter().filter(|runner| runner.state == RunnerState::Active);
        let asked = "SELECT CAST(labels AS text), count(*) FROM benchmark \
             WHERE status = 'queued' AND labels IS NOT NULL GROUP BY labels ORDER BY labels LIMIT $1";
        for row in ask(asked, vec![MOST_LABELS.into()]).await? {
            let labels: String = row.try_get_by_index(0)?;
            let labels: Labels = serde_json::from_str(&labels).unwrap_or_default();
            if !active.clone().any(|runner| labels.are_all_in(&runner.labels)) {
                let queued = whole(row.try_get_by_index(1)?);
                state.unplaced.push(Unplaced { labels, queued });
            }
        }
        if let Some(most) = active.clone().map(|runner| runner.max_users).max() {
            let larger = "SELECT count(*) FROM benchmark WHERE status = 'queued' AND (runners > $2 \
                 OR users > $1 * CASE runners WHEN 0 THEN $2 ELSE runners END)";
            let there = active.clone().take(Runners::MAX as usize).count();
            let there = i64::try_from(there).unwrap_or(i64::MAX);
            for row in ask(larger, vec![i64::from(most).into(), there.into()]).await? {
                state.too_large = whole(row.try_get_by_index(0)?);
            }
        }
        state.runners = active.clone().count() as u64;
        state.free_runners = active.filter(|runner| runner.benchmark.is_none()).count() as u64;
        Ok(state)
    }
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
