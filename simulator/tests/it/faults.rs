use std::time::Duration;

use serde_json::json;
use simulator::{InvalidSettings, Settings};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::talk::{Simulated, fast};

#[tokio::test]
async fn refusals_come_as_asked_and_are_counted() {
    let simulated = Simulated::serve(Settings { fault_429: 1.0, ..fast() }).await;
    let answer = simulated.chat(json!({})).await;
    assert_eq!(
        (answer.status, answer.json()["error"]["code"].as_str()),
        (429, Some("rate_limit_exceeded"))
    );
    assert_eq!(simulated.stats().await.faults.http_429, 1);

    let simulated = Simulated::serve(Settings { fault_500: 1.0, ..fast() }).await;
    assert_eq!(simulated.chat(json!({"stream": false})).await.status, 500);
    assert_eq!(simulated.stats().await.faults.http_500, 1);
}

#[tokio::test]
async fn a_cut_answer_breaks_off_half_way() {
    let simulated = Simulated::serve(Settings { fault_cut: 1.0, ..fast() }).await;
    let answer = simulated.chat(json!({})).await;
    assert_eq!((answer.texts().len(), answer.whole), (5, false));
    assert!(!answer.body.contains("[DONE]"));
    let whole = json!({"model": "simulated", "messages": [{"content": "x"}], "max_tokens": 9});
    let broken = simulated.send("POST", "/v1/chat/completions", None, whole.to_string()).await;
    assert!(broken.is_err(), "without a stream, half-way is before the answer");
    let stats = simulated.stats().await;
    assert_eq!((stats.faults.cut, stats.completed, stats.left, stats.open), (2, 0, 0, 0));
    assert_eq!(stats.tokens, 5);
}

#[tokio::test]
async fn a_stalled_answer_stands_still_until_the_client_leaves() {
    let simulated = Simulated::serve(Settings { fault_stall: 1.0, ..fast() }).await;
    let whole = timeout(Duration::from_secs(1), simulated.chat(json!({}))).await;
    assert!(whole.is_err());
    wait_until_nothing_is_open(&simulated).await;
    let stats = simulated.stats().await;
    assert_eq!((stats.faults.stall, stats.left, stats.tokens), (1, 1, 5));
}

#[tokio::test]
async fn a_malformed_answer_has_one_event_that_is_no_json() {
    let simulated = Simulated::serve(Settings { fault_malformed: 1.0, ..fast() }).await;
    let answer = simulated.chat(json!({})).await;
    assert_eq!(answer.events().len() - answer.chunks().len(), 2, "the bad one and [DONE]");
    assert_eq!(answer.texts().len(), 10);
    let whole = simulated.chat(json!({"stream": false})).await;
    assert!(serde_json::from_str::<serde_json::Value>(&whole.body).is_err());
    assert_eq!(simulated.stats().await.faults.malformed, 2);
}

#[tokio::test]
async fn a_client_that_leaves_is_no_completed_answer() {
    let simulated = Simulated::serve(fast()).await;
    simulated.leave_early().await;
    wait_until_nothing_is_open(&simulated).await;
    let stats = simulated.stats().await;
    assert_eq!((stats.requests, stats.completed, stats.left), (1, 0, 1));
    assert!(stats.tokens < 1_000);
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings { fault_429: 0.9, fault_500: 0.9, ..fast() };
    let served = simulator::serve(settings, listener, CancellationToken::new()).await;
    assert!(matches!(served, Err(InvalidSettings::TooManyFaults(_))));
}

async fn wait_until_nothing_is_open(simulated: &Simulated) {
    while simulated.stats().await.open > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
