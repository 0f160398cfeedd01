//! The queue as a whole, and what one client may have of it.

use api::Settings;
use serde_json::json;
use store::Rules;

use crate::app::{RUN, each, one};

const QUEUE: &str = "/api/v1/queue";

#[tokio::test]
async fn the_queue_is_seen_paused_resumed_and_emptied() {
    for app in each(Settings::default()).await {
        app.start_benchmark("a.example").await;
        let id = app.start_benchmark("a.example").await;
        let seen = app.get(QUEUE).await;
        assert_eq!(seen.json["states"], json!([{"status": "queued", "count": 2}]));
        assert_eq!((&seen.json["due"], &seen.json["paused"]), (&json!(2), &json!(false)));
        let target = json!([
            {"target": seen.json["targets"][0]["target"], "queued": 2, "active": 0, "paused": false}
        ]);
        assert_eq!(seen.json["targets"], target);
        let paused = app.post(&format!("{QUEUE}/pause?target=https://a.example/v1")).await;
        assert_eq!(paused.status, 200, "{}", paused.text);
        assert_eq!(paused.json["targets"][0]["paused"], true);
        assert_eq!(app.post(&format!("{QUEUE}/pause")).await.json["paused"], true);
        let resumed = app.post(&format!("{QUEUE}/resume")).await;
        assert_eq!(resumed.json["paused"], false);
        assert_eq!(resumed.json["targets"][0]["paused"], true);
        let aborted = app.post(&format!("{QUEUE}/abort?running=true")).await;
        assert_eq!(aborted.json, json!({"cancelled": 2, "asked_to_stop": 0}));
        let one = app.get(&format!("/api/v1/benchmarks/{id}")).await;
        assert_eq!(one.json["status"], "cancelled");
        let refused = app.post(&format!("{QUEUE}/pause?target=ftp://a.example")).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        assert_eq!(refused.json["errors"][0]["pointer"], "/target");
    }
}

#[tokio::test]
async fn a_quota_is_a_429_that_says_when_to_come_back() {
    let app = one(Settings::default()).await;
    let rules = Rules { quota_runs_per_hour: Some(1), ..Rules::default() };
    let app = app.under(rules);
    let accepted = app.post(&format!("{RUN}?url=https://a.example")).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    assert_eq!(accepted.header("ratelimit-policy"), Some("\"runs\";q=1;w=3600"));
    assert_eq!(accepted.header("ratelimit"), Some("\"runs\";r=0;t=3600"));
    let refused = app.post(&format!("{RUN}?url=https://a.example")).await;
    assert_eq!((refused.status, &refused.json["code"]), (429, &json!("quota-exceeded")));
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3_590..=3_600).contains(&after), "{after}");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"runs\";q=1;w=3600"));
    assert_eq!(refused.header("ratelimit"), Some(format!("\"runs\";r=0;t={after}").as_str()));
}

#[tokio::test]
async fn how_it_waits_is_shown_and_refused_by_name() {
    for app in each(Settings::default()).await {
        let url = "url=https://a.example";
        let shown = app.post(&format!("{RUN}?{url}&priority=-3&queue_timeout=60")).await;
        assert_eq!((shown.status, &shown.json["priority"]), (202, &json!(-3)), "{}", shown.text);
        assert_eq!(shown.json["runAt"], shown.json["createdAt"]);
        assert!(shown.json["queueDeadline"].is_string());
        let far = app.post(&format!("{RUN}?{url}&run_at=4000000000")).await;
        assert_eq!((far.status, &far.json["code"]), (422, &json!("validation")));
        assert!(far.detail().starts_with("run_at must be at most 30 days ahead, "), "{}", far.text);
    }
}
