//! Every field of a request for a benchmark: what it takes, what it is when left out.

use super::{MAX_API_KEY_CHARS, MAX_NOTES_CHARS};
use crate::{
    BenchmarkSpec, DurationS, ExtraBody, ExtraHeaders, GraceS, Labels, MarginS, MaxConcurrency,
    MaxErrorRate, MaxRequests, MaxTokens, MinTokens, ModelName, PrefixCount, PrefixTokens,
    Priority, QueueTimeoutS, RequestRate, RequestsPerUser, Runners, Seed, SloMs, SpawnRate,
    TargetUrl, Temperature, ThinkTimeS, TimeoutS, TopP, TracePath, TraceSpeed, Turns, Users,
    Variation,
};

/// A field of a request for a benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is when left out, in words.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
}

/// What a field takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number.
    Integer {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A whole number that may be negative.
    Signed {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// An instant: RFC 3339, or seconds since 1970.
    Time,
    /// A number.
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// A text.
    Text {
        /// Most characters.
        max_chars: usize,
    },
    /// A JSON list of texts, or one text with commas between them.
    Texts {
        /// Most texts.
        max_items: usize,
        /// Most characters of each.
        max_chars: usize,
    },
    /// `true` or `false`.
    Flag,
    /// A JSON object of texts, or `name=value` with commas between them.
    Labels {
        /// Most characters of the text.
        max_chars: usize,
    },
    /// A JSON object, or the text of one.
    Object {
        /// Most bytes of its JSON.
        max_bytes: usize,
    },
}

const fn field(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Field {
    Field { name, kind, default, doc }
}

const fn timeout(name: &'static str, default: &'static str, doc: &'static str) -> Field {
    field(name, Kind::Number { min: TimeoutS::MIN, max: TimeoutS::MAX }, default, doc)
}

const fn limit(name: &'static str, default: &'static str, doc: &'static str) -> Field {
    field(name, Kind::Number { min: SloMs::MIN, max: SloMs::MAX }, default, doc)
}

const fn margin(name: &'static str, doc: &'static str) -> Field {
    let kind = Kind::Integer { min: MarginS::MIN as u64, max: MarginS::MAX as u64 };
    field(name, kind, "0", doc)
}

/// Every field of a request for a benchmark.
pub const FIELDS: &[Field] = &[
    field(
        "url",
        Kind::Text { max_chars: TargetUrl::MAX_CHARS },
        "LOCUST_HOST",
        "Base URL of the target, with or without /v1. Required where LOCUST_HOST is not set.",
    ),
    field(
        "urls",
        Kind::Texts { max_items: BenchmarkSpec::MAX_URLS, max_chars: TargetUrl::MAX_CHARS },
        "none",
        "Base URLs of up to 64 further servers of the same model, as a list or with commas between them: requests go to each in turn, url first. A key goes to all of them.",
    ),
    field(
        "user",
        Kind::Integer { min: Users::MIN as u64, max: Users::MAX as u64 },
        "LOCUST_USERS, else 100",
        "Virtual users: requests open at once. At most 10000 for each of `runners`.",
    ),
    field(
        "spawnrate",
        Kind::Integer { min: SpawnRate::MIN as u64, max: SpawnRate::MAX as u64 },
        "LOCUST_SPAWN_RATE, else 100",
        "Users started a second.",
    ),
    field(
        "duration",
        Kind::Integer { min: DurationS::MIN as u64, max: DurationS::MAX as u64 },
        "LOCUST_DURATION, else 60; with trace 3600",
        "Seconds in which requests are sent, counted from the first user's start.",
    ),
    field(
        "endpoint",
        Kind::Text { max_chars: 16 },
        "chat",
        "Which endpoint is asked: `chat` (/v1/chat/completions), `completions`, `responses` or `embeddings`.",
    ),
    field(
        "stream",
        Kind::Flag,
        "true; false for embeddings",
        "Whether answers are streamed. One that is not has no token times: E2E is to its last byte.",
    ),
    field(
        "extra_body",
        Kind::Object { max_bytes: ExtraBody::MAX_BYTES },
        "none",
        "Members merged into every request's body, last: over what else stands there; null leaves a member out.",
    ),
    field(
        "extra_headers",
        Kind::Object { max_bytes: ExtraHeaders::MAX_BYTES },
        "none",
        "Headers of every request to the target, names and texts. Shown with the benchmark: no place for secrets.",
    ),
    field(
        "http_version",
        Kind::Text { max_chars: 3 },
        "1.1",
        "The HTTP that the target is spoken to in: `1.1`, or `2` (by ALPN on https, by prior knowledge on http), where many requests share a connection.",
    ),
    field(
        "model",
        Kind::Text { max_chars: ModelName::MAX_CHARS },
        "LOCUST_MODEL, else the first that the target lists",
        "Model to ask for.",
    ),
    field(
        "tokenizer",
        Kind::Text { max_chars: 256 },
        "LOCUST_TOKENIZER, else none",
        "Hugging Face id, or a tokenizer.json below DATA_DIR: counts tokens where the target does not.",
    ),
    field(
        "dataset",
        Kind::Text { max_chars: 256 },
        "LOCUST_DATASET, else embedded",
        "`embedded`, `synthetic`, a file of prompts or conversations below DATA_DIR (.jsonl, .json, .csv, .parquet), or the id of a Hugging Face dataset.",
    ),
    field(
        "prompt_tokens",
        Kind::Text { max_chars: 64 },
        "none; it or mix is required for synthetic",
        "Tokens of a synthetic prompt by the tokenizer, without the chat template: a number, uniform(low,high), normal(mean,deviation) or lognormal(mean,deviation), the last two also with bounds as in normal(512,128,64..2048).",
    ),
    field(
        "output_tokens",
        Kind::Text { max_chars: 64 },
        "max_tokens",
        "Most tokens of a synthetic prompt's answer, written as prompt_tokens is; or `dataset`: of each answer what the data set's row says, in output_tokens or by its recorded answer. With ignore_eos exactly so many.",
    ),
    field(
        "mix",
        Kind::Text { max_chars: 1_024 },
        "none",
        "In place of prompt_tokens and output_tokens, up to 20 parts of the requests, each with its share and both lengths: `70% 300/200, 30% 6000/400`.",
    ),
    field(
        "prefix_tokens",
        Kind::Integer { min: PrefixTokens::MIN as u64, max: PrefixTokens::MAX as u64 },
        "none: no two synthetic prompts begin alike",
        "Tokens that synthetic prompts begin with in common; part of prompt_tokens.",
    ),
    field(
        "prefix_count",
        Kind::Integer { min: PrefixCount::MIN as u64, max: PrefixCount::MAX as u64 },
        "1",
        "Different beginnings of prefix_tokens; each prompt has one of them, drawn evenly.",
    ),
    field(
        "turns",
        Kind::Integer { min: Turns::MIN as u64, max: Turns::MAX as u64 },
        "1",
        "Most turns of a conversation: a user sends its next message behind all that was said, with the answers that really came, after its wait. Of a data set as many as a row has, of synthetic prompts exactly so many. For closed loops.",
    ),
    field("notes", Kind::Text { max_chars: MAX_NOTES_CHARS }, "none", "Anything to remember."),
    field("favorite", Kind::Flag, "false", "A mark to find it by."),
    field(
        "priority",
        Kind::Signed { min: Priority::MIN as i64, max: Priority::MAX as i64 },
        "0",
        "Which benchmarks go first: those of the highest.",
    ),
    field(
        "run_at",
        Kind::Time,
        "now",
        "Not to begin before: an RFC 3339 time or unix seconds, at most 30 days ahead.",
    ),
    field(
        "queue_timeout",
        Kind::Integer { min: QueueTimeoutS::MIN as u64, max: QueueTimeoutS::MAX as u64 },
        "none",
        "Seconds that it may wait for a runner, counted from run_at; then it is `timed_out`.",
    ),
    field(
        "labels",
        Kind::Labels { max_chars: Labels::MAX_CHARS },
        "none: any runner",
        "Up to 8 labels that a runner must have to take it, as an object or as `zone=eu-1,network=lab`; runners get theirs by RUNNER_LABELS.",
    ),
    field(
        "api_key",
        Kind::Text { max_chars: MAX_API_KEY_CHARS },
        "API_AUTH_TOKEN, else none",
        "Key for the target, sent as a Bearer token. Sealed at rest, shown nowhere, gone when the run has ended.",
    ),
    field(
        "max_tokens",
        Kind::Integer { min: MaxTokens::MIN as u64, max: MaxTokens::MAX as u64 },
        "128",
        "Most tokens of an answer.",
    ),
    field(
        "min_tokens",
        Kind::Integer { min: MinTokens::MIN as u64, max: MinTokens::MAX as u64 },
        "20, or max_tokens if that is less",
        "Fewest tokens of an answer, where the target can be told so.",
    ),
    field(
        "ignore_eos",
        Kind::Flag,
        "false",
        "Ask for exactly max_tokens, where the target can be told so.",
    ),
    field(
        "temperature",
        Kind::Number { min: Temperature::MIN, max: Temperature::MAX },
        "0.9",
        "Sampling temperature.",
    ),
    field(
        "top_p",
        Kind::Number { min: TopP::MIN, max: TopP::MAX },
        "0.9",
        "Nucleus sampling mass.",
    ),
    field(
        "wait_min",
        Kind::Number { min: ThinkTimeS::MIN, max: ThinkTimeS::MAX },
        "0",
        "Shortest wait of a user between two requests, in seconds.",
    ),
    field(
        "wait_max",
        Kind::Number { min: ThinkTimeS::MIN, max: ThinkTimeS::MAX },
        "wait_min",
        "Longest wait of a user between two requests, in seconds.",
    ),
    field(
        "grace",
        Kind::Number { min: GraceS::MIN, max: GraceS::MAX },
        "30",
        "Seconds that open requests get when the duration is over.",
    ),
    timeout("timeout_connect", "10", "Seconds until the connection must stand."),
    timeout("timeout_first_token", "120", "Seconds from sending to the first token."),
    timeout("timeout_idle", "60", "Seconds without a byte once tokens flow."),
    timeout("timeout_total", "600", "Seconds for a whole request."),
    field(
        "seed",
        Kind::Integer { min: Seed::MIN, max: Seed::MAX },
        "drawn for each benchmark",
        "What prompts and waits derive from: the same seed, the same requests.",
    ),
    field(
        "slo",
        Kind::Text { max_chars: 64 },
        "none",
        "Limits that a good answer keeps, by the name of a pair of MLPerf Inference: mlperf-llama2-70b, mlperf-llama2-70b-interactive, mlperf-mixtral-8x7b, mlperf-llama3.1-405b, mlperf-llama3.1-405b-interactive, mlperf-llama3.1-8b, mlperf-llama3.1-8b-interactive, mlperf-deepseek-r1, mlperf-deepseek-r1-interactive.",
    ),
    limit(
        "slo_ttft_ms",
        "that of slo, else none",
        "Most milliseconds from sending to the first token of a good answer.",
    ),
    limit(
        "slo_tpot_ms",
        "that of slo, else none",
        "Most milliseconds for each token after the first of a good answer, on the mean.",
    ),
    limit(
        "slo_itl_ms",
        "none",
        "Most milliseconds of the longest gap between two token events of a good answer.",
    ),
    limit(
        "slo_e2e_ms",
        "none",
        "Most milliseconds from sending to the last token of a good answer.",
    ),
    margin(
        "warmup",
        "Seconds at the beginning whose requests are left out of latencies, rates and goodput.",
    ),
    margin(
        "cooldown",
        "Seconds at the end of duration whose requests are left out of latencies, rates and goodput.",
    ),
    field(
        "fresh_connections",
        Kind::Flag,
        "false",
        "Each request opens a connection of its own (DNS aside) and says `connection: close`.",
    ),
    field(
        "scrape",
        Kind::Flag,
        "true",
        "Read the target's own /metrics once a second beside the load, where it has those of vLLM, SGLang, llama.cpp or TGI.",
    ),
    field(
        "arrival",
        Kind::Text { max_chars: 32 },
        "closed_loop; constant where rate is given; staged where stages are; trace where one is",
        "The load shape: `closed_loop` (users who wait for their answers), or an open loop: `constant`, `poisson`, `gamma`, `all_at_once`, `trace`; `staged` is either.",
    ),
    field(
        "rate",
        Kind::Number { min: RequestRate::MIN, max: RequestRate::MAX },
        "none; required for constant, poisson and gamma",
        "Requests a second of an open loop. At most 10000 for each of `runners`.",
    ),
    field(
        "cv",
        Kind::Number { min: Variation::MIN, max: Variation::MAX },
        "none; required for gamma",
        "Coefficient of variation of the gaps between requests (1: as with poisson; above: bursts).",
    ),
    field(
        "max_concurrency",
        Kind::Integer { min: MaxConcurrency::MIN as u64, max: MaxConcurrency::MAX as u64 },
        "as many as become due, up to 10000 for each 10000 of `rate`",
        "Requests of an open loop that may be open at once. One that is due beyond is dropped and counted. At most 10000 for each of `runners`.",
    ),
    field(
        "max_requests",
        Kind::Integer { min: MaxRequests::MIN as u64, max: MaxRequests::MAX as u64 },
        "none; required for all_at_once",
        "Requests after which no more are sent.",
    ),
    field(
        "requests_per_user",
        Kind::Integer { min: RequestsPerUser::MIN as u64, max: RequestsPerUser::MAX as u64 },
        "none",
        "Requests of each user of a closed loop, after which it sends no more; the run ends with its last user.",
    ),
    field(
        "stages",
        Kind::Text { max_chars: 2_048 },
        "none; required for staged",
        "Up to 100 stages with commas between them, each `target:seconds` (held) or `target:seconds:linear` (evenly from the target before, the first from 0), e.g. `10:30,50:60:linear`.",
    ),
    field(
        "stages_of",
        Kind::Text { max_chars: 8 },
        "none; required for staged",
        "What the targets of stages are: `users` (each waits for its answer) or `rate` (requests a second).",
    ),
    field(
        "trace",
        Kind::Text { max_chars: TracePath::MAX_CHARS },
        "none; required for trace",
        "A recorded load to replay, a file below DATA_DIR: requests are due when its rows came, with the lengths that its rows have.",
    ),
    field(
        "trace_format",
        Kind::Text { max_chars: 16 },
        "told by the trace's first line",
        "`mooncake` (JSONL), `azure` (CSV of 2023 or 2024), `burstgpt` (CSV) or `jsonl` (rows of `at_s` with `prompt` or `input_tokens`, and `output_tokens`).",
    ),
    field(
        "trace_speed",
        Kind::Number { min: TraceSpeed::MIN, max: TraceSpeed::MAX },
        "1",
        "By how much faster than it was recorded a trace is replayed: at 2, a row of second 10 is due after 5.",
    ),
    field(
        "record_tokens",
        Kind::Flag,
        "false",
        "Keep with each request when each of its token events came; the rest of it is kept always.",
    ),
    field(
        "max_error_rate",
        Kind::Number { min: MaxErrorRate::MIN, max: MaxErrorRate::MAX },
        "none",
        "Share of failed requests, of the last 100 that ended (at least 20), above which the run is stopped and is `failed`; at its end the same for all requests.",
    ),
    field(
        "stop_on_overload",
        Kind::Flag,
        "false",
        "Stop sending when the target no longer keeps up: it drops or refuses more than a tenth, its queue grows, or most answers miss the objectives. The run is `completed` and `report.stopped` says why.",
    ),
    field(
        "on_lost",
        Kind::Text { max_chars: 16 },
        "fail",
        "What becomes of a run whose runner goes silent while it sends load: `fail`, it is `lost` and its load is never repeated, or `rerun`, it is queued again from the start, up to 3 tries in all.",
    ),
    field(
        "dedupe",
        Kind::Flag,
        "false",
        "Start nothing where one of yours waits or runs that was asked for with `dedupe`, the same settings and the same `labels`: that one is the answer. A `seed` that is not given is any.",
    ),
    field(
        "runners",
        Kind::Integer { min: Runners::MIN as u64, max: Runners::MAX as u64 },
        "1, or as many as `user` and `max_concurrency` take",
        "How many runners make the load together: users and requests are dealt to them by index, they begin at one instant, and the report is that of all samples put together. It waits until so many are there; where one stops or goes silent, the run is `failed: shard_lost`.",
    ),
];
