//! Everything that can go wrong before the first request, does so here.

use std::{
    collections::BTreeSet,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use records::Checkpoint;
use secrecy::SecretString;
use shared::{
    BenchmarkSpec, HttpVersion, Load, Reason, ReasonCode, TargetUrl, TracePath,
    report::{Environment, TargetEnvironment},
};
use target::{
    Egress, ResolveFailure,
    client::ClientError,
    probe::{Capabilities, ProbeFailure},
    request::RequestMould,
    scrape::Scrape,
};

use super::{
    deadline::Deadline,
    handicap::Handicap,
    machine,
    scribe::Checkpoints,
    targets::{Found, Targets},
};
use crate::{
    answer::Form,
    arrival::{Schedule, Shard},
    patience::Limits,
    prompt::{Hub, PromptError, Prompts, Tokenizer, TokenizerError},
    trace::{Trace, TraceError},
};

/// What a runner brings along, the same for all its runs.
#[derive(Clone)]
pub struct Settings {
    /// Which addresses may be reached.
    pub egress: Egress,
    /// Where local data sets and tokenizers lie, and what the hub gave is kept.
    pub data_dir: PathBuf,
    /// The Hugging Face hub.
    pub hub: Hub,
    /// Threads that drive load; none: one for each core but one.
    pub load_threads: Option<u32>,
    /// What drives the load.
    pub driver: Driver,
    /// What the runner is called in reports; empty outside a service.
    pub runner: String,
    /// Which part of the load is this runner's.
    pub shard: Shard,
    /// What the load's requests say of themselves in their `user-agent`, e.g. whose they are;
    /// empty: nothing but the program's name.
    pub label: String,
}

/// What drives the load of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// A readiness loop of our own.
    #[default]
    Readiness,
    /// hyper over tokio: slower, and the oracle of the other.
    Hyper,
}

impl Driver {
    /// The one that speaks this version: HTTP/2 has no readiness loop.
    fn for_http(self, version: HttpVersion) -> Self {
        match version {
            HttpVersion::Http1 => self,
            HttpVersion::Http2 => Self::Hyper,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Readiness => "readiness",
            Self::Hyper => "hyper",
        }
    }
}

/// Why a run could not begin. No load was sent.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// More requests open at once than this process can have sockets.
    #[error(
        "{users} requests open at once need as many sockets, but this runner's limit of open files leaves {capacity}; ask for fewer (`user`, `max_concurrency`), or raise `ulimit -n`"
    )]
    TooManyUsers {
        /// Requests open at once.
        users: u32,
        /// Sockets there can be.
        capacity: u64,
    },
    /// The prompts could not be loaded.
    #[error(transparent)]
    Prompts(#[from] PromptError),
    /// The tokenizer could not be loaded.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The trace cannot be replayed.
    #[error("{}", .error.reason(.path).detail)]
    Trace {
        /// Its path.
        path: TracePath,
        /// Why.
        error: TraceError,
    },
    /// The target cannot be used.
    #[error(transparent)]
    Probe(#[from] ProbeFailure),
    /// There can be no connection to the target.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// One of several targets.
    #[error("{url}: {error}")]
    Target {
        /// Which.
        url: TargetUrl,
        /// Why it cannot be used.
        error: Box<Self>,
    },
}

impl PrepareError {
    /// The reason a client reads.
    pub fn reason(&self) -> Reason {
        match self {
            Self::TooManyUsers { .. } => {
                Reason::new(ReasonCode::CapacityExceeded, self.to_string())
            }
            Self::Prompts(error) => error.reason(),
            Self::Tokenizer(error) => error.reason(),
            Self::Trace { path, error } => error.reason(path),
            Self::Probe(failure) => failure.reason(),
            Self::Client(ClientError::Resolve(ResolveFailure::Blocked(_))) => {
                Reason::new(ReasonCode::PolicyBlocked, self.to_string())
            }
            Self::Client(ClientError::NoHttp2(_)) => {
                Reason::new(ReasonCode::TargetUnusable, self.to_string())
            }
            Self::Client(_) => Reason::new(ReasonCode::TargetUnreachable, self.to_string()),
            Self::Target { error, .. } => Reason::new(error.reason().code, self.to_string()),
        }
    }
}

/// A run that can begin at once.
pub struct Prepared {
    pub(crate) spec: BenchmarkSpec,
    pub(crate) run: Arc<Run>,
    pub(crate) tokenizer: Option<Tokenizer>,
    pub(crate) environment: Environment,
    pub(crate) shard: Shard,
    /// When the first request is due; none: as soon as may be.
    pub(crate) starts_at: Option<Instant>,
    pub(crate) load_threads: u32,
    pub(crate) driver: Driver,
    pub(crate) handicap: Handicap,
    pub(crate) deadline: Deadline,
    /// A way to what the target says of itself; none: it says nothing, or nobody asks.
    pub(crate) scrape: Option<Scrape>,
    /// Where the requests' rows go; none: nowhere.
    pub(crate) records: Option<Box<dyn Write + Send>>,
    /// Where what they lack to be a whole file goes, now and then; none: nowhere.
    pub(crate) checkpoints: Option<Checkpoints>,
}

/// What all load threads of a run share.
pub(crate) struct Run {
    pub(crate) targets: Targets,
    /// Sockets that each load thread may have.
    pub(crate) sockets_each: usize,
    pub(crate) request: RequestMould,
    pub(crate) prompts: Prompts,
    pub(crate) limits: Limits,
    pub(crate) form: Form,
    pub(crate) seed: u64,
    /// Whether answers' texts are kept: a tokenizer, or a user's next request needs them.
    pub(crate) keep_text: bool,
    /// Whether a tokenizer reads them.
    pub(crate) count_text: bool,
    /// When requests are due; none: answers decide.
    pub(crate) schedule: Option<Schedule>,
}

/// Loads what the run needs and asks the target what it can do. Sends the target a handful of
/// small requests, no load.
pub async fn prepare(
    spec: BenchmarkSpec,
    key: Option<SecretString>,
    settings: &Settings,
) -> Result<Prepared, PrepareError> {
    let data_dir = &settings.data_dir;
    let trace = trace(&spec, data_dir).await?;
    let shard = settings.shard;
    let users = shard.share_of(most_open(&spec, trace.as_ref()));
    let capacity = machine::socket_capacity();
    if u64::from(users) > capacity {
        return Err(PrepareError::TooManyUsers { users, capacity });
    }
    let hub = &settings.hub;
    let tokenizer = match &spec.tokenizer {
        Some(source) => Some(Tokenizer::load(source, data_dir, hub).await?),
        None => None,
    };
    let schedule = Schedule::of(&spec.load, spec.seed.get());
    let (prompts, schedule) = match trace {
        None => (Prompts::load(&spec, tokenizer.as_ref(), data_dir, hub).await?, schedule),
        Some(trace) => {
            let others = if trace.needs_prompts() {
                Some(Prompts::load(&spec, None, data_dir, hub).await?)
            } else {
                None
            };
            let due = trace.rows.iter().map(|row| row.due_us).collect();
            let schedule = schedule.map(|schedule| schedule.replaying(due, trace.beyond_us));
            (Prompts::replaying(trace.rows, &spec, tokenizer.as_ref(), others).await?, schedule)
        }
    };
    // Its future is large, and everybody's who prepares would be.
    let found = Box::pin(Targets::find(&spec, key.as_ref(), settings)).await?;
    let Found { targets, capabilities, scrape } = found;
    // Of several shards one asks: the others would hear the same.
    let scrape = scrape.filter(|_| shard.index() == 0);
    let prompts = match capabilities.context_tokens {
        Some(tokens) => prompts.fitting_into(tokens, &spec, tokenizer.as_ref()).await?,
        None => prompts,
    };
    let looked_up_in = targets.each()[0].client.looked_up_in();
    let dns_ms = looked_up_in.map(|took| took.as_secs_f64() * 1e3);

    let load_threads = load_threads(settings.load_threads).clamp(1, users.max(1));
    let run = Run {
        targets,
        sockets_each: usize::try_from(capacity / u64::from(load_threads)).unwrap_or(usize::MAX),
        request: RequestMould::new(&spec.call, &spec.output, &spec.sampling, &capabilities),
        prompts,
        limits: Limits::of(&spec.timeouts, spec.call.stream),
        form: Form::from(&spec.call),
        seed: spec.seed.get(),
        keep_text: tokenizer.is_some() || spec.turns.is_some(),
        count_text: tokenizer.is_some(),
        schedule,
    };
    let driver = settings.driver.for_http(spec.call.http_version);
    let mut environment = environment(&spec, capabilities, &settings.runner, load_threads);
    driver.as_str().clone_into(&mut environment.driver);
    environment.target.dns_ms = dns_ms;
    Ok(Prepared {
        spec,
        run: Arc::new(run),
        tokenizer,
        environment,
        shard,
        starts_at: None,
        load_threads,
        driver,
        handicap: Handicap::default(),
        deadline: Deadline::never(),
        scrape,
        records: None,
        checkpoints: None,
    })
}

/// Threads that drive load: as many as were `asked` for, else one for each core but one.
pub(crate) fn load_threads(asked: Option<u32>) -> u32 {
    asked.unwrap_or_else(|| machine::cores().saturating_sub(1).max(1))
}

impl Run {
    /// Which server the request `nth` of a schedule, or the next one of a user, goes to.
    pub(crate) fn turn_of(&self, nth: u64) -> u32 {
        match self.schedule {
            Some(_) => self.targets.scheduled(nth),
            None => self.targets.next(),
        }
    }
}

/// What the load replays; none: it is no trace's.
async fn trace(spec: &BenchmarkSpec, data_dir: &Path) -> Result<Option<Trace>, PrepareError> {
    let Load::Trace(replay) = &spec.load else { return Ok(None) };
    let refused = |error| PrepareError::Trace { path: replay.trace.clone(), error };
    let trace = Trace::load(replay, data_dir).await.map_err(refused)?;
    if trace.needs_tokenizer() && spec.tokenizer.is_none() {
        return Err(refused(TraceError::NoTokenizer));
    }
    Ok(Some(trace))
}

/// The most requests that can be open at once: of a trace, as many as it has.
fn most_open(spec: &BenchmarkSpec, trace: Option<&Trace>) -> u32 {
    let users = spec.load.peak_users().get();
    let due = trace.and_then(|trace| u32::try_from(trace.rows.len()).ok());
    due.map_or(users, |due| due.min(users))
}

impl Prepared {
    /// The model that will be asked.
    pub fn model(&self) -> &str {
        &self.environment.target.model
    }

    /// Where its targets are: what their names stood for when they were looked up.
    pub fn addresses(&self) -> BTreeSet<SocketAddr> {
        let clients = self.run.targets.each().iter().map(|target| &target.client);
        clients.flat_map(|client| client.addresses().iter().copied()).collect()
    }

    /// What the run will be made in, and with.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The same as try number `attempt` of its benchmark, which the report tells unless it is the first.
    #[must_use]
    pub fn as_attempt(mut self, attempt: u32) -> Self {
        self.environment.attempt = (attempt > 1).then_some(attempt);
        self
    }

    /// The same, whose time begins at `origin`, by this machine's clock.
    #[must_use]
    pub fn starting_at(self, origin: Instant) -> Self {
        Self { starts_at: Some(origin), ..self }
    }

    /// The same, with a row for each request written to `file`, as Parquet, by a thread of its own.
    #[must_use]
    pub fn recording_to(self, file: impl Write + Send + 'static) -> Self {
        Self { records: Some(Box::new(file)), ..self }
    }

    /// The same, and about `every` so often, and at the end, the writer of the rows has `keep` know
    /// what makes a whole file of what it has written, in case it never comes to the end.
    #[must_use]
    pub fn checkpointing(
        self,
        every: Duration,
        keep: impl FnMut(&Checkpoint) + Send + 'static,
    ) -> Self {
        Self { checkpoints: Some(Checkpoints { every, keep: Box::new(keep) }), ..self }
    }
}

fn environment(
    spec: &BenchmarkSpec,
    capabilities: Capabilities,
    runner: &str,
    load_threads: u32,
) -> Environment {
    let (host, kernel) = machine::host_and_kernel();
    Environment {
        runner: runner.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host,
        cpus: machine::cores(),
        kernel,
        load_threads,
        driver: String::new(),
        http_version: spec.call.http_version,
        target: TargetEnvironment {
            server: capabilities.server,
            system_fingerprint: capabilities.system_fingerprint,
            model: capabilities.model,
            stream_usage: capabilities.stream_usage,
            ignore_eos: capabilities.ignore_eos,
            min_tokens: capabilities.min_tokens,
            context_tokens: capabilities.context_tokens,
            dns_ms: None,
        },
        spec_hash: spec_hash(spec),
        seed: spec.seed.get(),
        attempt: None,
        shards: Vec::new(),
    }
}

/// Equal for equal specs, however the seed was drawn and whoever makes the load.
fn spec_hash(spec: &BenchmarkSpec) -> String {
    use sha2::{Digest, Sha256};
    let json = serde_json::to_value(spec)
        .map(|mut spec| {
            if let Some(fields) = spec.as_object_mut() {
                fields.remove("seed");
                // Who makes a load does not change it.
                fields.remove("runners");
            }
            spec.to_string()
        })
        .unwrap_or_default();
    let digest = Sha256::digest(json);
    let first: [u8; 8] = std::array::from_fn(|index| digest[index]);
    format!("{:016x}", u64::from_be_bytes(first))
}
