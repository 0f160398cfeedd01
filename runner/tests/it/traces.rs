//! A recorded load through real processes: its file lies below the runner's `DATA_DIR`.

use serde_json::{Value, json};
use shared::{ReasonCode, State};

use crate::yard::{Yard, quick, simulate};

/// A load that the trace alone decides.
fn replay(more: &Value) -> Value {
    let mut fields = json!({"user": null, "spawnrate": null, "duration": null});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_replays_a_trace_of_its_data_directory_and_says_what_is_wrong_with_one() {
    let data_dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(data_dir.path().join("traces")).unwrap();
    let row = |nth: u32| {
        format!(
            "{{\"at_s\":{},\"prompt\":\"Say {nth}.\",\"output_tokens\":6}}\n",
            f64::from(nth) / 10.0
        )
    };
    let good: String = (0..20).map(row).collect();
    std::fs::write(data_dir.path().join("traces/good.jsonl"), &good).unwrap();
    std::fs::write(data_dir.path().join("traces/bad.jsonl"), format!("{good}oops\n")).unwrap();
    let data = data_dir.path().display().to_string();
    for yard in Yard::each().await {
        let _runner = yard.runner_with(&[("DATA_DIR", &data)]).await;
        let url = simulate(quick()).await;
        let fields =
            replay(&json!({"trace": "traces/good.jsonl", "trace_speed": 2, "max_tokens": 9}));
        let ended = yard.ended(yard.submit(&url, fields).await).await;
        assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
        let report = ended.report.expect("a report");
        assert_eq!((report.requests.scheduled, report.requests.completed), (20, 20));
        assert_eq!(report.tokens.asked_output, 120);
        assert!((0.9..3.0).contains(&report.window.measured_s), "{}", report.window.measured_s);

        let fields = replay(&json!({"trace": "traces/bad.jsonl", "max_requests": 3}));
        let ended = yard.ended(yard.submit(&url, fields).await).await;
        assert_eq!(ended.status, State::Failed);
        let reason = ended.reason.expect("a reason");
        assert_eq!(reason.code, ReasonCode::Trace);
        assert!(
            reason.detail.starts_with("trace: `traces/bad.jsonl`: line 21 "),
            "{}",
            reason.detail
        );
    }
}
