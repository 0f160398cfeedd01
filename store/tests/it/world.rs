//! A store over a database of its own, with the verbs of the tests.

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement,
};
use shared::report::{
    Aliases, Concurrency, Environment, FinishReasons, Histograms, Latency, Report, Requests,
    SecondRow, StampSource, Throughput, Tokens, Validity, Verdict, Window,
};
use shared::request::{Defaults, Fields, NewBenchmark};
use shared::{Benchmark, BenchmarkId, RunnerId, Seed, State, Timestamp};
use store::{Claim, Ending, Held, Lease, Registration, Store, StoreError, Vault};
use testkit::TestDatabase;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A migrated store over a database of its own.
pub(crate) struct World {
    pub(crate) store: Store,
    /// The same database, past the store.
    pub(crate) sql: DatabaseConnection,
    pub(crate) master_key: String,
    pub(crate) database: TestDatabase,
}

/// One world for each kind of database.
pub(crate) async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for database in TestDatabase::each().await {
        worlds.push(World::over(database).await);
    }
    worlds
}

/// Those of servers alone.
pub(crate) async fn servers() -> impl Iterator<Item = World> {
    worlds().await.into_iter().filter(|world| world.database.is_postgres())
}

impl World {
    async fn over(database: TestDatabase) -> Self {
        let master_key = Vault::generate_base64();
        let vault = Vault::from_base64(&master_key).unwrap();
        let store = Store::open(database.url(), vault, Lease::default()).await.unwrap();
        store.migrate().await.unwrap();
        let mut options = ConnectOptions::new(database.url());
        options.max_connections(2).sqlx_logging(false);
        let sql = Database::connect(options).await.unwrap();
        Self { store, sql, master_key, database }
    }

    /// A worker in another process, and each look of it at the queue.
    pub(crate) async fn worker(
        &self,
        stop: &CancellationToken,
    ) -> (JoinHandle<Result<(), StoreError>>, mpsc::UnboundedReceiver<()>) {
        let (looked, looks) = mpsc::unbounded_channel();
        let (store, stop) = (self.another_store().await, stop.clone());
        let working = tokio::spawn(async move {
            let look = move || {
                looked.send(()).unwrap();
                async {}
            };
            store.work(&RunnerId("runner-a".into()), look, stop).await
        });
        (working, looks)
    }

    /// The database as another process would open it.
    pub(crate) async fn another_store(&self) -> Store {
        self.another_store_with(Lease::default()).await
    }

    pub(crate) async fn another_store_with(&self, lease: Lease) -> Store {
        let vault = Vault::from_base64(&self.master_key).unwrap();
        Store::open(self.database.url(), vault, lease).await.unwrap()
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.sql.get_database_backend()
    }

    pub(crate) async fn execute(&self, sql: &str) -> Result<u64, DbErr> {
        Ok(self.sql.execute_unprepared(sql).await?.rows_affected())
    }

    /// The first column of the first row.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let asked = Statement::from_string(self.backend(), sql);
        let row = self.sql.query_one_raw(asked).await.unwrap().unwrap();
        let narrow = || row.try_get_by_index::<i32>(0).map(i64::from);
        row.try_get_by_index(0).or_else(|_| narrow()).unwrap()
    }

    /// What has a benchmark ask for another try when it is lost.
    pub(crate) fn asking_to_rerun(&self, id: BenchmarkId) -> String {
        let spec = if self.database.is_postgres() {
            "jsonb_set(spec, '{on_lost}', '\"rerun\"')"
        } else {
            "json_set(spec, '$.on_lost', 'rerun')"
        };
        format!("UPDATE benchmark SET spec = {spec} WHERE id = {id}")
    }

    /// The tickets' table.
    pub(crate) fn jobs(&self) -> &'static str {
        if self.database.is_postgres() { "apalis.jobs" } else { "Jobs" }
    }

    pub(crate) async fn tickets(&self) -> i64 {
        self.count(&format!("SELECT count(*) FROM {} WHERE status = 'Pending'", self.jobs())).await
    }

    /// Submits a benchmark of its own target.
    pub(crate) async fn submit(&self) -> Benchmark {
        let port = 1_000 + self.count("SELECT count(*) FROM benchmark").await;
        self.submit_to(&format!("http://llm.example:{port}")).await
    }

    pub(crate) async fn submit_to(&self, url: &str) -> Benchmark {
        self.store.create(request(&[("url", url)])).await.unwrap()
    }

    /// Submits a benchmark of several targets, the first of which is `url`.
    pub(crate) async fn submit_to_all(&self, url: &str, urls: &str) -> Benchmark {
        self.store.create(request(&[("url", url), ("urls", urls)])).await.unwrap()
    }

    /// Submits and claims; there must be nothing else to claim.
    pub(crate) async fn running(&self) -> Held {
        let submitted = self.submit().await;
        let held = self.claim("runner-a").await.unwrap().held;
        assert_eq!(held.id, submitted.id);
        held
    }

    /// The same, with its load begun.
    pub(crate) async fn loading(&self) -> Held {
        let held = self.running().await;
        self.store.load_starts(&held, "tiny").await.unwrap();
        held
    }

    pub(crate) async fn claim(&self, runner: &str) -> Option<Claim> {
        self.store.claim(&RunnerId(runner.into()), 10_000).await.unwrap()
    }

    pub(crate) async fn get(&self, id: BenchmarkId) -> Benchmark {
        self.store.get(id).await.unwrap()
    }

    pub(crate) async fn status(&self, id: BenchmarkId) -> State {
        self.get(id).await.status
    }

    /// Lets the lease of `id` have run out long ago.
    pub(crate) async fn expire(&self, id: BenchmarkId) {
        let changed = self
            .execute(&format!("UPDATE benchmark SET lease_until_ms = 1 WHERE id = {id}"))
            .await
            .unwrap();
        assert_eq!(changed, 1);
    }

    /// Lets it be time to throw things away.
    pub(crate) async fn prune_is_due(&self) {
        self.execute("UPDATE chore SET due_at_ms = 0 WHERE name = 'prune'").await.unwrap();
    }

    /// Every state that `id` has been in, by its events.
    pub(crate) async fn history(&self, id: BenchmarkId) -> Vec<State> {
        let events = self.store.events(id, 0).await.unwrap();
        for (index, event) in events.iter().enumerate() {
            assert_eq!(event.seq, i64::try_from(index).unwrap() + 1);
            assert_eq!(event.from, index.checked_sub(1).map(|last| events[last].to));
        }
        events.into_iter().map(|event| event.to).collect()
    }
}

/// A request with these fields, else the defaults.
pub(crate) fn request(fields: &[(&str, &str)]) -> NewBenchmark {
    let fields: Fields =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    NewBenchmark::parse(&fields, &Defaults::default(), Seed::try_from(7).unwrap()).unwrap()
}

pub(crate) fn registration(id: &str) -> Registration {
    Registration {
        id: RunnerId(id.into()),
        name: format!("host-{id}"),
        version: "0.1.0".into(),
        max_users: 500,
        measured: None,
        labels: shared::Labels::default(),
    }
}

pub(crate) fn ending(to: State) -> Ending {
    Ending {
        to,
        reason: None,
        report: Some(report(10)),
        series: vec![second(0), second(1)],
        histograms: Histograms::new(),
        requests: None,
    }
}

pub(crate) fn second(t_s: u32) -> SecondRow {
    SecondRow { t_s, started: 5, ttft_ms_p50: Some(12.5), ..SecondRow::default() }
}

/// A report of `completed` requests.
pub(crate) fn report(completed: u64) -> Report {
    Report {
        window: Window {
            started_at: Timestamp::from_unix_ms(1_790_000_000_000),
            warmup_s: 1.0,
            measured_s: 10.5,
            steady_from_s: None,
            steady_s: None,
            left_out_warmup_s: 0.0,
            left_out_cooldown_s: 0.0,
            counted_s: None,
        },
        requests: Requests {
            scheduled: completed,
            started: completed,
            completed,
            error_rate: Some(0.0),
            ..Requests::default()
        },
        failures: Vec::new(),
        finish_reasons: FinishReasons::default(),
        latency: Latency::default(),
        token_speed_per_s: None,
        output_token_rate_per_s: None,
        throughput: Throughput { requests_per_s: 0.95, ..Throughput::default() },
        tokens: Tokens {
            input: None,
            output: 128 * completed,
            reasoning: None,
            source: None,
            estimated: false,
            output_by_tokenizer: None,
            mismatched_share: None,
            asked_output: 128 * completed,
            reached_ratio: Some(1.0),
        },
        concurrency: Concurrency::default(),
        validity: Validity {
            verdict: Verdict::Valid,
            reasons: Vec::new(),
            stamp_source: StampSource::Kernel,
            stamp_lag_ms: None,
            schedule_lag_ms: None,
            loop_lag_ms: None,
            begun_late_ms: None,
            coalesced_share: None,
            cpu_share: None,
            process_cpu_share: None,
            connections_opened: 1,
            reused_share: None,
            early_stopping: None,
        },
        environment: Environment { seed: 9_007_199_254_740_991, ..Environment::default() },
        goodput: None,
        aliases: Aliases::default(),
        stopped: None,
        target_metrics: None,
        recorded: None,
        targets: Vec::new(),
    }
}
