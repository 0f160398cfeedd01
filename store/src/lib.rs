//! The database, the queue in it, and the artifact store beside it: the only crate that talks to
//! any of them.
//!
//! The truth about a benchmark is its row. It is claimed by compare-and-set with a fence number,
//! held by a lease that the database's clock judges, and every change of its state is written
//! together with an event in one transaction. The queue only carries tickets, "look for work":
//! a lost one is issued again, a stale one finds nothing. What HTTP, load or a target is, this
//! crate does not know.

mod addresses;
mod aliases;
mod artifacts;
mod benchmarks;
mod chore;
mod clock;
mod control;
mod database;
mod dedupe;
mod editions;
mod error;
mod events;
mod gathering;
mod idempotency;
mod lease;
mod list;
mod longest;
mod measured;
mod measures;
mod next;
mod pause;
mod queue;
mod quota;
mod retention;
mod rows;
mod rules;
mod runners;
mod runs;
mod settings;
mod shard;
mod shards;
mod sweep;
mod transition;
mod vault;

use std::sync::{Arc, atomic::AtomicBool};
use std::time::Duration;

use shared::{BenchmarkId, TargetUrl};
use tokio::sync::broadcast;

pub use addresses::Neighbour;
pub use aliases::{Aliases, InvalidAliases};
pub use artifacts::Artifacts;
pub use benchmarks::{Created, Deletion, Submission};
pub use editions::Edition;
pub use error::StoreError;
pub use events::{Event, Glance};
pub use idempotency::IdempotencyKey;
pub use lease::{Held, Renewal};
pub use list::{Page, Sort, UnknownSort, Wanted};
pub use longest::longest_load;
pub use measured::{KeptRequests, LeftRows, StoredRequests, requests_of};
pub use measures::Depth;
pub use quota::Quota;
pub use rules::Rules;
pub use runners::Registration;
pub use runs::{Claim, Ending};
pub use settings::DatabaseSettings;
pub use shard::{HeldShard, ShardClaim, Status as ShardStatus};
pub use shards::ShardState;
pub use sweep::Swept;
pub use vault::{InvalidMasterKey, SealedKeyError, Vault};

use database::Database;

/// How long a runner may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// How long a claim or a renewal lasts.
    pub ttl: Duration,
    /// How long after its end a lease is let be.
    pub grace: Duration,
}

impl Default for Lease {
    fn default() -> Self {
        Self { ttl: Duration::from_mins(1), grace: Duration::from_secs(5) }
    }
}

impl Lease {
    /// How often every process asks whether a sweep is due.
    pub fn sweep_every(self) -> Duration {
        (self.ttl / 4).clamp(Duration::from_millis(250), Duration::from_secs(5))
    }

    fn ttl_ms(self) -> i64 {
        milliseconds(self.ttl)
    }

    fn grace_ms(self) -> i64 {
        milliseconds(self.grace)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// The database, the queue in it and the artifact store. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
    artifacts: Option<Artifacts>,
    rules: Rules,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    vault: Vault,
    lease: Lease,
    /// Ids of benchmarks that this process was asked to cancel.
    cancels: broadcast::Sender<BenchmarkId>,
    /// Whether the schema was once seen to be complete.
    migrated: AtomicBool,
}

impl Store {
    /// Opens the database that `url` names (`sqlite:path`, `postgres://…`); an SQLite file and its
    /// folder are made where there are none.
    pub async fn open(url: &str, vault: Vault, lease: Lease) -> Result<Self, StoreError> {
        measures::describe();
        let inner = Inner {
            database: Database::open(url).await?,
            vault,
            lease,
            cancels: broadcast::Sender::new(256),
            migrated: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner), artifacts: None, rules: Rules::default() })
    }

    /// The same with files of benchmarks in `artifacts`; without, there are none.
    #[must_use]
    pub fn with_artifacts(self, artifacts: Artifacts) -> Self {
        Self { artifacts: Some(artifacts), ..self }
    }

    /// The same under `rules`; without, there are none.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// What the server behind `url` is called where one active run per target is kept.
    pub(crate) fn target_key(&self, url: &TargetUrl) -> String {
        self.rules.aliases.key_of(url)
    }

    /// How long targets are left alone after a run.
    pub(crate) fn cooldown_ms(&self) -> i64 {
        milliseconds(self.rules.cooldown)
    }

    /// Where files of benchmarks are.
    pub fn artifacts(&self) -> Result<&Artifacts, StoreError> {
        self.artifacts.as_ref().ok_or(StoreError::NoArtifacts)
    }

    /// Brings the schema up to date: our tables and the queue's.
    ///
    /// Several processes may do so at once; it is quick when there is nothing to do.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.inner.database.migrate().await
    }

    /// Whether the database answers (within 4 s) and its schema is up to date.
    pub async fn ready(&self) -> Result<(), StoreError> {
        use std::sync::atomic::Ordering::Relaxed;

        if self.inner.migrated.load(Relaxed) {
            lease::in_time(clock::now(&self.inner.database.lease)).await?;
            return Ok(());
        }
        if !lease::in_time(self.inner.database.is_migrated()).await? {
            return Err(StoreError::NotMigrated);
        }
        self.inner.migrated.store(true, Relaxed);
        Ok(())
    }

    /// Host and port of the database server; none for SQLite and for sockets in the file system.
    pub fn server(&self) -> Option<(String, u16)> {
        self.inner.database.server.clone()
    }

    /// Whether keys of targets can be stored: a master key is set.
    pub fn keeps_keys(&self) -> bool {
        self.inner.vault.is_open()
    }

    /// How long a runner may be silent.
    pub fn lease(&self) -> Lease {
        self.inner.lease
    }
}
