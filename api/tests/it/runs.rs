//! What a runner does to the database, for tests that need a benchmark to get somewhere.

use serde_json::{Value, json};
use shared::{
    BenchmarkId, Phase, Progress, Reason, ReasonCode, Report, RunnerId, SecondRow, State,
    report::Histograms,
};
use store::{Ending, Held, Registration, Store, StoredRequests};

/// A runner that takes every benchmark and sends no load.
pub(crate) struct Hand {
    store: Store,
    id: RunnerId,
}

impl Hand {
    pub(crate) async fn of(store: &Store) -> Self {
        let id = RunnerId(ulid::Ulid::generate().to_string());
        let registration = Registration {
            id: id.clone(),
            name: "test-runner".into(),
            version: "0.0.0".into(),
            max_users: 10_000,
            measured: None,
            labels: shared::Labels::default(),
        };
        store.register(&registration).await.unwrap();
        Self { store: store.clone(), id }
    }

    /// Who it is.
    pub(crate) fn id(&self) -> &RunnerId {
        &self.id
    }

    /// Takes the benchmark `id`, which must be the next.
    pub(crate) async fn take(&self, id: i64) -> Held {
        let claim = self.store.claim(&self.id, 10_000).await.unwrap().unwrap();
        assert_eq!(claim.held.id, BenchmarkId(id));
        self.store.load_starts(&claim.held, "tiny").await.unwrap();
        claim.held
    }

    pub(crate) async fn tell(&self, held: &Held, elapsed_s: f64) {
        let progress =
            Progress { phase: Phase::Measuring, elapsed_s, requests: 3, ..Progress::default() };
        self.store.progress(held, &progress, None).await.unwrap();
    }

    pub(crate) async fn complete(&self, held: &Held) {
        self.complete_with(held, None, Histograms::new()).await;
    }

    pub(crate) async fn complete_with(
        &self,
        held: &Held,
        requests: Option<StoredRequests>,
        histograms: Histograms,
    ) {
        let ending = Ending {
            to: State::Completed,
            reason: None,
            report: Some(report()),
            series: vec![SecondRow { t_s: 0, completed: 3, ..SecondRow::default() }],
            histograms,
            requests,
        };
        Box::pin(self.store.finish(held, ending)).await.unwrap();
    }

    pub(crate) async fn fail(&self, held: &Held) {
        let ending = Ending {
            to: State::Failed,
            reason: Some(Reason::new(ReasonCode::ModelMissing, "the target does not serve `tiny`")),
            report: None,
            series: Vec::new(),
            histograms: Histograms::new(),
            requests: None,
        };
        Box::pin(self.store.finish(held, ending)).await.unwrap();
    }

    /// Takes and completes the benchmark `id`.
    pub(crate) async fn run(&self, id: i64) {
        let held = self.take(id).await;
        self.complete(&held).await;
    }
}

/// A report of three requests.
pub(crate) fn report() -> Report {
    let d = |value: f64| -> Value {
        json!({
            "n": 3, "mean": value, "sd": 0.0, "min": value, "max": value, "p1": value, "p5": value,
            "p10": value, "p25": value, "p50": value, "p75": value, "p90": value, "p95": value,
            "p99": value, "p99_9": value, "ci95": {"p50": null, "p90": null, "p99": null},
        })
    };
    serde_json::from_value(json!({
        "window": {
            "started_at": "2026-01-31T12:00:00Z", "warmup_s": 1.0, "measured_s": 5.0,
            "steady_from_s": null, "steady_s": null,
        },
        "requests": {
            "scheduled": 3, "started": 3, "completed": 3, "failed": 0, "cancelled": 0,
            "dropped": 0, "error_rate": 0.0,
        },
        "failures": [],
        "finish_reasons": {
            "stop": 3, "length": 0, "tool_calls": 0, "content_filter": 0, "other": 0, "missing": 0,
        },
        "latency": {
            "ttft_ms": d(40.0), "ttfa_ms": d(40.0), "ttfe_ms": d(39.0), "e2e_ms": d(900.0),
            "tpot_ms": d(10.0), "itl_ms": d(10.0), "itl_raw_share": 0.0, "icl_ms": d(10.0),
            "stall_ms": d(12.0), "connect_ms": null, "from_intent": {"ttft_ms": null, "e2e_ms": null},
        },
        "token_speed_per_s": d(100.0),
        "output_token_rate_per_s": d(95.0),
        "throughput": {
            "requests_per_s": 0.6, "input_tokens_per_s": null, "output_tokens_per_s": 60.0,
            "total_tokens_per_s": null, "steady": null,
        },
        "tokens": {
            "input": null, "output": 300, "reasoning": null, "source": "usage", "estimated": false,
            "output_by_tokenizer": null, "mismatched_share": null, "asked_output": 384,
            "reached_ratio": 0.78,
        },
        "concurrency": {"mean": 1.8, "peak": 2},
        "validity": {
            "verdict": "degraded", "reasons": ["3 requests are few"], "stamp_source": "kernel",
            "stamp_lag_ms": null, "schedule_lag_ms": null, "loop_lag_ms": null,
            "begun_late_ms": null, "coalesced_share": null, "cpu_share": null, "process_cpu_share": null,
            "connections_opened": 2, "reused_share": null,
        },
        "environment": {
            "runner": "test-runner", "version": "0.0.0", "host": "here", "cpus": 2,
            "kernel": "none", "load_threads": 1,
            "target": {
                "server": null, "system_fingerprint": null, "model": "tiny", "stream_usage": true,
                "ignore_eos": false, "min_tokens": false,
            },
            "spec_hash": "0", "seed": 7,
        },
    }))
    .unwrap()
}
