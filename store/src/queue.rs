//! The queue: what a ticket is, how it is pushed, how it is worked off.
//!
//! apalis is named nowhere else in the workspace. Tickets are pushed with SQL of our own, since
//! only that can join the transaction that makes the benchmark's row; so apalis' schema is pinned,
//! and a test has the library consume what this SQL wrote. A ticket says "look for work" and
//! nothing more: it may come twice or late, and whoever gets it claims whatever is due.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis::prelude::{
    BackendExt, BoxDynError, PollSnapshot, PollStrategy, WorkerBuilder, WorkerBuilderExt,
    WorkerContext,
};
use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};
use serde::{Deserialize, Serialize};
use shared::{BenchmarkId, RunnerId};
use sqlx::{PgPool, SqlitePool};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::next::{closed, may_begin, targets};
use crate::{Store, StoreError};

/// The queue's stored name.
const QUEUE: &str = "benchmarks";

/// How often a worker says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Heartbeats missed until its ticket is given to another: 30 s. No harm comes of that, since a
/// ticket only says "look".
const MISSED_HEARTBEATS: usize = 6;
/// How often a worker on PostgreSQL looks without being told to.
const POLL_POSTGRES: Duration = Duration::from_secs(1);
/// How often a worker on SQLite looks; nobody tells it.
const POLL_SQLITE: Duration = Duration::from_millis(200);

/// "Look for work": a benchmark that was due when this was pushed. The rest is in its row, so the
/// queue holds no secrets and no URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ticket {
    benchmark: BenchmarkId,
}

/// The tickets' tables, in the benchmarks' database.
#[derive(Debug)]
pub(crate) enum Queue {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What this file says to apalis' tables, for one of the databases.
struct Sql {
    push: &'static str,
    due_without_ticket: &'static str,
    /// Tickets that are done; those that nobody took and whose benchmark no longer waits, as a
    /// runner leaves them that goes from one run to the next; workers, to which tickets point.
    prune: [&'static str; 3],
}

/// Of each first target the next benchmark that may begin, where no live ticket names it. A ticket
/// that a worker has taken and not begun for 10 s is taken for lost.
macro_rules! due_without_ticket {
    ($database:ident, $tickets:literal) => {
        concat!(
            "WITH RECURSIVE ",
            closed!($database),
            ", ",
            targets!(),
            ", head AS (SELECT (SELECT b.id FROM benchmark b \
             WHERE b.target_key = targets.target_key AND ",
            may_begin!(),
            " ORDER BY b.priority DESC, b.id LIMIT 1) AS id FROM targets) \
             SELECT id FROM head WHERE id IS NOT NULL AND '{\"benchmark\":' || id || '}' NOT IN (",
            $tickets,
            ") ORDER BY id LIMIT 1000"
        )
    };
}

const SQLITE: Sql = Sql {
    push: "INSERT INTO Jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, \
           metadata) VALUES ($1, $2, $3, 'Pending', 0, 1, \
           coalesce(($4 + 999) / 1000, unixepoch()), 0, '{}')",
    due_without_ticket: due_without_ticket!(
        sqlite,
        "SELECT CAST(ticket.job AS TEXT) FROM Jobs ticket WHERE ticket.job_type = $3 AND (ticket.status = 'Pending' \
              OR (ticket.status = 'Queued' AND ticket.lock_at > unixepoch() - 10))"
    ),
    prune: [
        "DELETE FROM Jobs WHERE job_type = $1 AND status IN ('Done', 'Failed', 'Killed') \
         AND done_at < unixepoch() - 86400",
        "DELETE FROM Jobs WHERE job_type = $1 AND status = 'Pending' AND run_at < unixepoch() - 60 \
         AND json_extract(CAST(job AS TEXT), '$.benchmark') NOT IN \
         (SELECT id FROM benchmark WHERE status = 'queued')",
        "DELETE FROM Workers WHERE worker_type = $1 AND last_seen < unixepoch() - 86400 \
         AND NOT EXISTS (SELECT 1 FROM Jobs WHERE Jobs.lock_by = Workers.id)",
    ],
};

const POSTGRES: Sql = Sql {
    push: "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, \
           priority) VALUES ($1, $2, $3, 'Pending', 0, 1, \
           coalesce(to_timestamp($4::bigint / 1000.0), now()), 0)",
    due_without_ticket: due_without_ticket!(
        postgres,
        "SELECT convert_from(ticket.job, 'UTF8') FROM apalis.jobs ticket \
         WHERE ticket.job_type = $3 AND (ticket.status = 'Pending' \
              OR (ticket.status = 'Queued' AND ticket.lock_at > now() - interval '10 seconds'))"
    ),
    prune: [
        "DELETE FROM apalis.jobs WHERE job_type = $1 AND status IN ('Done', 'Failed', 'Killed') \
         AND done_at < now() - interval '1 day'",
        "DELETE FROM apalis.jobs WHERE job_type = $1 AND status = 'Pending' \
         AND run_at < now() - interval '1 minute' \
         AND (convert_from(job, 'UTF8')::jsonb ->> 'benchmark')::bigint NOT IN \
         (SELECT id FROM benchmark WHERE status = 'queued')",
        "DELETE FROM apalis.workers WHERE worker_type = $1 \
         AND last_seen < now() - interval '1 day' \
         AND NOT EXISTS (SELECT 1 FROM apalis.jobs WHERE lock_by = apalis.workers.id)",
    ],
};

fn sql(backend: DbBackend) -> &'static Sql {
    match backend {
        DbBackend::Postgres => &POSTGRES,
        _ => &SQLITE,
    }
}

async fn execute<C, V>(c: &C, sql: &'static str, values: V) -> Result<u64, StoreError>
where
    C: ConnectionTrait,
    V: IntoIterator<Item = Value>,
{
    let statement = Statement::from_sql_and_values(c.get_database_backend(), sql, values);
    Ok(c.execute_raw(statement).await?.rows_affected())
}

/// Pushes a ticket that wakes a worker `at_ms`, or at once; part of the transaction `c`, so it is
/// there exactly if the transaction is.
pub(crate) async fn push<C: ConnectionTrait>(
    c: &C,
    id: BenchmarkId,
    at_ms: Option<i64>,
) -> Result<(), StoreError> {
    let ticket = serde_json::to_vec(&Ticket { benchmark: id }).map_err(StoreError::queue)?;
    let values = [Ulid::generate().to_string().into(), QUEUE.into(), ticket.into(), at_ms.into()];
    execute(c, sql(c.get_database_backend()).push, values).await?;
    Ok(())
}

/// Pushes a ticket for every target that is free and has a due benchmark no ticket names; how many.
pub(crate) async fn reissue<C: ConnectionTrait>(
    c: &C,
    now_ms: i64,
    cooldown_ms: i64,
) -> Result<u64, StoreError> {
    let backend = c.get_database_backend();
    let statement = Statement::from_sql_and_values(
        backend,
        sql(backend).due_without_ticket,
        [now_ms.into(), (now_ms - cooldown_ms).into(), QUEUE.into()],
    );
    let mut pushed = 0;
    for row in c.query_all_raw(statement).await? {
        push(c, BenchmarkId(row.try_get("", "id")?), None).await?;
        pushed += 1;
    }
    Ok(pushed)
}

/// Deletes tickets that were done a day ago, and workers silent for as long; how many of both.
pub(crate) async fn prune<C: ConnectionTrait>(c: &C) -> Result<u64, StoreError> {
    let mut gone = 0;
    for statement in sql(c.get_database_backend()).prune {
        gone += execute(c, statement, [QUEUE.into()]).await?;
    }
    Ok(gone)
}

impl Queue {
    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            // Not `setup()`: on SQLite that would turn `synchronous` off.
            Self::Sqlite(pool) => SqliteStorage::migrations().run(pool).await,
            Self::Postgres(pool) => PostgresStorage::migrations().run(pool).await,
        }
        .map_err(StoreError::queue)
    }

    pub(crate) async fn is_migrated<C: ConnectionTrait>(&self, c: &C) -> Result<bool, StoreError> {
        let (known, is_there, applied) = match self {
            Self::Sqlite(_) => (
                SqliteStorage::migrations(),
                "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'",
                "SELECT count(*) FROM _sqlx_migrations WHERE success",
            ),
            Self::Postgres(_) => (
                PostgresStorage::migrations(),
                "SELECT count(to_regclass('apalis._sqlx_migrations'))",
                "SELECT count(*) FROM apalis._sqlx_migrations WHERE success",
            ),
        };
        let backend = c.get_database_backend();
        let count = async |sql: &'static str| -> Result<i64, StoreError> {
            let row = c.query_one_raw(Statement::from_string(backend, sql)).await?;
            Ok(row.ok_or(StoreError::NoAnswer)?.try_get_by_index(0)?)
        };
        if count(is_there).await? == 0 {
            return Ok(false);
        }
        let applied = count(applied).await?;
        Ok(usize::try_from(applied).is_ok_and(|applied| applied >= known.iter().count()))
    }
}

impl Store {
    /// Works tickets off, calling `look` once for each, one after the other, until `stop`.
    ///
    /// `look` should claim whatever is due and wait for that run to end. It may be dropped at any
    /// time, when the database connection is lost or this future is dropped, so the run itself
    /// must live elsewhere. A panic in it is caught and logged. After `stop` the look under way is
    /// awaited.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached. No ticket is lost by it: the caller calls again, and
    /// does so under a new worker name, for one name twice would hide tickets of the first.
    pub async fn work<H, F>(
        &self,
        runner: &RunnerId,
        look: H,
        stop: CancellationToken,
    ) -> Result<(), StoreError>
    where
        H: Fn() -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send,
    {
        // The waits between two looks at the database are apalis'; the name is this call's alone.
        let context = WorkerContext::new(&format!("{runner}-{}", Ulid::generate()));
        let handler = move |ticket: Ticket| {
            let look = look.clone();
            async move {
                tracing::debug!(benchmark = ticket.benchmark.0, "a ticket has come");
                if AssertUnwindSafe(look()).catch_unwind().await.is_err() {
                    tracing::error!(benchmark = ticket.benchmark.0, "looking for work panicked");
                }
                Ok::<(), BoxDynError>(())
            }
        };
        let builder = WorkerBuilder::new(&context);
        // Prefetched tickets would wait behind a run that takes an hour, so: one at a time.
        match &self.inner.database.queue {
            Queue::Sqlite(pool) => {
                let config = apalis_sqlite::Config::default()
                    .queue(QUEUE)
                    .batch_size(1)
                    .heartbeat_interval(HEARTBEAT)
                    .missed_heartbeats(MISSED_HEARTBEATS);
                let tickets = SqliteStorage::<Ticket>::new(pool)
                    .with_config(config)
                    .poll_with_strategy(Every::new(POLL_SQLITE));
                let worker = builder.backend(tickets).concurrency(1).build(handler);
                run_until(worker.run().map_err(StoreError::queue).boxed(), &context, &stop).await
            }
            Queue::Postgres(pool) => {
                let config = apalis_postgres::Config::default()
                    .queue(QUEUE)
                    .batch_size(1)
                    .heartbeat_interval(HEARTBEAT)
                    .missed_heartbeats(MISSED_HEARTBEATS);
                let tickets = PostgresStorage::<Ticket>::new(pool)
                    .with_config(config)
                    .with_pubsub()
                    .poll_with_strategy(Every::new(POLL_POSTGRES));
                let worker = builder.backend(tickets).concurrency(1).build(handler);
                run_until(worker.run().map_err(StoreError::queue).boxed(), &context, &stop).await
            }
        }
    }
}

/// Runs a worker until `stop`, then until what it is at has ended.
///
/// The worker is boxed, for the compiler cannot see through its type whether it is `Send`.
async fn run_until(
    mut worker: BoxFuture<'static, Result<(), StoreError>>,
    context: &WorkerContext,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    tokio::select! {
        biased;
        outcome = &mut worker => outcome,
        () = stop.cancelled() => match context.stop() {
            Ok(()) => worker.await,
            // It had not begun.
            Err(_) => Ok(()),
        },
    }
}

/// Wakes the worker every so often.
///
/// apalis' own interval re-arms its timer without polling it, so that now and then nobody is woken
/// until the next heartbeat.
struct Every {
    period: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Every {
    fn new(period: Duration) -> Self {
        Self { period, sleep: Box::pin(tokio::time::sleep(period)) }
    }
}

impl PollStrategy for Every {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        let mut fired = false;
        while self.sleep.as_mut().poll(cx).is_ready() {
            fired = true;
            self.sleep.as_mut().reset(Instant::now() + self.period);
        }
        if fired { Poll::Ready(Some(())) } else { Poll::Pending }
    }
}
