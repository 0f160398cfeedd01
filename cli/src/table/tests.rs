use serde_json::{Value, json};

use super::*;

fn distribution(p50: f64, n: u64) -> Value {
    json!({
        "n": n, "mean": p50 * 1.1, "sd": p50 * 0.2, "min": p50 * 0.5, "max": p50 * 3.0,
        "p1": p50 * 0.5, "p5": p50 * 0.6, "p10": p50 * 0.7, "p25": p50 * 0.8, "p50": p50,
        "p75": p50 * 1.2, "p90": p50 * 1.5, "p95": p50 * 1.8, "p99": p50 * 2.5, "p99_9": p50 * 2.9,
        "ci95": {"p50": null, "p90": null, "p99": null}
    })
}

fn report() -> Value {
    let rates = json!({
        "requests_per_s": 19.87, "input_tokens_per_s": 397.4, "output_tokens_per_s": 1_271.7,
        "total_tokens_per_s": 1_669.1
    });
    let mut throughput = rates.clone();
    throughput["steady"] = rates;
    json!({
        "window": {
            "started_at": "2026-01-31T12:00:00Z", "warmup_s": 1.0, "measured_s": 9.51,
            "steady_from_s": 1.0, "steady_s": 7.02
        },
        "requests": {
            "scheduled": 1_240, "started": 1_240, "completed": 1_228, "failed": 12,
            "cancelled": 0, "dropped": 0, "error_rate": 0.0097
        },
        "failures": [{
            "class": "http_429", "count": 12,
            "sample": format!("refused with HTTP 429: {}", "{\"error\": \"too many\"}\n".repeat(40))
        }],
        "finish_reasons": {
            "stop": 0, "length": 1_228, "tool_calls": 0, "content_filter": 0, "other": 0, "missing": 0
        },
        "latency": {
            "ttft_ms": distribution(151.3, 1_228), "ttfa_ms": distribution(151.3, 1_228),
            "ttfe_ms": distribution(0.9, 1_228), "e2e_ms": distribution(1_412.0, 1_228),
            "tpot_ms": distribution(20.02, 1_228), "itl_ms": distribution(19.9, 77_364),
            "itl_raw_share": 0.0, "icl_ms": distribution(19.9, 77_364),
            "stall_ms": distribution(30.0, 1_228), "connect_ms": distribution(0.08, 32),
            "from_intent": {
                "ttft_ms": {"n": 1_240, "failed": 12, "p50": 152.0, "p90": 230.0, "p95": 260.0, "p99": null},
                "e2e_ms": null
            }
        },
        "token_speed_per_s": distribution(49.9, 1_228),
        "output_token_rate_per_s": distribution(45.3, 1_228),
        "throughput": throughput,
        "tokens": {
            "input": 24_560, "output": 78_592, "reasoning": null, "source": "usage",
            "estimated": false, "output_by_tokenizer": null, "mismatched_share": null,
            "asked_output": 78_592, "reached_ratio": 1.0
        },
        "concurrency": {"mean": 30.2, "peak": 32},
        "validity": {
            "verdict": "degraded",
            "reasons": ["loop lag p99 is 12.1 ms, more than 5 ms: this machine was busy with something else"],
            "stamp_source": "kernel", "stamp_lag_ms": null, "schedule_lag_ms": null,
            "loop_lag_ms": null, "coalesced_share": 0.0, "cpu_share": 0.21,
            "process_cpu_share": 0.3, "connections_opened": 32, "reused_share": 0.97
        },
        "environment": {
            "runner": "", "version": "0.1.0", "host": "here", "cpus": 2, "kernel": "Linux",
            "load_threads": 1, "spec_hash": "0123456789abcdef", "seed": 7,
            "target": {
                "server": "simulator/0.1.0", "system_fingerprint": null, "model": "demo-llm",
                "stream_usage": true, "ignore_eos": true, "min_tokens": true
            }
        }
    })
}

fn benchmark(status: &str, report: &Value) -> Benchmark {
    let spec = json!({
        "url": "http://127.0.0.1:8080", "model": null,
        "load": {
            "kind": "closed_loop", "users": 32, "spawn_rate": 32, "duration_s": 8,
            "wait_min_s": 0.0, "wait_max_s": 0.0, "grace_s": 5.0
        },
        "dataset": "embedded", "tokenizer": null,
        "output": {"max_tokens": 64, "min_tokens": 20, "ignore_eos": false},
        "sampling": {"temperature": 0.9, "top_p": 0.9},
        "timeouts": {"connect_s": 10.0, "first_token_s": 120.0, "idle_s": 60.0, "total_s": 600.0},
        "seed": 7
    });
    let configuration = json!({
        "user": 32, "spawnrate": 32, "model": "demo-llm", "tokenizer": "",
        "url": "http://127.0.0.1:8080", "duration": 8, "dataset": "embedded"
    });
    let zeros = json!({"average": 0.0, "maximum": 0.0, "minimum": 0.0, "median": 0.0});
    let metrics = json!({
        "time_to_first_token": zeros, "end_to_end_latency": zeros, "inter_token_latency": zeros,
        "token_speed": zeros,
        "throughput": {"input_tokens_per_second": 0.0, "output_tokens_per_second": 0.0}
    });
    serde_json::from_value(json!({
        "id": 3, "url": "http://127.0.0.1:8080", "user": 32, "spawnrate": 32, "duration": 8,
        "model": "demo-llm", "tokenizer": "", "dataset": "embedded", "notes": "", "favorite": false,
        "status": status, "reason": null,
        "results": {
            "status": status, "final": true, "partial": false, "metrics": metrics,
            "configuration": configuration
        },
        "progress": {
            "phase": "ended", "elapsed_s": 9.5, "requests": 1_240, "errors": 12, "in_flight": 0,
            "output_tokens": 78_592
        },
        "createdAt": "2026-01-31T12:00:00Z", "queuedAt": "2026-01-31T12:00:00Z",
        "startedAt": null, "finishedAt": null, "runner": null, "spec": spec, "report": report,
        "links": {"self": "", "cancel": "", "events": "", "timeseries": ""}
    }))
    .unwrap()
}

#[test]
fn a_result_reads_like_this_and_fits_80_columns() {
    let result = result(&benchmark("completed", &report()));
    insta::assert_snapshot!(result);
    assert!(result.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn goodput_is_told_with_its_limits_and_what_was_left_out_with_what_counts() {
    let mut judged = report();
    judged["goodput"] = json!({
        "slo": {
            "preset": "mlperf-llama2-70b-interactive", "ttft_ms": 450.0, "tpot_ms": 40.0,
            "itl_ms": null, "e2e_ms": 2_500.5
        },
        "requests_per_s": 18.25, "ratio": 0.918, "met": 1_138, "scheduled": 1_240,
        "p99_shown": false
    });
    judged["window"]["left_out_warmup_s"] = 2.0.into();
    judged["window"]["left_out_cooldown_s"] = 1.0.into();
    judged["window"]["counted_s"] = 5.0.into();
    let result = result(&benchmark("completed", &judged));
    for told in [
        " Goodput     18.2 requests/s: 91.8 % of 1,240 requests kept TTFT 450 ms, TPOT",
        "             40 ms, E2E 2500.5 ms (mlperf-llama2-70b-interactive)",
        " Left out    the first 2 s and the last 1 s of sending; 5.0 s count",
        "│ counted 5.0 s",
    ] {
        assert!(result.contains(told), "{told}\n{result}");
    }
    assert!(result.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn nothing_measured_is_said_and_no_figure_is_made_up() {
    let mut failed = benchmark("failed", &Value::Null);
    failed.reason = Some(shared::Reason::new(
        shared::ReasonCode::AuthRejected,
        "the target refused the key: HTTP 401",
    ));
    let result = result(&failed);
    assert!(result.contains("failed: the target refused the key: HTTP 401"), "{result}");
    assert!(result.ends_with("Nothing was measured."), "{result}");
}

#[test]
fn a_run_without_a_completed_request_has_no_latencies() {
    let mut empty = report();
    empty["latency"] = json!({
        "ttft_ms": null, "ttfa_ms": null, "ttfe_ms": null, "e2e_ms": null, "tpot_ms": null,
        "itl_ms": null, "itl_raw_share": null, "icl_ms": null, "stall_ms": null,
        "connect_ms": null, "from_intent": {"ttft_ms": null, "e2e_ms": null}
    });
    empty["token_speed_per_s"] = Value::Null;
    let result = result(&benchmark("cancelled", &empty));
    assert!(result.contains("No request completed: no latencies."), "{result}");
    assert!(result.contains("these figures cover only a part of the run"), "{result}");
}

#[test]
fn a_list_fits_80_columns_however_long_names_are() {
    let mut long = benchmark("timed_out", &report());
    long.model = "org/a-model-with-a-name-that-goes-on-and-on-instruct-v0.3".to_owned();
    long.url = "https://llm.example.internal:8443/some/prefix/v1".to_owned();
    let list = list(&[long, benchmark("queued", &Value::Null)]);
    assert!(list.lines().all(|line| line.chars().count() <= 80), "{list}");
    assert!(list.contains("timed_out"), "{list}");
}
