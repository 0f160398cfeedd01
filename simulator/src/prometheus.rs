//! What the server counted, as vLLM tells it: Prometheus' text format and vLLM's names.

use bytes::Bytes;

use crate::Stats;

pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page of `GET /metrics`. Every request is worked on at once, so none waits, and there is no
/// cache to tell of.
pub(crate) fn of(stats: &Stats, model: &str) -> Bytes {
    let figures = [
        ("num_requests_running", "gauge", stats.open),
        ("num_requests_waiting", "gauge", 0),
        ("prompt_tokens_total", "counter", stats.completed_prompt_tokens),
        ("generation_tokens_total", "counter", stats.tokens),
    ];
    let model = model.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let lines = figures.map(|(name, kind, value)| {
        format!("# TYPE vllm:{name} {kind}\nvllm:{name}{{model_name=\"{model}\"}} {value}\n")
    });
    lines.concat().into()
}
