//! A benchmark as a client reads it.
//!
//! The flat fields and `results` are the original service's shape, never null, so that its clients
//! live; new clients read `results.final`, `reason` and `report`.

use serde::{Deserialize, Serialize};

use crate::{
    BenchmarkId, BenchmarkSpec, Labels, Priority, Progress, Reason, Report, State, Timestamp,
    report::Distribution,
};

/// A benchmark: what was asked, where it stands, what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object), oai(rename_all = "camelCase"))]
#[serde(rename_all = "camelCase")]
pub struct Benchmark {
    /// Its number.
    pub id: BenchmarkId,
    /// The target, as it was given.
    pub url: String,
    /// Virtual users; in an open loop, the most requests that can be open at once.
    pub user: u32,
    /// Users started a second; 0 in an open loop.
    pub spawnrate: u32,
    /// Seconds in which requests are sent.
    pub duration: u32,
    /// The model; empty until it is known.
    pub model: String,
    /// The tokenizer; empty: none.
    pub tokenizer: String,
    /// Where prompts come from.
    pub dataset: String,
    /// The client's notes; empty: none.
    pub notes: String,
    /// Whether the client marked it.
    pub favorite: bool,
    /// Where it stands.
    pub status: State,
    /// Why it did not complete.
    pub reason: Option<Reason>,
    /// The original service's figures.
    pub results: Results,
    /// What a run tells while it runs.
    pub progress: Progress,
    /// Which go first: those of the highest.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", oai(default))]
    pub priority: Priority,
    /// When it may begin.
    #[serde(default)]
    pub run_at: Option<Timestamp>,
    /// Until when it may wait for a runner; null: for ever.
    #[serde(default)]
    pub queue_deadline: Option<Timestamp>,
    /// Labels that its runner must have; empty: any runner will do.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", oai(default))]
    pub labels: Labels,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it was last put into the queue.
    pub queued_at: Timestamp,
    /// When a runner took it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The runner that has or had it.
    pub runner: Option<String>,
    /// Everything that decides what the run does.
    pub spec: BenchmarkSpec,
    /// The figures; null until the first, partial while `results.final` is false.
    pub report: Option<Report>,
    /// Where to go from here.
    pub links: Links,
}

/// Paths of what belongs to a benchmark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Links {
    /// The benchmark itself.
    #[serde(rename = "self")]
    #[cfg_attr(feature = "openapi", oai(rename = "self"))]
    pub this: String,
    /// POST here to cancel it.
    pub cancel: String,
    /// Its events, as they happen (SSE).
    pub events: String,
    /// Its per-second rows.
    pub timeseries: String,
    /// A row for each of its requests, once it is over.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", oai(default))]
    pub requests: String,
    /// The histograms behind its figures, once it is over.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", oai(default))]
    pub histograms: String,
}

impl Links {
    /// The links of benchmark `id`.
    pub fn of(id: BenchmarkId) -> Self {
        let this = format!("/api/v1/benchmarks/{id}");
        Self {
            cancel: format!("{this}/cancel"),
            events: format!("{this}/events"),
            timeseries: format!("{this}/timeseries"),
            requests: format!("{this}/requests"),
            histograms: format!("{this}/histograms"),
            this,
        }
    }
}

/// The original service's `results`, never null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Results {
    /// `Test completed`, or the state's word while that is not so.
    pub status: String,
    /// Whether these figures are the last: false while the benchmark is queued or running.
    #[serde(rename = "final")]
    #[cfg_attr(feature = "openapi", oai(rename = "final"))]
    pub is_final: bool,
    /// Whether they cover only a part of the run.
    pub partial: bool,
    /// The figures; zeros where nothing was measured.
    pub metrics: Metrics,
    /// What was asked.
    pub configuration: Configuration,
}

impl Results {
    /// What the original service would say of a benchmark in `state` with `report` so far.
    pub fn of(state: State, spec: &BenchmarkSpec, model: &str, report: Option<&Report>) -> Self {
        let status = match state {
            State::Completed => "Test completed".to_owned(),
            other => other.to_string(),
        };
        Self {
            status,
            is_final: state.is_terminal(),
            partial: state != State::Completed && report.is_some(),
            metrics: report.map(Metrics::of).unwrap_or_default(),
            configuration: Configuration::of(spec, model),
        }
    }
}

/// The original service's figures: latencies in ms, speeds in tokens/s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Metrics {
    /// TTFT, ms.
    pub time_to_first_token: Summary,
    /// E2E latency, ms.
    pub end_to_end_latency: Summary,
    /// TPOT, ms.
    pub inter_token_latency: Summary,
    /// Output tokens / E2E of each request, tokens/s.
    pub token_speed: Summary,
    /// Tokens a second over all users.
    pub throughput: TokenThroughput,
}

impl Metrics {
    fn of(report: &Report) -> Self {
        let summary = |d: &Option<Distribution>| d.as_ref().map(Summary::of).unwrap_or_default();
        Self {
            time_to_first_token: summary(&report.latency.ttft_ms),
            end_to_end_latency: summary(&report.latency.e2e_ms),
            inter_token_latency: summary(&report.latency.tpot_ms),
            token_speed: summary(&report.output_token_rate_per_s),
            throughput: TokenThroughput {
                input_tokens_per_second: report.throughput.input_tokens_per_s.unwrap_or(0.0),
                output_tokens_per_second: report.throughput.output_tokens_per_s,
            },
        }
    }
}

/// Four figures of a distribution; zeros where there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object), oai(rename = "MetricSummary"))]
pub struct Summary {
    /// Mean.
    pub average: f64,
    /// Largest.
    pub maximum: f64,
    /// Smallest.
    pub minimum: f64,
    /// Median.
    pub median: f64,
}

impl Summary {
    fn of(d: &Distribution) -> Self {
        Self { average: d.mean, maximum: d.max, minimum: d.min, median: d.p50 }
    }
}

/// Tokens a second over all users.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct TokenThroughput {
    /// Prompt tokens a second; 0 where nobody counted them.
    pub input_tokens_per_second: f64,
    /// Output tokens a second.
    pub output_tokens_per_second: f64,
}

/// What was asked, as the original service repeats it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Configuration {
    /// Virtual users; in an open loop, the most requests that can be open at once.
    pub user: u32,
    /// Users started a second; 0 in an open loop.
    pub spawnrate: u32,
    /// The model; empty until it is known.
    pub model: String,
    /// The tokenizer; empty: none.
    pub tokenizer: String,
    /// The target, as it was given.
    pub url: String,
    /// Seconds in which requests are sent.
    pub duration: u32,
    /// Where prompts come from.
    pub dataset: String,
}

impl Configuration {
    /// The spec's flat fields; `model` is the one found at the target where none was asked for.
    pub fn of(spec: &BenchmarkSpec, model: &str) -> Self {
        Self {
            user: spec.load.peak_users().get(),
            spawnrate: spec.load.spawn_rate(),
            model: model.to_owned(),
            tokenizer: spec.tokenizer.as_ref().map(ToString::to_string).unwrap_or_default(),
            url: spec.url.to_string(),
            duration: spec.load.duration().get(),
            dataset: spec.dataset.to_string(),
        }
    }
}
