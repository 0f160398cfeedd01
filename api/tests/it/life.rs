//! Editing, cancelling, deleting: what may happen to a benchmark, and when.

use api::Settings;
use poem::http::Method;
use serde_json::json;

use crate::{
    app::{LIST, each, one},
    runs::Hand,
};

#[tokio::test]
async fn a_queued_benchmark_is_cancelled_at_once_and_cancelling_again_is_fine() {
    for app in each(Settings::default()).await {
        let id = app.start_benchmark("a.example").await;
        let path = format!("/api/v1/benchmarks/{id}");
        let cancelled = app.post(&format!("{path}/cancel")).await;
        assert_eq!(cancelled.status, 202, "{}", cancelled.text);
        assert_eq!(cancelled.json["status"], "cancelled");
        assert_eq!(cancelled.json["reason"]["code"], "cancel_requested");
        let again = app.post(&format!("{path}/cancel/")).await;
        assert_eq!((again.status, again.json["status"].clone()), (200, "cancelled".into()));
        assert_eq!(app.get(&path).await.header("retry-after"), None);
    }
}

#[tokio::test]
async fn a_running_benchmark_is_asked_to_stop_and_an_ended_one_says_how_it_ended() {
    for app in each(Settings::default()).await {
        let hand = Hand::of(&app.store).await;
        let id = app.start_benchmark("a.example").await;
        let path = format!("/api/v1/benchmarks/{id}");
        let held = hand.take(id).await;
        for _ in 0..2 {
            let asked = app.post(&format!("{path}/cancel")).await;
            assert_eq!((asked.status, asked.json["status"].clone()), (202, "cancelling".into()));
            assert!(asked.header("retry-after").is_some());
        }
        hand.complete(&held).await;
        let ended = app.get(&path).await;
        assert_eq!(ended.json["status"], "cancelled");
        assert_eq!(ended.json["results"]["final"], true);
        assert_eq!(ended.json["results"]["partial"], true);

        let id = app.start_benchmark("a.example").await;
        hand.run(id).await;
        let refused = app.post(&format!("/api/v1/benchmarks/{id}/cancel")).await;
        let said = format!("benchmark {id} is completed and can no longer be cancelled");
        refused.refuses(409, &said);
        assert_eq!(app.post("/api/v1/benchmarks/4711/cancel").await.status, 404);
    }
}

#[tokio::test]
async fn only_what_is_over_is_deleted_unless_forced() {
    for app in each(Settings::default()).await {
        let hand = Hand::of(&app.store).await;
        let id = app.start_benchmark("a.example").await;
        let path = format!("/api/v1/benchmarks/{id}");
        let delete = |query: &'static str| {
            app.send(Method::DELETE, Box::leak(format!("{path}{query}").into_boxed_str()), |r| r)
        };
        assert_eq!(delete("").await.status, 409);
        let held = hand.take(id).await;
        assert_eq!(delete("?force=false").await.status, 409);
        let asked = delete("?force=true").await;
        assert_eq!(asked.status, 202, "{}", asked.text);
        assert_eq!(app.get(&path).await.json["status"], "cancelling");
        hand.complete(&held).await;
        assert_eq!(delete("").await.status, 200);
        assert_eq!(app.get(&path).await.status, 404);
        delete("?force=maybe").await.refuses(422, "force must be true or false, not `maybe`");

        let waiting = app.start_benchmark("b.example").await;
        let path = format!("/api/v1/benchmarks/{waiting}?force=1");
        assert_eq!(app.send(Method::DELETE, &path, |request| request).await.status, 200);
    }
}

#[tokio::test]
async fn edits_in_every_encoding_change_notes_and_mark_and_nothing_else() {
    for app in each(Settings::default()).await {
        let id = app.start_benchmark("a.example").await;
        let path = format!("/api/v1/benchmarks/{id}");
        for method in [Method::PUT, Method::PATCH] {
            let query = format!("{path}?notes=by%20query");
            let edited = app.send(method.clone(), &query, |request| request).await;
            assert_eq!((edited.status, edited.json["notes"].clone()), (200, "by query".into()));
            let edited = app
                .send(method.clone(), &path, |request| {
                    request
                        .content_type("application/x-www-form-urlencoded")
                        .body("notes=by+form&favorite=true")
                })
                .await;
            assert_eq!(
                (edited.json["notes"].clone(), edited.json["favorite"].clone()),
                ("by form".into(), true.into())
            );
            let edited = app
                .send(method.clone(), &path, |request| {
                    request.body_json(&json!({"notes": "", "favorite": false, "user": 2}))
                })
                .await;
            assert_eq!(
                (edited.json["notes"].clone(), edited.json["favorite"].clone()),
                ("".into(), false.into())
            );

            // The original's names of these, with what is there and with something else.
            let same = format!("{path}?users=2&spawn_rate=100&duration=5&status=queued");
            assert_eq!(app.send(method.clone(), &same, |request| request).await.status, 200);
            let other = format!("{path}?users=3&status=completed&notes=lost");
            let refused = app.send(method.clone(), &other, |request| request).await;
            refused.refuses(
                422,
                "users of a benchmark cannot change; status of a benchmark cannot change",
            );
            assert_eq!(refused.json["code"], "immutable-field");
            let unknown = format!("{path}?fence=9");
            let refused = app.send(method.clone(), &unknown, |request| request).await;
            refused.refuses(422, "fence is no field of a benchmark that can be edited");
            let missing =
                app.send(method, "/api/v1/benchmarks/4711?favorite=true", |request| request).await;
            assert_eq!(missing.status, 404);
        }
        assert_eq!(app.get(&path).await.json["notes"], "");
    }
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged() {
    for app in each(Settings::default()).await {
        let hand = Hand::of(&app.store).await;
        let mut ids = Vec::new();
        for at in 0..5 {
            ids.push(app.start_benchmark(&format!("host{at}.example")).await);
        }
        hand.run(ids[0]).await;
        let held = hand.take(ids[1]).await;
        hand.fail(&held).await;
        hand.take(ids[2]).await;
        let favorite = format!("/api/v1/benchmarks/{}?favorite=true", ids[3]);
        app.send(Method::PUT, &favorite, |request| request).await;

        for (query, expected) in [
            ("", vec![0]),
            ("?status=all", vec![4, 3, 2, 1, 0]),
            ("?status=all&sort=id", vec![0, 1, 2, 3, 4]),
            ("?status=all&sort=id&limit=2&page=2", vec![2, 3]),
            ("?status=all&page=9", vec![]),
            ("?status=failed", vec![1]),
            ("?status=queued,running&sort=createdAt", vec![2, 3, 4]),
            ("?status=all&favorite=true", vec![3]),
            ("?status=all&favorite=false&sort=id", vec![0, 1, 2, 4]),
            ("?status=all&model=tiny&sort=id", vec![0, 1, 2]),
            ("?status=all&model=none", vec![]),
        ] {
            let page = app.get(&format!("{LIST}{query}")).await;
            let found: Vec<_> = page.json["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["id"].as_i64().unwrap())
                .collect();
            let expected: Vec<_> = expected.into_iter().map(|at: usize| ids[at]).collect();
            assert_eq!(found, expected, "{query}");
        }
        assert_eq!(app.get(&format!("{LIST}?status=all&limit=2&page=2")).await.json["total"], 5);
    }
}

#[tokio::test]
async fn the_seconds_of_a_run_can_be_read() {
    let app = one(Settings::default()).await;
    let id = app.start_benchmark("a.example").await;
    let path = format!("/api/v1/benchmarks/{id}/timeseries");
    let waiting = app.get(&path).await;
    assert_eq!(waiting.json, json!({"id": id, "final": false, "rows": []}));
    Hand::of(&app.store).await.run(id).await;
    let ended = app.get(&path).await;
    assert_eq!(ended.json["final"], true);
    assert_eq!(ended.json["rows"][0]["completed"], 3);
    assert_eq!(app.get("/api/v1/benchmarks/4711/timeseries").await.status, 404);
}

#[tokio::test]
async fn runners_are_listed_with_what_they_run() {
    for app in each(Settings::default()).await {
        assert_eq!(app.get("/api/v1/runners/").await.json, json!({"results": [], "total": 0}));
        let id = app.start_benchmark("a.example").await;
        Hand::of(&app.store).await.take(id).await;
        let runners = app.get("/api/v1/runners").await;
        assert_eq!(runners.json["total"], 1);
        assert_eq!(runners.json["results"][0]["name"], "test-runner");
        assert_eq!(runners.json["results"][0]["benchmark"], id);

        let runner = runners.json["results"][0]["id"].as_str().unwrap().to_owned();
        for _ in 0..2 {
            let asked = app.post(&format!("/api/v1/runners/{runner}/drain")).await;
            assert_eq!((asked.status, &asked.json["state"]), (202, &json!("draining")));
            assert_eq!((&asked.json["id"], &asked.json["benchmark"]), (&json!(runner), &json!(id)));
        }
        let unknown = app.post("/api/v1/runners/nobody/drain").await;
        unknown.refuses(404, "no runner is registered as nobody");
        assert_eq!(app.post("/api/v1/runners/%00/drain").await.status, 404);
        let gone = shared::RunnerId(runner.clone());
        app.store.beat(&gone, shared::RunnerState::Gone).await.unwrap();
        let late = app.post(&format!("/api/v1/runners/{runner}/drain")).await;
        late.refuses(409, &format!("runner {runner} is gone"));
    }
}
