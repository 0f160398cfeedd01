//! What a process counts of itself, for Prometheus.
//!
//! One recorder for the process: whoever counts (the store, a runner) names the `metrics` crate and
//! nothing of how it is told. An API tells it beside its own; a runner over a listener of its own.

use std::{convert::Infallible, net::SocketAddr, sync::OnceLock, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Upper bounds of the buckets of whatever ends in `_seconds`.
const BUCKETS_S: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
    7_200.0,
];
const TASKS: &str = "llm_bench_tasks";
/// Between two times that histograms are tidied up.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for a scraper's request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Begins to count, and says how to read what was counted; a second time is the first.
///
/// Where another recorder is installed, that one counts and this tells nothing.
pub fn measures() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let seconds = Matcher::Suffix("_seconds".to_owned());
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(seconds, BUCKETS_S)
                .unwrap_or_else(|_| PrometheusBuilder::new())
                .build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::debug!("somebody else counts in this process");
            }
            metrics::describe_gauge!(TASKS, "Tasks of the runtime that are alive.");
            handle
        })
        .clone()
}

/// What this process has counted, as Prometheus reads it.
pub fn told() -> String {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let alive = u32::try_from(runtime.metrics().num_alive_tasks()).unwrap_or(u32::MAX);
        metrics::gauge!(TASKS).set(f64::from(alive));
    }
    measures().render()
}

/// Answers `GET /metrics` on `address` until `shutdown`; where that ended up, it says in the log.
///
/// # Errors
///
/// When it cannot listen there.
pub async fn tell(address: SocketAddr, shutdown: CancellationToken) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!("telling metrics on http://{}/metrics", listener.local_addr()?);
    let handle = measures();
    tokio::spawn(async move {
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        loop {
            let socket = tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tidy.tick() => {
                    handle.run_upkeep();
                    continue;
                }
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => socket,
                    // Out of files, mostly: those that close make room.
                    Err(_) => continue,
                },
            };
            tokio::spawn(async move {
                let answer = service_fn(|request| {
                    let answer = answer(&request);
                    async { Ok::<_, Infallible>(answer) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .serve_connection(TokioIo::new(socket), answer)
                    .await;
            });
        }
    });
    Ok(())
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, told()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "GET it\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "there is /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
