//! What the API counts of itself, for Prometheus.
//!
//! The recorder belongs to one app and not to the process, so that two apps in one process (as in
//! tests, or beside a runner) do not count into each other.

use std::time::Duration;

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use poem::http::Method;

const REQUESTS: &str = "llm_bench_http_requests_total";
const LATENCY: &str = "llm_bench_http_request_duration_seconds";
const ACCEPTED: &str = "llm_bench_benchmarks_accepted_total";
const BUILD: &str = "llm_bench_build_info";

/// Upper bounds of the latency buckets, in seconds; waiting requests reach a minute.
const BUCKETS_S: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The counters of one app.
pub(crate) struct Measures {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Measures {
    pub(crate) fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(LATENCY.to_owned()), BUCKETS_S)?
            .build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            metrics::describe_counter!(REQUESTS, "Requests answered, by path pattern and status.");
            metrics::describe_histogram!(LATENCY, "Time to answer, by path pattern.");
            metrics::describe_counter!(ACCEPTED, "Benchmarks accepted into the queue.");
            metrics::describe_gauge!(BUILD, "1, labelled with the version that runs.");
            metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            metrics::counter!(ACCEPTED).absolute(0);
        });
        Ok(Self { recorder, handle })
    }

    /// A request was answered.
    pub(crate) fn answered(&self, method: &Method, path: &str, status: u16, elapsed: Duration) {
        let method = known(method);
        let path = path.to_owned();
        metrics::with_local_recorder(&self.recorder, || {
            let status = status.to_string();
            metrics::counter!(REQUESTS, "method" => method, "path" => path.clone(), "status" => status)
                .increment(1);
            metrics::histogram!(LATENCY, "method" => method, "path" => path).record(elapsed);
        });
    }

    /// A benchmark was accepted.
    pub(crate) fn accepted(&self) {
        metrics::with_local_recorder(&self.recorder, || metrics::counter!(ACCEPTED).increment(1));
    }

    /// All of it, as Prometheus reads it.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Keeps memory bounded where nobody scrapes; to be called every few seconds.
    pub(crate) fn tidy(&self) {
        self.handle.run_upkeep();
    }
}

/// A method as a label: a client can send any word, and labels must stay few.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
