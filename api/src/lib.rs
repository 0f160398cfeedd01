//! The front door: the REST API, in whatever process runs it.
//!
//! It reads and writes through `store` and talks to targets through `target`, one request at a
//! time; it never names `loadgen`, so no client's request can start load in this process.

mod access;
mod auth;
mod benchmarks;
mod fields;
mod generate;
mod health;
mod listing;
mod measures;
mod model;
mod openapi;
mod problem;
mod progress;
mod queue;
mod quota;
mod reads;
mod requests;
mod runners;
mod settings;
mod submit;
mod watch;
mod written;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use poem::{
    IntoResponse as _, Route, Server,
    endpoint::{BoxEndpoint, make_sync},
    http::{HeaderValue, header},
    listener::TcpAcceptor,
    web::Html,
};
use poem_openapi::{OpenApiService, Tags};
use secrecy::SecretString;
use shared::{TargetUrl, request::Defaults};
use store::Store;
use target::Egress;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, SemaphorePermit},
};
use tokio_util::sync::CancellationToken;

pub use auth::InvalidCredentials;
pub use settings::{Options, Settings};

use problem::{ApiError, Kind};

/// How long `/readyz` says no before connections are refused, so that balancers look elsewhere.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long open requests get once the server shuts down.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(75);
/// Requests of clients to targets that may be open at once.
const MAX_TARGET_CALLS: usize = 32;

/// Every route but the health checks' own: `health`, `benchmarks`, `generate`, `model` and
/// `runners` each list theirs.
///
/// ```text
/// /  /livez  /readyz  /metrics  /openapi.json  /docs            open to everybody
/// /api/v1/benchmarks/run                      POST              query, form or JSON
/// /api/v1/benchmarks                          POST GET          JSON; pages
/// /api/v1/benchmarks/{id}                     GET PUT PATCH DELETE
/// /api/v1/benchmarks/{id}/cancel              POST
/// /api/v1/benchmarks/{id}/timeseries          GET
/// /api/v1/benchmarks/{id}/requests            GET               Parquet, CSV or JSONL
/// /api/v1/benchmarks/{id}/histograms          GET
/// /api/v1/benchmarks/{id}/events              GET               server-sent events
/// /api/v1/generate  /api/v1/model             POST, GET         one request to a target
/// /api/v1/runners                             GET
/// /api/v1/queue                               GET
/// /api/v1/queue/{pause,resume,abort}          POST
/// ```
pub fn app(state: Arc<AppState>) -> BoxEndpoint<'static> {
    let apis = (
        health::HealthApi { state: Arc::clone(&state) },
        benchmarks::BenchmarksApi { state: Arc::clone(&state) },
        generate::GenerateApi { state: Arc::clone(&state) },
        model::ModelApi { state: Arc::clone(&state) },
        runners::RunnersApi { state: Arc::clone(&state) },
        queue::QueueApi { state: Arc::clone(&state) },
    );
    let service = OpenApiService::new(apis, "LLM Benchmark API", env!("CARGO_PKG_VERSION"))
        .description(
            "Load tests against OpenAI-compatible servers. Every path is taken with and without \
             a slash at its end. Status words may grow in number.",
        );
    let document = Arc::new(openapi::document(&service));
    let (page, json) = (openapi::page(&document), format!("{document:#}\n"));
    let routes = Route::new()
        .at("/openapi.json", get(move || json.clone().with_content_type("application/json")))
        .at("/docs", get(move || Html(page.clone())))
        .nest("/", service);
    access::around(routes, state, document)
}

fn get<R>(answer: impl Fn() -> R + Send + Sync + 'static) -> poem::RouteMethod
where
    R: poem::IntoResponse + Send + Sync + 'static,
{
    poem::get(make_sync(move |_| answer()))
}

#[derive(Tags)]
enum Tag {
    /// What runs, measures and is remembered.
    Benchmarks,
    /// One request to a target, to see whether it is the right one.
    Targets,
    /// Who drives load.
    Runners,
    /// What waits, and whether it may begin.
    Queue,
    /// How the service itself is.
    Health,
}

/// What every handler needs.
pub struct AppState {
    store: Store,
    egress: Egress,
    defaults: Defaults,
    default_key: Option<SecretString>,
    blocking: bool,
    cors_origins: Vec<String>,
    gate: auth::Gate,
    metrics: measures::Measures,
    followers: Arc<Semaphore>,
    watch: watch::Watch,
    reads: reads::Reads,
    downloads: Arc<Semaphore>,
    target_calls: Semaphore,
    shutdown: CancellationToken,
}

impl AppState {
    /// The state of an app that listens on `address`.
    ///
    /// # Errors
    ///
    /// Settings that contradict themselves.
    pub fn new(
        settings: &Settings,
        store: Store,
        address: SocketAddr,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Arc<Self>> {
        if settings.default_key().is_some() && !store.keeps_keys() {
            anyhow::bail!("API_AUTH_TOKEN is set, and without MASTER_KEY no key can be kept");
        }
        let own = own_addresses(&store, address);
        let egress = Egress::new(&settings.egress_allow, own).context("EGRESS_ALLOW")?;
        let cors_origins = settings.cors_origins.iter().filter(|origin| !origin.is_empty());
        Ok(Arc::new(Self {
            egress,
            defaults: settings.defaults(),
            default_key: settings.default_key(),
            blocking: settings.compat_blocking_run,
            cors_origins: cors_origins.cloned().collect(),
            gate: auth::Gate::new(settings)?,
            metrics: measures::Measures::new()?,
            followers: Arc::new(Semaphore::new(progress::MAX_FOLLOWERS)),
            watch: watch::Watch::new(store.clone()),
            reads: reads::Reads::new(store.clone()),
            downloads: Arc::new(Semaphore::new(requests::MAX_DOWNLOADS)),
            target_calls: Semaphore::new(MAX_TARGET_CALLS),
            store,
            shutdown,
        }))
    }

    /// Refuses a target that must not be reached, whatever it would answer; `field` named it.
    fn judge(&self, field: &str, url: &TargetUrl) -> Result<(), ApiError> {
        self.egress
            .check(url)
            .map_err(|blocked| ApiError::field(Kind::BLOCKED, field, blocked.to_string()))
    }

    /// `API_AUTH_TOKEN` for a call that names no key; nobody gets it sent to a target of theirs.
    fn default_key_for(&self, url: &TargetUrl) -> Option<SecretString> {
        let ours = self.defaults.url.as_ref().is_some_and(|ours| ours.key() == url.key());
        self.default_key.clone().filter(|_| ours)
    }

    /// Leave to call a target, while not too many do.
    fn target_call(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.target_calls.try_acquire().map_err(|_| {
            let detail = format!("{MAX_TARGET_CALLS} requests to targets are open; try again");
            ApiError::told(Kind::BUSY, detail).with(header::RETRY_AFTER, HeaderValue::from(1))
        })
    }

    /// Whether pages of `origin` may call us.
    fn allows(&self, origin: &HeaderValue) -> bool {
        self.cors_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
    }
}

/// Where this service itself can be reached: never a target.
fn own_addresses(store: &Store, address: SocketAddr) -> Vec<(String, u16)> {
    [(address.ip().to_string(), address.port())].into_iter().chain(store.server()).collect()
}

/// Serves on the address that `settings` name, until `shutdown`.
pub async fn run(
    settings: Settings,
    store: Store,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let address = (settings.host.as_str(), settings.port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {}:{}", settings.host, settings.port))?;
    serve(settings, store, listener, shutdown).await
}

/// Serves on `listener`, until `shutdown`: migrates the database first and sweeps it all along.
pub async fn serve(
    settings: Settings,
    store: Store,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let state = AppState::new(&settings, store, address, shutdown.clone())?;
    if state.gate.is_open() {
        tracing::warn!("anybody may use this API: neither BASIC_AUTH nor API_TOKENS is set");
    }
    state.store.migrate().await.context("cannot migrate the database")?;
    let sweeping = tokio::spawn(sweep(Arc::clone(&state)));
    tracing::info!("listening on http://{address}, documentation at http://{address}/docs");
    let goodbye = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GOODBYE).await;
    };
    let served = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?)
        .idle_timeout(IDLE)
        .run_with_graceful_shutdown(app(state), goodbye, Some(LAST_ANSWERS))
        .await;
    sweeping.abort();
    served.context("the server broke off")
}

/// Ends what nobody else will end: runs whose runner is gone, waits that were too long.
async fn sweep(state: Arc<AppState>) {
    let every = state.store.lease().sweep_every();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        state.metrics.tidy();
        daemon::measures().run_upkeep();
        if let Err(error) = state.store.sweep_if_due().await {
            tracing::warn!(%error, "the sweep failed; the next is in {} s", every.as_secs_f64());
        }
    }
}
