//! The figures of a run. Every definition is in docs/metrics.md; names carry units.
//!
//! Absent is `None`, never 0: "nothing succeeded" must not read as "0 ms".

mod aliases;
mod early_stopping;
mod failure;
mod goodput;
mod histograms;
mod recorded;
mod shards;
mod stopped;
mod target_metrics;
mod targets;

use serde::{Deserialize, Serialize};

pub use self::{
    aliases::Aliases,
    early_stopping::{EarlyStopping, SampleSize},
    failure::{Failure, FailureClass, FinishReasons},
    goodput::Goodput,
    histograms::{HistogramUnit, HistogramV2, Histograms},
    recorded::Recorded,
    shards::ShardEnvironment,
    stopped::{Stopped, StoppedBy},
    target_metrics::{Gauge, TargetMetrics},
    targets::TargetFigures,
};
use crate::{HttpVersion, Timestamp};

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Report {
    /// When it was measured.
    pub window: Window,
    /// How many requests there were, and what became of them.
    pub requests: Requests,
    /// What failed, by class, most frequent first.
    pub failures: Vec<Failure>,
    /// Why answers ended.
    pub finish_reasons: FinishReasons,
    /// How long things took, over completed requests.
    pub latency: Latency,
    /// 1 / TPOT of each completed request, in tokens/s.
    pub token_speed_per_s: Option<Distribution>,
    /// Output tokens / E2E of each completed request, in tokens/s: the original's `token_speed`.
    pub output_token_rate_per_s: Option<Distribution>,
    /// How much was served a second.
    pub throughput: Throughput,
    /// Token sums, and who counted.
    pub tokens: Tokens,
    /// Requests open at once.
    pub concurrency: Concurrency,
    /// Whether the figures can be trusted.
    pub validity: Validity,
    /// Where and against what it was measured.
    pub environment: Environment,
    /// How much of it was good; none: nobody said what good is.
    #[serde(default)]
    pub goodput: Option<Goodput>,
    /// Other tools' figures of the same stream.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", oai(default))]
    pub aliases: Aliases,
    /// What ended it before its time; none: nothing did.
    #[serde(default)]
    pub stopped: Option<Stopped>,
    /// What the server under test said of itself; none: its `/metrics` were not read.
    #[serde(default)]
    pub target_metrics: Option<TargetMetrics>,
    /// What became of the requests' rows; none: they were not written, or are still being.
    #[serde(default)]
    pub recorded: Option<Recorded>,
    /// Each server's own figures, in the order of `url` and `urls`; empty where there is but one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", oai(default, skip_serializing_if_is_empty))]
    pub targets: Vec<TargetFigures>,
}

/// The stretch of time the figures are of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Window {
    /// The first user's start, by the runner's wall clock.
    pub started_at: Timestamp,
    /// Seconds until all users were there.
    pub warmup_s: f64,
    /// Seconds from the first user's start to the end of the last request: the denominator of
    /// every rate that is not `steady`, unless `counted_s` is another.
    pub measured_s: f64,
    /// Seconds from the first user's start to the steady window; none: the load was never there.
    pub steady_from_s: Option<f64>,
    /// The steady window's length: the longest stretch with at least 95 % of the users in flight.
    pub steady_s: Option<f64>,
    /// Seconds at the beginning that were asked to be left out (`warmup`).
    #[serde(default)]
    #[cfg_attr(feature = "openapi", oai(default))]
    pub left_out_warmup_s: f64,
    /// Seconds at the end of the sending time that were asked to be left out (`cooldown`).
    #[serde(default)]
    #[cfg_attr(feature = "openapi", oai(default))]
    pub left_out_cooldown_s: f64,
    /// The length of what was counted, in seconds; none: all of `measured_s`.
    #[serde(default)]
    pub counted_s: Option<f64>,
}

/// What became of requests. `started = completed + failed + cancelled`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Requests {
    /// Requests that were due.
    pub scheduled: u64,
    /// Requests that were handed to a connection, or failed to get one.
    pub started: u64,
    /// Requests answered in full.
    pub completed: u64,
    /// Requests in one of the failure classes.
    pub failed: u64,
    /// Requests still open when the run ended or was cancelled.
    pub cancelled: u64,
    /// Requests that were due and found no room.
    pub dropped: u64,
    /// `failed / (completed + failed)`; none: nothing ended.
    pub error_rate: Option<f64>,
}

/// How long things took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Latency {
    /// Send to first token event.
    pub ttft_ms: Option<Distribution>,
    /// Send to first token event that is not reasoning.
    pub ttfa_ms: Option<Distribution>,
    /// Send to first event of any kind; for comparison with other tools.
    pub ttfe_ms: Option<Distribution>,
    /// Send to last token event.
    pub e2e_ms: Option<Distribution>,
    /// (last token - first token) / (tokens - 1), one value a request.
    pub tpot_ms: Option<Distribution>,
    /// Gaps between tokens: a gap over an event of k tokens counts k times as gap / k.
    pub itl_ms: Option<Distribution>,
    /// Share of ITL's requests in which k was unknown, so that its raw gaps were taken.
    pub itl_raw_share: Option<f64>,
    /// Raw gaps between token events.
    pub icl_ms: Option<Distribution>,
    /// The longest gap of each request.
    pub stall_ms: Option<Distribution>,
    /// TCP connect of the connections that were opened; without DNS and TLS.
    pub connect_ms: Option<Distribution>,
    /// TLS handshake of the connections that were opened, after TCP connect; none without TLS.
    #[serde(default)]
    pub tls_ms: Option<Distribution>,
    /// First to last byte of the request, as the socket took them.
    #[serde(default)]
    pub send_ms: Option<Distribution>,
    /// Last byte of the request to the head of the response.
    #[serde(default)]
    pub wait_ms: Option<Distribution>,
    /// The same from when a request was due: no coordinated omission.
    pub from_intent: FromIntent,
}

/// Latencies from the instant a request was due, over completed and failed requests; a failed one
/// counts as infinitely late, so a percentile that falls among them is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct FromIntent {
    /// Due to first token event.
    pub ttft_ms: Option<IntentDistribution>,
    /// Due to last token event.
    pub e2e_ms: Option<IntentDistribution>,
}

/// Percentiles in which failures count as infinitely late (null).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct IntentDistribution {
    /// Samples, failures included.
    pub n: u64,
    /// Of them, failures.
    pub failed: u64,
    /// 50th percentile.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

/// A distribution, from an HDR histogram with 3 significant digits; in the unit of its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Distribution {
    /// Samples; at least 1.
    pub n: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of the population.
    pub sd: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// 1st percentile.
    pub p1: f64,
    /// 5th percentile.
    pub p5: f64,
    /// 10th percentile.
    pub p10: f64,
    /// 25th percentile.
    pub p25: f64,
    /// Median.
    pub p50: f64,
    /// 75th percentile.
    pub p75: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile; with n < 100 it is the maximum, and `validity` says so.
    pub p99: f64,
    /// 99.9th percentile.
    pub p99_9: f64,
    /// 95 % confidence intervals of three percentiles.
    pub ci95: ConfidenceIntervals,
}

/// 95 % confidence intervals from order statistics, `[low, high]`; none: too few samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct ConfidenceIntervals {
    /// Of the median.
    pub p50: Option<[f64; 2]>,
    /// Of the 90th percentile.
    pub p90: Option<[f64; 2]>,
    /// Of the 99th percentile.
    pub p99: Option<[f64; 2]>,
}

/// Rates over the whole measured time, and over the steady window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Throughput {
    /// Completed requests a second.
    pub requests_per_s: f64,
    /// Prompt tokens of completed requests a second; none: nobody counted them.
    pub input_tokens_per_s: Option<f64>,
    /// Output tokens a second, by the instant each arrived.
    pub output_tokens_per_s: f64,
    /// Both.
    pub total_tokens_per_s: Option<f64>,
    /// The same within the steady window; none: there was none.
    pub steady: Option<Rates>,
}

/// Rates within the steady window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Rates {
    /// Completed requests a second.
    pub requests_per_s: f64,
    /// Prompt tokens of completed requests a second.
    pub input_tokens_per_s: Option<f64>,
    /// Output tokens a second.
    pub output_tokens_per_s: f64,
    /// Both.
    pub total_tokens_per_s: Option<f64>,
}

/// Who counted tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// The server's usage object.
    Usage,
    /// The tokenizer, over the whole answer.
    Tokenizer,
    /// One for each token event: every token figure is an estimate.
    Events,
    /// Not the same for all requests.
    Mixed,
}

/// Token sums over completed requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Tokens {
    /// Prompt tokens; none: nobody counted them.
    pub input: Option<u64>,
    /// Output tokens.
    pub output: u64,
    /// Of them, reasoning tokens as usage tells.
    pub reasoning: Option<u64>,
    /// Who counted output; none: no request completed.
    pub source: Option<TokenSource>,
    /// Whether output is an estimate (some or all of it counted by events).
    pub estimated: bool,
    /// The tokenizer's own sum of output tokens, where there is a tokenizer.
    pub output_by_tokenizer: Option<u64>,
    /// Share of requests in which usage and tokenizer differ by more than 1.
    pub mismatched_share: Option<f64>,
    /// Output tokens asked for: `max_tokens` of each completed request.
    pub asked_output: u64,
    /// `output / asked_output`.
    pub reached_ratio: Option<f64>,
}

/// Requests open at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Concurrency {
    /// Mean over the measured time.
    pub mean: f64,
    /// Peak.
    pub peak: u64,
}

/// Whether the figures can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Valid,
    /// With the reasons in mind.
    Degraded,
    /// No.
    Invalid,
}

/// Who took the receive stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Enum), oai(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum StampSource {
    /// The kernel, when the segment arrived.
    Kernel,
    /// This process, when it got around to reading.
    User,
}

/// The instrument's word on its own measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Validity {
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is not `valid`, and what else to know; each names the figure and the limit.
    pub reasons: Vec<String>,
    /// Who took the receive stamps; `user` if any stream had no kernel stamps.
    pub stamp_source: StampSource,
    /// From the kernel's stamp to ours: this client's own lag. Where stamps are ours: the longest
    /// that what was read can have waited; none where that is not known either.
    pub stamp_lag_ms: Option<Distribution>,
    /// From due to sent.
    pub schedule_lag_ms: Option<Distribution>,
    /// By how much a load thread's timer was late: its own stalls.
    pub loop_lag_ms: Option<Distribution>,
    /// How long after the instant of the beginning the last load thread began, in milliseconds: of
    /// all runners, where several make the load. None: none has begun.
    #[serde(default)]
    pub begun_late_ms: Option<f64>,
    /// Share of reads that held more than one token event: there a stamp is an upper bound.
    pub coalesced_share: Option<f64>,
    /// Busiest load thread's CPU time / measured time; none: the platform does not tell.
    pub cpu_share: Option<f64>,
    /// CPU time of the whole process / (measured time x cores).
    pub process_cpu_share: Option<f64>,
    /// Connections opened.
    pub connections_opened: u64,
    /// Share of requests sent on a connection that had served before.
    pub reused_share: Option<f64>,
    /// Whether there were enough requests for high percentiles.
    #[serde(default)]
    pub early_stopping: Option<EarlyStopping>,
}

/// Where and against what it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct Environment {
    /// The runner's name; empty outside a service.
    pub runner: String,
    /// Version of the program.
    pub version: String,
    /// Host name.
    pub host: String,
    /// Cores of the machine.
    pub cpus: u32,
    /// Operating system and kernel release.
    pub kernel: String,
    /// Load threads.
    pub load_threads: u32,
    /// What drives the load of a thread: `readiness` or `hyper`; empty in reports before there were two.
    #[serde(default)]
    pub driver: String,
    /// The version of HTTP that was spoken; `validity.stamp_source` tells who took its receive stamps.
    #[serde(default)]
    pub http_version: HttpVersion,
    /// The server under test.
    pub target: TargetEnvironment,
    /// SHA-256 of the spec's JSON, first 16 hex digits: equal specs, equal hashes.
    pub spec_hash: String,
    /// The seed.
    pub seed: u64,
    /// Which try this was, of a benchmark whose earlier ones were lost; none: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", oai(skip_serializing_if_is_none))]
    pub attempt: Option<u32>,
    /// The runners that made the load together, by shard; empty where it was one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", oai(default, skip_serializing_if = "Vec::is_empty"))]
    pub shards: Vec<ShardEnvironment>,
}

/// The server under test, as far as it tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct TargetEnvironment {
    /// Its `Server` header.
    pub server: Option<String>,
    /// Its `system_fingerprint`.
    pub system_fingerprint: Option<String>,
    /// The model that was asked.
    pub model: String,
    /// Whether it takes `stream_options.include_usage`.
    pub stream_usage: bool,
    /// Whether it takes `ignore_eos`.
    pub ignore_eos: bool,
    /// Whether it takes `min_tokens`.
    pub min_tokens: bool,
    /// Tokens of prompt and answer together that it takes, as it lists them; none: it does not say.
    #[serde(default)]
    pub context_tokens: Option<u64>,
    /// How long its name took to look up, once before the load; none: there was nothing to look up.
    #[serde(default)]
    pub dns_ms: Option<f64>,
}

/// One second of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(poem_openapi::Object))]
pub struct SecondRow {
    /// The second, from 0: what happened in `[t_s, t_s + 1)` since the first user started.
    pub t_s: u32,
    /// Requests sent.
    pub started: u64,
    /// Requests completed.
    pub completed: u64,
    /// Requests failed.
    pub failed: u64,
    /// Most requests open at once.
    pub in_flight: u64,
    /// Output tokens received.
    pub output_tokens: u64,
    /// Median TTFT of the requests whose first token came in this second.
    pub ttft_ms_p50: Option<f64>,
    /// 99th percentile of the same.
    pub ttft_ms_p99: Option<f64>,
    /// Median ITL of the tokens that came in this second.
    pub itl_ms_p50: Option<f64>,
    /// 99th percentile of the same.
    pub itl_ms_p99: Option<f64>,
    /// Requests that waited in the server's queue, by its own `/metrics`, read in this second.
    #[serde(default)]
    pub target_queue: Option<f64>,
    /// Requests that the server worked on, read the same way.
    #[serde(default)]
    pub target_running: Option<f64>,
    /// Share of the server's KV cache that was used, 0 to 1, read the same way.
    #[serde(default)]
    pub target_kv_cache: Option<f64>,
}
