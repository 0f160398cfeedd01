//! A database, the runners on it and the servers they drive.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use shared::{
    Benchmark, BenchmarkId, Runner, RunnerState, Seed, State,
    request::{Defaults, Fields, NewBenchmark},
};
use simulator::{Settings, Stats};
use store::{Artifacts, Lease, Store, Vault};
use tempfile::TempDir;
use testkit::{
    TestDatabase,
    process::{Process, Program},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything. Only what is broken takes so long.
const PATIENCE: Duration = Duration::from_mins(2);
/// What the runners' leases are, so that a test need not wait for a minute.
const LEASE: Lease = Lease { ttl: Duration::from_secs(6), grace: Duration::from_secs(1) };

/// One database and what hangs on it.
pub(crate) struct Yard {
    pub(crate) store: Store,
    master_key: String,
    database: TestDatabase,
    artifacts: TempDir,
}

impl Yard {
    /// One for each kind of database there is.
    pub(crate) async fn each() -> Vec<Self> {
        let mut yards = Vec::new();
        for database in TestDatabase::each().await {
            let master_key = Vault::generate_base64();
            let vault = Vault::from_base64(&master_key).expect("a key of our own making");
            let store = Store::open(database.url(), vault, LEASE).await.expect("a database");
            store.migrate().await.expect("tables");
            let artifacts = tempfile::tempdir().expect("a folder");
            let folder = Artifacts::in_folder(artifacts.path()).expect("an artifact store");
            let store = store.with_artifacts(folder);
            yards.push(Self { store, master_key, database, artifacts });
        }
        yards
    }

    /// Where the files of benchmarks are.
    pub(crate) fn artifacts(&self) -> &Path {
        self.artifacts.path()
    }

    /// A runner that may reach this machine.
    pub(crate) async fn runner(&self) -> Process {
        self.runner_with(&[]).await
    }

    /// The same with other settings.
    pub(crate) async fn runner_with(&self, settings: &[(&str, &str)]) -> Process {
        let mut program = Program::new("runner")
            .env("DATABASE_URL", self.database.url())
            .env("ARTIFACTS_URL", self.artifacts().display().to_string())
            .env("MASTER_KEY", &self.master_key)
            .env("EGRESS_ALLOW", "loopback")
            .env("LEASE_TTL_S", LEASE.ttl.as_secs().to_string())
            .env("LEASE_GRACE_S", LEASE.grace.as_secs().to_string());
        for (name, value) in settings {
            program = program.env(name, value);
        }
        let mut process = program.spawn();
        process.line("runner is ready").await;
        process
    }

    /// An API on this database, and its URL.
    pub(crate) async fn api(&self) -> (Process, String) {
        let mut process = Program::new("api")
            .env("DATABASE_URL", self.database.url())
            .env("ARTIFACTS_URL", self.artifacts().display().to_string())
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("EGRESS_ALLOW", "loopback")
            .spawn();
        let url = process.url("listening on").await;
        process.answers(&format!("{url}/readyz")).await;
        (process, url)
    }

    /// Submits a benchmark: one user, a second, answers of four tokens, unless `fields` say other.
    pub(crate) async fn submit(&self, url: &str, fields: Value) -> BenchmarkId {
        let mut asked = json!({"url": url, "user": 1, "spawnrate": 100, "duration": 1, "grace": 1,
            "max_tokens": 4, "min_tokens": 0, "timeout_connect": 2, "timeout_first_token": 2});
        let Value::Object(fields) = fields else { panic!("fields are an object") };
        asked.as_object_mut().expect("an object").extend(fields);
        let asked: Fields = serde_json::from_value(asked).expect("an object");
        let seed = Seed::try_from(1).expect("a seed");
        let new = NewBenchmark::parse(&asked, &Defaults::default(), seed).expect("a valid request");
        self.store.create(new).await.expect("a database").id
    }

    pub(crate) async fn read(&self, id: BenchmarkId) -> Benchmark {
        self.store.get(id).await.expect("a database")
    }

    /// Waits until the benchmark is as wanted.
    pub(crate) async fn until(
        &self,
        id: BenchmarkId,
        wanted: impl Fn(&Benchmark) -> bool,
    ) -> Benchmark {
        let begun = Instant::now();
        loop {
            let benchmark = self.read(id).await;
            if wanted(&benchmark) {
                return benchmark;
            }
            assert!(begun.elapsed() < PATIENCE, "still not as wanted: {benchmark:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn ended(&self, id: BenchmarkId) -> Benchmark {
        self.until(id, |benchmark| benchmark.status.is_terminal()).await
    }

    /// Waits until there are figures of a run under way.
    pub(crate) async fn measured(&self, id: BenchmarkId) -> Benchmark {
        self.until(id, |b| b.report.as_ref().is_some_and(|r| r.requests.completed > 0)).await
    }

    /// Waits until the runner that has started last is in `state`.
    pub(crate) async fn until_runner(&self, state: RunnerState) -> Runner {
        let begun = Instant::now();
        loop {
            let newest = self.store.runners().await.expect("a database").swap_remove(0);
            if newest.state == state {
                return newest;
            }
            assert!(begun.elapsed() < PATIENCE, "still not {state:?}: {newest:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How often the benchmark went from queued to running.
    pub(crate) async fn claims(&self, id: BenchmarkId) -> usize {
        let events = self.store.events(id, 0).await.expect("a database");
        events.iter().filter(|event| event.to == State::Running).count()
    }
}

/// A simulated LLM server in this process, on a port of its own.
pub(crate) async fn simulate(settings: Settings) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(simulator::serve(settings, listener, CancellationToken::new()));
    url
}

/// How many files there are in `folder` and below.
pub(crate) fn files_below(folder: &Path) -> usize {
    let entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries.map(|e| if e.path().is_dir() { files_below(&e.path()) } else { 1 }).sum()
}

/// A quick one.
pub(crate) fn quick() -> Settings {
    Settings { ttft_ms: 20.0, itl_ms: 2.0, ..Settings::default() }
}

/// What it has counted.
pub(crate) async fn stats(url: &str) -> Stats {
    let body = testkit::process::get(&format!("{url}/stats")).await.expect("the server is there");
    serde_json::from_str(&body).expect("its counts")
}
