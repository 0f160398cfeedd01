//! The same request twice is one benchmark.

use api::Settings;
use poem::http::Method;
use serde_json::{Value, json};

use crate::app::{Answer, TestApp, each};

const PATH: &str = "/api/v1/benchmarks";

async fn submit(app: &TestApp, key: &str, token: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    app.send(Method::POST, PATH, |request| {
        let request = request.header("idempotency-key", key).header("authorization", bearer);
        request.body_json(body)
    })
    .await
}

#[tokio::test]
async fn a_key_makes_one_benchmark_of_any_number_of_requests() {
    for app in each(Settings::default()).await {
        let body = json!({"url": "http://a.example", "user": 3, "api_key": Value::Null});
        let all = (0..12).map(|_| submit(&app, "k-1", "x", &body));
        let answers = futures::future::join_all(all).await;
        let mut ids: Vec<_> = answers
            .iter()
            .map(|answer| {
                assert_eq!(answer.status, 202, "{}", answer.text);
                answer.json["id"].as_i64().unwrap()
            })
            .collect();
        let replayed = |answer: &&Answer| answer.header("idempotent-replayed") == Some("true");
        assert_eq!(answers.iter().filter(replayed).count(), 11);
        ids.dedup();
        assert_eq!(ids.len(), 1, "{ids:?}");
        // by any way in, and with a query where it was JSON
        let path = format!("{PATH}/run?url=http://a.example");
        let other = app.send(Method::POST, &path, |r| r.header("idempotency-key", "k-2")).await;
        assert_ne!(other.json["id"].as_i64(), Some(ids[0]));
        assert_eq!(app.post(&path).await.header("idempotent-replayed"), None);
    }
}

#[tokio::test]
async fn a_key_is_for_one_request_and_for_who_sent_it() {
    let settings = Settings { api_tokens: vec!["one".into(), "two".into()], ..Settings::default() };
    for app in each(settings).await {
        let body = json!({"url": "http://a.example"});
        let first = submit(&app, "again", "one", &body).await.json["id"].clone();
        let other = json!({"url": "http://b.example"});
        submit(&app, "again", "one", &other).await.refuses(
            422,
            "Idempotency-Key `again` was used for another request; use a new key for a new request",
        );
        let second = submit(&app, "again", "two", &other).await;
        assert_eq!(second.status, 202, "{}", second.text);
        assert_ne!(second.json["id"], first);
        assert_eq!(submit(&app, "again", "one", &body).await.json["id"], first);
        let long = "k".repeat(256);
        submit(&app, &long, "one", &body)
            .await
            .refuses(400, "Idempotency-Key must be 1 to 255 ASCII characters");
    }
}

#[tokio::test]
async fn what_is_to_be_there_once_is_one_for_any_number_of_requests_until_it_is_over() {
    for app in each(Settings::default()).await {
        let path = format!("{PATH}/run?url=http://a.example&user=3&dedupe=true");
        let first = app.post(&path).await;
        assert_eq!((first.status, first.header("idempotent-replayed")), (202, None));
        let body = json!({"url": "http://a.example", "user": 3, "dedupe": true, "notes": "b"});
        let again = app.send(Method::POST, PATH, |request| request.body_json(&body)).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (202, Some("true")));
        assert_eq!(again.json["id"], first.json["id"]);
        assert_eq!(again.header("location"), first.header("location"));
        let gone = format!("{PATH}/{}?force=true", first.json["id"]);
        assert_eq!(app.send(Method::DELETE, &gone, |request| request).await.status, 200);
        let next = app.post(&path).await;
        assert_eq!((next.status, next.header("idempotent-replayed")), (202, None));
        let wrong = format!("{PATH}/run?url=http://a.example&dedupe=perhaps");
        let why = "dedupe must be true or false, not `perhaps`";
        app.post(&wrong).await.refuses(422, why);
    }
}

#[tokio::test]
async fn what_was_refused_may_be_sent_again_and_what_was_deleted_is_not_made_again() {
    for app in each(Settings::default()).await {
        let wrong = json!({"url": "http://a.example", "user": 0});
        assert_eq!(submit(&app, "k", "x", &wrong).await.status, 422);
        let right = json!({"url": "http://a.example", "user": 1});
        let made = submit(&app, "k", "x", &right).await;
        assert_eq!((made.status, made.header("idempotent-replayed")), (202, None));
        let gone = format!("{PATH}/{}?force=true", made.json["id"]);
        assert_eq!(app.send(Method::DELETE, &gone, |request| request).await.status, 200);
        assert_eq!(submit(&app, "k", "x", &right).await.status, 404);
    }
}
