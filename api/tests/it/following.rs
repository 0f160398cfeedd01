//! Waiting for a benchmark, and its events.

use std::time::{Duration, Instant};

use api::Settings;
use futures::StreamExt as _;
use poem::{http::Method, web::sse::Event};
use serde_json::Value;

use crate::{
    app::{RUN, TestApp, each, one},
    runs::Hand,
};

#[tokio::test]
async fn a_wait_ends_with_the_run_or_with_its_time() {
    for app in each(Settings::default()).await {
        let hand = Hand::of(&app.store).await;
        let id = app.start_benchmark("a.example").await;
        let path = format!("/api/v1/benchmarks/{id}");
        let started = Instant::now();
        let waited = app.get(&format!("{path}?wait=1")).await;
        assert!(started.elapsed() >= Duration::from_secs(1));
        assert_eq!((waited.status, waited.json["status"].clone()), (200, "queued".into()));
        assert_eq!(waited.header("retry-after"), Some("2"));

        let held = hand.take(id).await;
        hand.tell(&held, 4.5).await;
        assert_eq!(app.get(&path).await.header("retry-after"), Some("1"));
        let (waited, ()) =
            tokio::join!(app.get(Box::leak(format!("{path}?wait=60").into_boxed_str())), async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                hand.complete(&held).await;
            });
        assert_eq!(waited.json["status"], "completed");
        assert_eq!(waited.header("retry-after"), None);
        for wait in ["61", "-1", "soon"] {
            assert_eq!(app.get(&format!("{path}?wait={wait}")).await.status, 422);
        }
    }
}

#[tokio::test]
async fn a_submission_waits_as_long_as_is_preferred() {
    let app = one(Settings::default()).await;
    let path = format!("{RUN}?url=https://a.example&duration=5");
    let prefer = |value: &'static str| {
        app.send(Method::POST, &path, move |request| request.header("prefer", value))
    };
    let unfinished = prefer("wait=1").await;
    assert_eq!(unfinished.status, 202);
    assert_eq!(unfinished.header("preference-applied"), Some("wait=1"));
    let id = unfinished.json["id"].as_i64().unwrap();
    let hand = Hand::of(&app.store).await;
    hand.run(id).await;

    let (finished, ()) = tokio::join!(prefer("wait=60"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        hand.run(id + 1).await;
    });
    assert_eq!((finished.status, finished.json["status"].clone()), (200, "completed".into()));
    assert_eq!(finished.header("location"), Some(&*format!("/api/v1/benchmarks/{}", id + 1)));
}

#[tokio::test]
async fn a_shutdown_ends_every_wait() {
    let app = one(Settings::default()).await;
    let id = app.start_benchmark("a.example").await;
    let path = format!("/api/v1/benchmarks/{id}?wait=60");
    let (waited, ()) = tokio::join!(app.get(&path), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        app.shutdown.cancel();
    });
    assert_eq!((waited.status, waited.json["status"].clone()), (200, "queued".into()));
}

/// The events after `last`, each as (id, event, data), until the stream ends.
async fn events(app: &TestApp, id: i64, last: Option<i64>) -> Vec<(String, String, Value)> {
    let mut request = app.client.get(format!("/api/v1/benchmarks/{id}/events"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = request.send().await;
    response.assert_status_is_ok();
    response
        .sse_stream()
        .filter_map(|event| async move {
            match event {
                Event::Message { id, event, data } => {
                    Some((id, event, serde_json::from_str(&data).unwrap()))
                }
                Event::Retry { .. } => None,
            }
        })
        .collect()
        .await
}

#[tokio::test]
async fn events_come_as_they_happen_and_are_replayed_after_the_last_one_seen() {
    for app in each(Settings::default()).await {
        let hand = Hand::of(&app.store).await;
        let id = app.start_benchmark("a.example").await;
        let (live, ()) = tokio::join!(events(&app, id, None), async {
            let held = hand.take(id).await;
            hand.tell(&held, 1.0).await;
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            hand.complete(&held).await;
        });
        let states = |events: &[(String, String, Value)]| -> Vec<(String, String)> {
            let states = events.iter().filter(|(_, event, _)| event == "state");
            states
                .map(|(id, _, data)| (id.clone(), data["status"].as_str().unwrap().into()))
                .collect()
        };
        let all = [("1", "queued"), ("2", "running"), ("3", "completed")];
        let all: Vec<(String, String)> = all.map(|(id, state)| (id.into(), state.into())).into();
        assert_eq!(states(&live), all);
        assert_eq!(live.last().unwrap().2["final"], true);
        let told: Vec<_> = live.iter().filter(|(_, event, _)| event == "progress").collect();
        assert!((1..=4).contains(&told.len()), "{told:?}");
        assert!(told.iter().any(|(.., data)| data["requests"] == 3));

        assert_eq!(states(&events(&app, id, None).await), all);
        assert_eq!(states(&events(&app, id, Some(1)).await), all[1..]);
        for last in ["3", "99"] {
            let nothing = app
                .send(Method::GET, &format!("/api/v1/benchmarks/{id}/events"), |request| {
                    request.header("last-event-id", last)
                })
                .await;
            assert_eq!((nothing.status, nothing.text.as_str()), (204, ""));
        }
        let unreadable = app
            .send(Method::GET, &format!("/api/v1/benchmarks/{id}/events"), |request| {
                request.header("last-event-id", "x")
            })
            .await;
        assert_eq!(unreadable.status, 400);
        assert_eq!(app.get("/api/v1/benchmarks/4711/events").await.status, 404);
    }
}

#[tokio::test]
async fn a_failure_is_told_with_its_reason() {
    let app = one(Settings::default()).await;
    let hand = Hand::of(&app.store).await;
    let id = app.start_benchmark("a.example").await;
    let held = hand.take(id).await;
    hand.fail(&held).await;
    let events = events(&app, id, Some(2)).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].2["reason"]["code"], "model_missing");
    assert_eq!(events[0].2["from"], "running");
}

#[tokio::test]
async fn a_shutdown_ends_every_stream() {
    let app = one(Settings::default()).await;
    let id = app.start_benchmark("a.example").await;
    let (seen, ()) = tokio::join!(events(&app, id, None), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        app.shutdown.cancel();
    });
    assert_eq!(seen.len(), 1);
}
