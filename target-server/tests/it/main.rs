//! The crate from outside, against servers that do exactly what a test says.

mod control;
mod http2;
mod probe;
mod scrape;
mod send;
mod tls;

use secrecy::SecretString;
use serde_json::{Value, json};
use shared::BenchmarkSpec;
use target::{Control, Egress};

/// A policy under which a test can reach its own servers.
fn local() -> Egress {
    Egress::new(Egress::LOCAL, Vec::new()).unwrap()
}

/// A small valid spec for `url`, with some fields changed.
fn spec_of(url: &str, changes: &Value) -> BenchmarkSpec {
    let mut spec = json!({
        "url": url,
        "model": null,
        "load": {
            "kind": "closed_loop", "users": 1, "spawn_rate": 1, "duration_s": 1,
            "wait_min_s": 0.0, "wait_max_s": 0.0, "grace_s": 1.0,
        },
        "dataset": "embedded",
        "tokenizer": null,
        "output": {"max_tokens": 128, "min_tokens": 0, "ignore_eos": false},
        "sampling": {"temperature": 0.7, "top_p": 1.0},
        "timeouts": {"connect_s": 5.0, "first_token_s": 20.0, "idle_s": 20.0, "total_s": 20.0},
        "seed": 0,
    });
    for (field, value) in changes.as_object().unwrap() {
        spec[field] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn control_of(spec: &BenchmarkSpec, key: Option<&SecretString>) -> Control {
    Control::new(&local(), &spec.url, key).unwrap()
}
