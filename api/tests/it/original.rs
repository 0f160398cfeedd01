//! The original service's clients: their requests byte for byte, and what they parse.

use std::time::Duration;

use api::Settings;
use poem::http::Method;
use serde_json::Value;
use shared::Timestamp;

use crate::{
    app::{Answer, LIST, RUN, TestApp, each, one},
    runs::Hand,
};

/// The UI's POST: every field in the query, `''` as the body, axios' content type.
async fn ui_starts(app: &TestApp, query: &str) -> Answer {
    app.send(Method::POST, &format!("{RUN}?{query}"), |request| {
        request
            .header("accept", "application/json")
            .content_type("application/x-www-form-urlencoded")
            .body("")
    })
    .await
}

/// The UI's zod schema of a benchmark, check by check. Unknown members are stripped there.
#[track_caller]
fn ui_parses(benchmark: &Value) {
    for name in ["id", "user", "spawnrate", "duration"] {
        assert!(benchmark[name].is_number(), "{name} in {benchmark}");
    }
    for name in ["url", "model", "tokenizer", "dataset", "notes", "status", "createdAt"] {
        assert!(benchmark[name].is_string(), "{name} in {benchmark}");
    }
    assert!(benchmark["favorite"].is_boolean());
    // `new Date(val).toISOString()` throws on anything that is no date.
    assert!(benchmark["createdAt"].as_str().unwrap().parse::<Timestamp>().is_ok());
    let results = &benchmark["results"];
    assert!(results["status"].is_string());
    // The UI calls toFixed on these.
    for metric in
        ["time_to_first_token", "end_to_end_latency", "inter_token_latency", "token_speed"]
    {
        for figure in ["average", "maximum", "minimum", "median"] {
            assert!(results["metrics"][metric][figure].is_number(), "{metric}.{figure}");
        }
    }
    for figure in ["input_tokens_per_second", "output_tokens_per_second"] {
        assert!(results["metrics"]["throughput"][figure].is_number(), "throughput.{figure}");
    }
    let configuration = &results["configuration"];
    for name in ["user", "spawnrate", "duration"] {
        assert!(configuration[name].is_number(), "configuration.{name}");
    }
    for name in ["model", "tokenizer", "url", "dataset"] {
        assert!(configuration[name].is_string(), "configuration.{name}");
    }
}

#[tokio::test]
async fn the_ui_starts_lists_edits_and_deletes() {
    for app in each(Settings::default()).await {
        let started = ui_starts(
            &app,
            "user=8&spawnrate=4&url=https%3A%2F%2Fllm.example%2Fv1&duration=5\
             &dataset=mteb%2Fbanking77&model=org%2Ftiny&tokenizer=org%2Ftiny&notes=a%20note",
        )
        .await;
        assert_eq!(started.status, 202, "{}", started.text);
        ui_parses(&started.json);
        assert_eq!(started.json["url"], "https://llm.example/v1");
        assert_eq!(started.json["model"], "org/tiny");
        assert_eq!(started.json["notes"], "a note");
        assert_eq!(started.json["results"]["final"], false);
        let id = started.json["id"].as_i64().unwrap();
        assert_eq!(started.header("location"), Some(&*format!("/api/v1/benchmarks/{id}")));
        assert_eq!(started.header("retry-after"), Some("2"));

        // Nothing is listed before it has completed.
        let page = app.get(&format!("{LIST}?page=1&limit=10")).await;
        assert_eq!(page.json["total"], 0);
        Hand::of(&app.store).await.run(id).await;

        let page = app.get(&format!("{LIST}?page=1&limit=10")).await;
        assert_eq!(page.status, 200);
        for (name, number) in [("total", 1), ("page", 1), ("limit", 10)] {
            assert_eq!(page.json[name], number);
        }
        let rows = page.json["results"].as_array().unwrap();
        assert_eq!(rows.len(), 1);
        ui_parses(&rows[0]);
        assert_eq!(rows[0]["results"]["status"], "Test completed");
        assert_eq!(rows[0]["results"]["metrics"]["time_to_first_token"]["median"], 40.0);
        assert_eq!(app.get("/api/v1/benchmarks").await.json, page.json);

        let path = format!("/api/v1/benchmarks/{id}");
        for (query, name, value) in
            [("favorite=true", "favorite", Value::from(true)), ("notes=new", "notes", "new".into())]
        {
            let edited = app.send(Method::PUT, &format!("{path}?{query}"), |request| request).await;
            assert_eq!(edited.status, 200, "{}", edited.text);
            ui_parses(&edited.json);
            assert_eq!(edited.json[name], value);
        }
        let read = app.get(&path).await;
        ui_parses(&read.json);
        assert_eq!(
            (read.json["favorite"].clone(), read.json["notes"].clone()),
            (true.into(), "new".into())
        );

        let deleted = app.send(Method::DELETE, &path, |request| request).await;
        assert_eq!(deleted.status, 200);
        assert_eq!(deleted.text, r#"{"message":"Benchmark deleted successfully"}"#);
        assert_eq!(app.get(&path).await.status, 404);
        assert_eq!(app.send(Method::DELETE, &path, |request| request).await.status, 404);
    }
}

#[tokio::test]
async fn the_readme_s_form_is_no_longer_ignored() {
    let app = one(Settings::default()).await;
    let started =
        app.post_form(RUN, "user=100&spawnrate=10&duration=60&url=https://api.example.com").await;
    assert_eq!(started.status, 202);
    assert_eq!(started.json["spawnrate"], 10);
    assert_eq!(started.json["url"], "https://api.example.com");
}

#[tokio::test]
async fn locust_variables_are_the_defaults() {
    let settings = Settings {
        locust_host: Some("https://llm.example".to_owned().try_into().unwrap()),
        locust_model: Some(shared::ModelName("org/tiny".into())),
        locust_users: Some(shared::Users::try_from(3).unwrap()),
        ..Settings::default()
    };
    let app = one(settings).await;
    for started in [app.post(RUN).await, app.post_json(RUN, &serde_json::json!({})).await] {
        assert_eq!(started.status, 202, "{}", started.text);
        ui_parses(&started.json);
        assert_eq!(started.json["user"], 3);
        assert_eq!(started.json["spawnrate"], 100);
        assert_eq!(started.json["model"], "org/tiny");
    }
}

#[tokio::test]
async fn a_blocking_client_gets_the_ended_run_or_the_reason() {
    for app in each(Settings { compat_blocking_run: true, ..Settings::default() }).await {
        let hand = Hand::of(&app.store).await;
        let query = "url=https%3A%2F%2Fa.example&user=1&duration=5";
        let (answer, ()) = tokio::join!(ui_starts(&app, query), async {
            hand.run(only(&app).await).await;
        });
        assert_eq!(answer.status, 200, "{}", answer.text);
        ui_parses(&answer.json);
        assert_eq!(answer.json["results"]["status"], "Test completed");

        let (answer, ()) = tokio::join!(ui_starts(&app, query), async {
            let held = hand.take(only(&app).await).await;
            hand.fail(&held).await;
        });
        assert_eq!(answer.status, 500);
        assert!(answer.json["message"].as_str().unwrap().ends_with("does not serve `tiny`"));

        // Who says what he prefers is not an old client.
        let answer = app
            .send(Method::POST, &format!("{RUN}?{query}"), |request| {
                request.header("prefer", "respond-async")
            })
            .await;
        assert_eq!(answer.status, 202);
    }
}

/// The benchmark that is queued, once there is one.
async fn only(app: &TestApp) -> i64 {
    for _ in 0..1_000 {
        let page = app.get(&format!("{LIST}?status=queued")).await;
        if let Some(id) = page.json["results"][0]["id"].as_i64() {
            return id;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing was queued");
}
