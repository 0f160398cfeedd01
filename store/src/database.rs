//! URL -> pool -> sea-orm connection and queue: the only place that tells SQLite from PostgreSQL
//! by name when they are opened.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use migration::{Migrator, MigratorTrait, SchemaManager};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode,
    SqlxPostgresConnector, SqlxSqliteConnector, Statement, TransactionOptions, TransactionTrait,
};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Executor};

use crate::StoreError;
use crate::queue::Queue;

/// Names the lock that migrating processes take in PostgreSQL: "llmbench" in ASCII.
const MIGRATION_LOCK: i64 = 0x6c6c_6d62_656e_6368;

/// How long a statement may take that a lease depends on.
pub(crate) const LEASE_TIMEOUT: Duration = Duration::from_secs(4);

/// Connections, and how to open more of them.
#[derive(Debug)]
pub(crate) struct Database {
    /// Everything but leases.
    pub(crate) main: DatabaseConnection,
    /// Transactions. On SQLite one at a time: those of a process wait in line here, where each would
    /// poll for the file's one lock, and now and then one for seconds.
    transactions: DatabaseConnection,
    /// Leases and health, so that no slow query keeps a renewal waiting.
    pub(crate) lease: DatabaseConnection,
    pub(crate) queue: Queue,
    pub(crate) server: Option<(String, u16)>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    /// The file that migrating processes lock, beside the database's own.
    Sqlite {
        lock: PathBuf,
    },
    Postgres {
        options: Box<PgConnectOptions>,
    },
}

impl Database {
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
        match scheme {
            "sqlite" => Self::open_sqlite(url).await,
            "postgres" | "postgresql" => Self::open_postgres(url).await,
            // What SQLAlchemy writes: `postgresql+asyncpg://…`.
            driver if driver.starts_with("postgresql+") || driver.starts_with("postgres+") => {
                Self::open_postgres(&url.replacen(driver, "postgres", 1)).await
            }
            other => Err(StoreError::UnknownScheme(other.chars().take(32).collect())),
        }
    }

    async fn open_sqlite(url: &str) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|refused| StoreError::InvalidUrl(refused.into()))?;
        let file = options.get_filename().to_owned();
        if file.as_os_str().is_empty() || url.contains(":memory:") || url.contains("mode=memory") {
            return Err(StoreError::InMemory);
        }
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(StoreError::Folder)?;
        }
        let mut lock = file.into_os_string();
        lock.push(".lock");
        let lock = PathBuf::from(lock);

        let options = options
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let pool = |most: u32, busy: Duration| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .acquire_timeout(busy * 2)
                .before_acquire(|connection, _| Box::pin(async move { Ok(is_whole(connection)) }))
                .connect_lazy_with(options.clone().busy_timeout(busy))
        };
        let main = pool(8, Duration::from_secs(15));
        let transactions = pool(1, Duration::from_secs(15));
        let lease = pool(2, LEASE_TIMEOUT);
        // Turning to WAL does not wait for others who do the same; so nobody does at once.
        let turning = locked(&lock).await?;
        main.acquire().await.map_err(StoreError::connect)?;
        drop(turning);
        Ok(Self {
            main: SqlxSqliteConnector::from_sqlx_sqlite_pool(main.clone()),
            transactions: SqlxSqliteConnector::from_sqlx_sqlite_pool(transactions),
            lease: SqlxSqliteConnector::from_sqlx_sqlite_pool(lease),
            queue: Queue::Sqlite(main),
            server: None,
            origin: Origin::Sqlite { lock },
        })
    }

    async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|refused| StoreError::InvalidUrl(refused.into()))?
            .application_name("llm-bench")
            .disable_statement_logging();
        let server = match options.get_socket() {
            None if !options.get_host().starts_with('/') => {
                Some((options.get_host().to_owned(), options.get_port()))
            }
            _ => None,
        };
        let pool = |most: u32, timeout: Duration| {
            // A stopped process must not hold row locks for ever, nor a query a connection. And a
            // claim is over before the compiler of its plan would be.
            let limits = format!(
                "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = 15000; \
                 SET jit = off",
                timeout.as_millis()
            );
            PgPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(timeout.min(Duration::from_secs(10)))
                .after_connect(move |connection, _| {
                    let limits = limits.clone();
                    Box::pin(async move {
                        connection.execute(sqlx::AssertSqlSafe(limits)).await.map(drop)
                    })
                })
                .connect_lazy_with(options.clone())
        };
        let main: PgPool = pool(12, Duration::from_secs(30));
        let lease = pool(2, LEASE_TIMEOUT);
        // The pool tries for as long as it may; whoever starts wants to know at once.
        let reached = tokio::time::timeout(Duration::from_secs(10), options.connect()).await;
        let reached: PgConnection =
            reached.map_err(StoreError::connect)?.map_err(StoreError::connect)?;
        reached.close().await?;
        let pooled = SqlxPostgresConnector::from_sqlx_postgres_pool(main.clone());
        Ok(Self {
            main: pooled.clone(),
            transactions: pooled,
            lease: SqlxPostgresConnector::from_sqlx_postgres_pool(lease),
            queue: Queue::Postgres(main),
            server,
            origin: Origin::Postgres { options: Box::new(options) },
        })
    }

    /// Begins a transaction that reads and then writes.
    ///
    /// On SQLite it takes the write lock at once: one that upgrades later may find that it cannot.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.transactions.begin_with_options(options).await?)
    }

    /// Whether all migrations of this version have been applied. There may be more: while a later
    /// version takes over, processes of this one go on, and start.
    pub(crate) async fn is_migrated(&self) -> Result<bool, StoreError> {
        let c = &self.main;
        if !SchemaManager::new(c).has_table("seaql_migrations").await? {
            return Ok(false);
        }
        let sql = "SELECT version FROM seaql_migrations";
        let asked = Statement::from_string(c.get_database_backend(), sql);
        let mut applied = BTreeSet::<String>::new();
        for row in c.query_all_raw(asked).await? {
            applied.insert(row.try_get_by_index(0)?);
        }
        let all = Migrator::migrations().iter().all(|ours| applied.contains(ours.name()));
        Ok(all && self.queue.is_migrated(c).await?)
    }

    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        if self.is_migrated().await? {
            return Ok(());
        }
        match &self.origin {
            Origin::Sqlite { lock } => {
                let migrating = locked(lock).await?;
                bring_up(&self.main, &self.queue).await?;
                drop(migrating);
            }
            Origin::Postgres { options } => {
                // Connections without the limits of the others: a migration takes what it takes.
                let pool = PgPoolOptions::new()
                    .max_connections(3)
                    .connect_with((**options).clone())
                    .await?;
                // The lock is the session's, and goes with it.
                let mut session = pool.acquire().await?.detach();
                sqlx::query("SELECT pg_advisory_lock($1)")
                    .bind(MIGRATION_LOCK)
                    .execute(&mut session)
                    .await?;
                let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
                let outcome = bring_up(&connection, &Queue::Postgres(pool.clone())).await;
                session.close().await?;
                pool.close().await;
                outcome?;
            }
        }
        Ok(())
    }
}

async fn bring_up(connection: &DatabaseConnection, queue: &Queue) -> Result<(), StoreError> {
    Migrator::up(connection, None).await?;
    queue.migrate().await
}

/// Whether no transaction is left over on a connection that waits for the next one.
///
/// SQLite ends a transaction itself where the disk is full. sqlx then believes that it goes on, as a
/// savepoint of which the next would be a part, and so would never be committed. Whoever is asked
/// here has answered a ping, so what was to be rolled back has been.
fn is_whole(connection: &SqliteConnection) -> bool {
    !connection.is_in_transaction()
}

/// Takes the lock that `path` stands for, once everybody else has let go; held until dropped.
async fn locked(path: &Path) -> Result<File, StoreError> {
    let path = path.to_owned();
    let taken = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok(file)
    });
    taken.await.map_err(|gone| StoreError::Folder(gone.into()))?.map_err(StoreError::Folder)
}

impl Database {
    /// A pool of PostgreSQL, where that is what this is: for listening.
    pub(crate) fn postgres(&self) -> Option<&PgPool> {
        match &self.queue {
            Queue::Postgres(pool) => Some(pool),
            Queue::Sqlite(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    async fn rows(database: &Database) -> i64 {
        let asked = Statement::from_string(sea_orm::DbBackend::Sqlite, "SELECT count(*) FROM t");
        let row = database.main.query_one_raw(asked).await.unwrap().unwrap();
        row.try_get_by_index(0).unwrap()
    }

    #[tokio::test]
    async fn what_is_committed_after_sqlite_ended_a_transaction_itself_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/benchmarks.db", folder.path().display());
        let database = Database::open(&url).await.unwrap();
        database.main.execute_unprepared("CREATE TABLE t (n integer)").await.unwrap();
        // As a full disk ends it.
        let ended = database.begin().await.unwrap();
        ended.execute_unprepared("ROLLBACK").await.unwrap();
        drop(ended);
        let dropped = database.begin().await.unwrap();
        dropped.execute_unprepared("INSERT INTO t VALUES (1)").await.unwrap();
        drop(dropped);
        let kept = database.begin().await.unwrap();
        kept.execute_unprepared("INSERT INTO t VALUES (2)").await.unwrap();
        kept.commit().await.unwrap();
        assert_eq!(rows(&Database::open(&url).await.unwrap()).await, 1);
    }

    #[tokio::test]
    async fn transactions_of_a_process_wait_in_line() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/benchmarks.db", folder.path().display());
        let database = Arc::new(Database::open(&url).await.unwrap());
        database.main.execute_unprepared("CREATE TABLE t (n integer)").await.unwrap();
        let first = database.begin().await.unwrap();
        let mut waiting = Vec::new();
        for nth in 0..8 {
            let database = Arc::clone(&database);
            waiting.push(tokio::spawn(async move {
                let transaction = database.begin().await.unwrap();
                let insert = format!("INSERT INTO t VALUES ({nth})");
                transaction.execute_unprepared(&insert).await.unwrap();
                transaction.commit().await.unwrap();
            }));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        first.commit().await.unwrap();
        for waiting in waiting {
            waiting.await.unwrap();
        }
        let asked = Statement::from_string(
            sea_orm::DbBackend::Sqlite,
            "SELECT group_concat(n, '') FROM (SELECT n FROM t ORDER BY rowid)",
        );
        let row = database.main.query_one_raw(asked).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<String>(0).unwrap(), "01234567");
    }
}
