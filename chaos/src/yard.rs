//! Everything that runs: a database, two APIs, three runners and a target, all as real processes,
//! with a line of our own between each two that talk.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use simulator::{Caller, Stats};
use tempfile::TempDir;
use testkit::{
    TestDatabase,
    process::{Process, Program, get},
};
use url::Url;

use crate::{
    client::Client,
    proxy::{Language, Line, Proxy, address_of},
};

/// What the leases are scaled to.
pub(crate) const TTL: Duration = Duration::from_secs(3);
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// How long a runner that is to stop may go on with its run.
pub(crate) const DRAIN: Duration = Duration::from_secs(2);

const APIS: usize = 2;
pub(crate) const RUNNERS: usize = 3;
const TARGETS: usize = 3;
/// 32 bytes; what they are is no secret here.
const MASTER_KEY: &str = "Y2hhb3MgY2hhb3MgY2hhb3MgY2hhb3MgY2hhb3MgY2g=";

async fn way_to(url: &str) -> Line {
    Arc::new(Proxy::to(vec![address_of(url)], Language::Any).await)
}

/// One of our programs and its way to the database.
pub(crate) struct Member {
    pub(crate) process: Process,
    pub(crate) line: Option<Line>,
    /// Where it listens; runners do not.
    pub(crate) url: String,
}

pub(crate) struct Yard {
    pub(crate) apis: Vec<Member>,
    pub(crate) runners: Vec<Member>,
    /// The same target by several ways, each a target of its own to us.
    pub(crate) targets: Vec<Line>,
    pub(crate) client: Client,
    pub(crate) sql: DatabaseConnection,
    pub(crate) database: TestDatabase,
    /// What whoever starts from now on is told beside the usual.
    pub(crate) settings: Vec<(String, String)>,
    simulated: (Process, String),
    /// Whose requests the target has seen, by benchmark, run and when it began: it remembers some
    /// thousands itself.
    callers: Mutex<BTreeMap<(u64, u64, u64), Caller>>,
    pub(crate) artifacts: TempDir,
    /// The runners' `DATA_DIR`.
    pub(crate) data: TempDir,
    /// What those said that are no more.
    past: Vec<String>,
}

impl Yard {
    /// A target and a database, and nobody yet.
    pub(crate) async fn bare(database: TestDatabase) -> Self {
        let mut simulated = Program::new("llm-bench")
            .args(["simulate", "--port", "0", "--ttft-ms", "15", "--itl-ms", "2"])
            .spawn();
        let url = simulated.url("simulated LLM server").await;
        let url = url.trim_end_matches("/v1").to_owned();
        let mut targets = Vec::new();
        for _ in 0..TARGETS {
            targets.push(way_to(&url).await);
        }
        // A file is made here where no API has made it yet.
        let made = if database.is_postgres() { "" } else { "?mode=rwc" };
        let mut options = ConnectOptions::new(format!("{}{made}", database.url()));
        options.max_connections(3).sqlx_logging(false);
        let sql = Database::connect(options).await.expect("the database");
        let folder = || tempfile::tempdir().expect("a folder");
        Self {
            apis: Vec::new(),
            runners: Vec::new(),
            targets,
            client: Client::new(),
            sql,
            database,
            settings: Vec::new(),
            simulated: (simulated, url),
            callers: Mutex::default(),
            artifacts: folder(),
            data: folder(),
            past: Vec::new(),
        }
    }

    /// Starts the APIs, and so many runners.
    pub(crate) async fn open(&mut self, runners: usize) {
        for _ in 0..APIS {
            let api = self.new_api().await;
            self.apis.push(api);
        }
        self.hire(runners).await;
    }

    /// Starts so many more runners.
    pub(crate) async fn hire(&mut self, runners: usize) {
        let new = join_all((0..runners).map(|_| self.new_runner())).await;
        self.runners.extend(new);
    }

    /// Has so many targets in all.
    pub(crate) async fn widen(&mut self, targets: usize) {
        while self.targets.len() < targets {
            self.targets.push(way_to(&self.simulated.1).await);
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.database.is_postgres()
    }

    async fn member(&self, program: &str) -> (Program, Option<Line>) {
        let mut url = self.database.url().to_owned();
        let mut line = None;
        if self.is_postgres() {
            let mut parsed: Url = url.parse().expect("a URL");
            let proxy = Proxy::to(vec![address_of(&url)], Language::Postgres).await;
            parsed.set_port(Some(proxy.address().port())).expect("a port");
            parsed.set_query(Some("sslmode=disable"));
            url = parsed.into();
            line = Some(Arc::new(proxy));
        }
        let mut program = Program::new(program)
            .env("DATABASE_URL", url)
            .env("DATA_DIR", self.data.path().display().to_string())
            .env("ARTIFACTS_URL", self.artifacts.path().display().to_string())
            .env("MASTER_KEY", MASTER_KEY)
            .env("EGRESS_ALLOW", "loopback")
            // A pause between two of one target would hide what is not exclusive, and cost time.
            .env("TARGET_COOLDOWN_S", "0")
            .env("LEASE_TTL_S", TTL.as_secs().to_string())
            .env("LEASE_GRACE_S", GRACE.as_secs().to_string())
            .env("DRAIN_TIMEOUT_S", DRAIN.as_secs().to_string());
        for (name, value) in &self.settings {
            program = program.env(name, value);
        }
        (program, line)
    }

    pub(crate) async fn new_api(&self) -> Member {
        let (program, line) = self.member("api").await;
        let mut process = program.env("HOST", "127.0.0.1").env("PORT", "0").spawn();
        let url = process.url("listening on").await;
        process.answers(&format!("{url}/readyz")).await;
        Member { process, line, url }
    }

    pub(crate) async fn new_runner(&self) -> Member {
        let (program, line) = self.member("runner").await;
        let mut process = program.env("LOAD_THREADS", "1").spawn();
        process.line("runner is ready").await;
        Member { process, line, url: String::new() }
    }

    /// The new one in the place of another, which is killed if it still lives.
    pub(crate) async fn replace_runner(&mut self, at: usize) {
        let new = self.new_runner().await;
        let old = std::mem::replace(&mut self.runners[at], new);
        self.past.push(old.process.said());
    }

    /// Forgets a runner that has ended; what it said is kept.
    pub(crate) fn dismiss(&mut self, at: usize) {
        let old = self.runners.remove(at);
        self.past.push(old.process.said());
    }

    pub(crate) async fn replace_api(&mut self, at: usize) {
        let new = self.new_api().await;
        let old = std::mem::replace(&mut self.apis[at], new);
        self.past.push(old.process.said());
    }

    pub(crate) fn api_urls(&self) -> Vec<String> {
        self.apis.iter().map(|api| api.url.clone()).collect()
    }

    pub(crate) fn api_addresses(&self) -> Vec<SocketAddr> {
        self.apis.iter().map(|api| address_of(&api.url)).collect()
    }

    /// What benchmarks name as their target.
    pub(crate) fn target(&self, at: usize) -> String {
        format!("http://{}", self.targets[at % self.targets.len()].address())
    }

    /// From now on it is noted who begins to send when.
    pub(crate) fn watch_arrivals(&self) {
        for target in &self.targets {
            target.arrivals.watch();
        }
    }

    /// How many milliseconds after the first of its runners the last one began to send; none where
    /// fewer than two did.
    pub(crate) fn begun_apart_ms(&self, benchmark: i64) -> Option<f64> {
        self.targets.iter().find_map(|target| target.arrivals.apart_ms(benchmark))
    }

    /// Whose requests the target has seen. It forgets the oldest of some thousands of runs: where
    /// there are more, it is to be asked meanwhile.
    pub(crate) async fn callers(&self) -> Vec<Caller> {
        let stats = get(&format!("{}/stats", self.simulated.1)).await.expect("the target is there");
        let seen = serde_json::from_str::<Stats>(&stats).expect("its counts").runs;
        let mut callers = self.callers.lock().expect("nobody panics");
        for caller in seen {
            callers.insert((caller.benchmark, caller.run, caller.first_ms), caller);
        }
        callers.values().copied().collect()
    }

    /// What anybody said of this benchmark, for whoever looks into a violation.
    pub(crate) fn said_of(&self, id: i64) -> Vec<String> {
        let words = [format!("benchmark={id} "), format!("benchmark={id}\n"), format!("({id})")];
        let living = self.apis.iter().chain(&self.runners).map(|member| member.process.said());
        let all = self.past.iter().cloned().chain(living);
        all.flat_map(|said| said.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| words.iter().any(|word| format!("{line}\n").contains(word.as_str())))
            .collect()
    }
}
