//! What can go wrong between us and the database.

use sea_orm::{DbErr, RuntimeErr};
use shared::{BenchmarkId, FieldError, RunnerId, State};

use crate::Quota;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong between us and the database, by situation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nothing has this id.
    #[error("no benchmark has the id {0}")]
    NotFound(BenchmarkId),
    /// It would have to be over for this.
    #[error("benchmark {id} is {state}; cancel it first, or delete it with force=true")]
    Active {
        /// Which.
        id: BenchmarkId,
        /// Where it stands.
        state: State,
    },
    /// It would have to be active for this.
    #[error("benchmark {id} is {state} and can no longer be cancelled")]
    AlreadyOver {
        /// Which.
        id: BenchmarkId,
        /// How it ended.
        state: State,
    },
    /// An edit of what cannot change.
    #[error("{}", .0.iter().map(|error| error.detail.as_str()).collect::<Vec<_>>().join("; "))]
    Immutable(Vec<FieldError>),
    /// Fields that only the database's clock can judge.
    #[error("{}", .0.iter().map(|error| error.detail.as_str()).collect::<Vec<_>>().join("; "))]
    Refused(Vec<FieldError>),
    /// An owner has as much as one may.
    #[error("{}", quota_words(.0))]
    Quota(Quota),
    /// The same idempotency key for something else.
    #[error("Idempotency-Key `{0}` was used for another request; use a new key for a new request")]
    KeyReused(String),
    /// A key was given, and there is nothing to seal it with.
    #[error("api_key cannot be kept: no MASTER_KEY is set")]
    NoMasterKey,
    /// The master key of the settings is none.
    #[error(transparent)]
    MasterKey(crate::InvalidMasterKey),
    /// The fence is no longer ours: whoever holds this must stop at once.
    #[error("benchmark {0} is no longer held by this runner")]
    Lost(BenchmarkId),
    /// Somebody asked to cancel it, so this must not begin.
    #[error("benchmark {0} has been asked to stop")]
    CancelRequested(BenchmarkId),
    /// Not all runners that are to make its load together are ready.
    #[error("not all runners of benchmark {0} are ready")]
    NotGathered(BenchmarkId),
    /// Others wait for this runner, so it may claim no benchmark before that.
    #[error("a shard waits for this runner")]
    ShardWaits,
    /// Load may have been sent, so it cannot be given back.
    #[error("benchmark {0} has begun to send load and cannot be given back")]
    LoadStarted(BenchmarkId),
    /// A run cannot end like this; the caller's mistake.
    #[error("a run cannot end as {to}{}", if *.to == State::Completed { " without a report" } else { "" })]
    NotAnEnding {
        /// What was asked for.
        to: State,
    },
    /// The runner must register again.
    #[error("no runner is registered as {0}")]
    UnknownRunner(RunnerId),
    /// It would have to be there for this.
    #[error("runner {0} is gone")]
    RunnerGone(RunnerId),
    /// A row that another version, or a hand, has written.
    #[error("benchmark {id} has {what} that this version cannot read")]
    UnreadableRow {
        /// Which.
        id: BenchmarkId,
        /// The column.
        what: &'static str,
        /// Why.
        source: Source,
    },
    /// A URL with a scheme of no database we know.
    #[error("no database is known for `{0}:` URLs; use sqlite: or postgres:")]
    UnknownScheme(String),
    /// A URL that the driver cannot read. Its text may hold a password and is not repeated.
    #[error("the database URL cannot be read")]
    InvalidUrl(#[source] Source),
    /// SQLite without a file.
    #[error("an SQLite database in memory cannot be shared between connections; name a file")]
    InMemory,
    /// The tables are missing or old.
    #[error("the database's schema is not up to date; run `llm-bench migrate`")]
    NotMigrated,
    /// No connection, or it broke.
    #[error("cannot reach the database")]
    Connect(#[source] Source),
    /// The database answered a question about the time with nothing.
    #[error("the database did not answer")]
    NoAnswer,
    /// The worker of the queue stopped.
    #[error("the queue's worker stopped")]
    Queue(#[source] Source),
    /// A URL that names no artifact store.
    #[error("ARTIFACTS_URL cannot be used: {url}")]
    ArtifactsUrl {
        /// What was given.
        url: String,
        /// Why.
        source: Source,
    },
    /// This process was started without an artifact store.
    #[error("no artifact store is set")]
    NoArtifacts,
    /// A row names a file that is not there.
    #[error("the artifact store has no file {key}")]
    NoArtifact {
        /// Its key.
        key: String,
    },
    /// The artifact store failed, or could not be reached.
    #[error("the artifact store failed")]
    Artifacts(#[source] Source),
    /// The file system refused the database's folder or its lock file.
    #[error("cannot use the database's folder")]
    Folder(#[source] std::io::Error),
    /// The database refused.
    #[error("the database call failed")]
    Database(#[source] DbErr),
}

impl StoreError {
    pub(crate) fn connect(source: impl Into<Source>) -> Self {
        Self::Connect(source.into())
    }

    pub(crate) fn queue(source: impl Into<Source>) -> Self {
        Self::Queue(source.into())
    }

    /// Whether the database could not be reached: trying again may help.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::NoAnswer | Self::Queue(_))
    }
}

impl From<DbErr> for StoreError {
    /// Tells an outage from a refusal.
    fn from(error: DbErr) -> Self {
        let outage = match &error {
            DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => true,
            DbErr::Exec(RuntimeErr::SqlxError(cause))
            | DbErr::Query(RuntimeErr::SqlxError(cause)) => is_outage(cause),
            _ => false,
        };
        if outage { Self::connect(error) } else { Self::Database(error) }
    }
}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { path, .. } => Self::NoArtifact { key: path },
            error => Self::Artifacts(error.into()),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_outage(&error) {
            Self::connect(error)
        } else {
            Self::Database(DbErr::Query(RuntimeErr::SqlxError(error.into())))
        }
    }
}

fn quota_words(reached: &Quota) -> String {
    let limit = reached.limit;
    match (reached.window_s, reached.more_in_s) {
        (Some(_), Some(seconds)) => {
            format!("at most {limit} benchmarks an hour are accepted; try again in {seconds} s")
        }
        _ => format!(
            "at most {limit} benchmarks may be queued or active; try again when one has ended"
        ),
    }
}

fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // PostgreSQL's classes 08 (connection), 53 (resources) and 57 (shutdown, timeout), and
        // SQLite's BUSY and LOCKED, READONLY, IOERR, FULL and CANTOPEN: a full disk, or no files.
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| {
            let extended = code.parse::<u32>().map(|code| code & 0xff);
            match code.len() {
                5 => ["08", "53", "57"].iter().any(|class| code.starts_with(class)),
                _ => matches!(extended, Ok(5 | 6 | 8 | 10 | 13 | 14)),
            }
        }),
        _ => false,
    }
}
