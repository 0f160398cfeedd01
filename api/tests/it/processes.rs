//! What is around the benchmarks: health, metrics, documentation, browsers, what is not there.

use api::Settings;
use poem::http::Method;
use serde_json::json;

use crate::app::{Answer, LIST, RUN, each, one};

#[tokio::test]
async fn health_says_what_is_so() {
    for app in each(Settings::default()).await {
        let service = app.get("/").await;
        assert_eq!(service.json["msg"], "acknowledged");
        assert_eq!(service.json["status"], "healthy");
        assert_eq!(service.json["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(app.get("/livez").await.json, json!({"status": "ok"}));
        assert_eq!(app.get("/readyz").await.json, json!({"status": "ok"}));
        app.shutdown.cancel();
        app.get("/readyz").await.refuses(503, "the server is shutting down");
        assert_eq!(app.get("/livez").await.status, 200);
    }
}

#[tokio::test]
async fn a_database_without_tables_is_not_ready() {
    let database = testkit::TestDatabase::sqlite().await;
    let store = store::Store::open(database.url(), store::Vault::none(), store::Lease::default())
        .await
        .unwrap();
    let address = "127.0.0.1:8000".parse().unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let state = api::AppState::new(&Settings::default(), store, address, shutdown).unwrap();
    let client = poem::test::TestClient::new(api::app(state));
    let answer = Answer::read(client.get("/readyz").send().await.0).await;
    answer.refuses(503, "the database is not ready");
    // A handler that meets it says so without a word of SQL.
    let answer = Answer::read(client.get(LIST).send().await.0).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.detail(), "the cause is in the server's log");
    assert_eq!(answer.json["trace_id"], answer.header("x-request-id").unwrap());
}

#[tokio::test]
async fn metrics_count_by_pattern_and_status() {
    let app = one(Settings::default()).await;
    app.start_benchmark("a.example").await;
    app.get("/api/v1/benchmarks/1").await;
    app.get("/api/v1/benchmarks/4711").await;
    app.get("/api/v1/benchmarks/4712/").await;
    app.get("/somewhere/else").await;
    app.send(Method::PUT, RUN, |request| request).await;
    let metrics = app.get("/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    for line in [
        r#"llm_bench_http_requests_total{method="GET",path="/api/v1/benchmarks/{id}",status="200"} 1"#,
        r#"llm_bench_http_requests_total{method="GET",path="/api/v1/benchmarks/{id}",status="404"} 2"#,
        r#"llm_bench_http_requests_total{method="GET",path="unmatched",status="404"} 1"#,
        r#"llm_bench_http_requests_total{method="POST",path="/api/v1/benchmarks/run",status="202"} 1"#,
        r#"llm_bench_http_requests_total{method="PUT",path="/api/v1/benchmarks/run",status="405"} 1"#,
        "llm_bench_benchmarks_accepted_total 1",
        r#"llm_bench_build_info{version="0.1.0"} 1"#,
        r#"llm_bench_http_request_duration_seconds_count{method="GET",path="/api/v1/benchmarks/{id}"} 3"#,
    ] {
        assert!(metrics.text.contains(line), "{line} is not in\n{}", metrics.text);
    }
    assert!(!metrics.text.contains("4711"));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let app = one(Settings::default()).await;
    for path in ["/nowhere", "/api/v1/nowhere", "/api/v1/benchmarks/1/2/3", "/api/v2/benchmarks"] {
        app.get(path).await.refuses(404, "nothing is at this path");
    }
    for (method, path, allowed) in [
        (Method::DELETE, "/api/v1/benchmarks", "GET, HEAD, POST"),
        (Method::POST, "/api/v1/benchmarks/1", "DELETE, GET, HEAD, PATCH, PUT"),
        (Method::GET, "/api/v1/benchmarks/1/cancel", "POST"),
        (Method::POST, "/openapi.json", "GET, HEAD"),
    ] {
        let answer = app.send(method, path, |request| request).await;
        answer.refuses(405, &format!("this path takes {allowed}"));
        assert_eq!(answer.header("allow"), Some(allowed));
    }
}

#[tokio::test]
async fn documentation_works_without_a_network() {
    let app = one(Settings::default()).await;
    let page = app.get("/docs").await;
    assert!(page.text.contains("run_benchmark") && page.text.contains("SwaggerUIBundle"));
    assert!(!page.text.contains("src=\"http") && !page.text.contains("href=\"http"));
    let document = app.get("/openapi.json").await;
    assert_eq!(document.json["openapi"], "3.0.0");
    assert_eq!(document.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn only_named_origins_may_call_from_a_browser() {
    let settings =
        Settings { cors_origins: vec!["https://ui.example".into()], ..Settings::default() };
    let app = one(settings).await;
    let from = |method: Method, origin: &'static str| {
        app.send(method, LIST, move |request| {
            request.header("origin", origin).header("access-control-request-method", "POST")
        })
    };
    for method in [Method::GET, Method::OPTIONS] {
        let named = from(method.clone(), "https://ui.example").await;
        assert_eq!(named.header("access-control-allow-origin"), Some("https://ui.example"));
        assert_eq!(named.header("access-control-allow-credentials"), None);
        let other = from(method, "https://evil.example").await;
        assert_eq!(other.header("access-control-allow-origin"), None);
    }
    let none = one(Settings::default()).await;
    let answer = none
        .send(Method::GET, LIST, |request| request.header("origin", "https://ui.example"))
        .await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own() {
    let app = one(Settings::default()).await;
    let (one, other) = (app.get("/livez").await, app.get("/nowhere").await);
    assert_ne!(one.header("x-request-id").unwrap(), other.header("x-request-id").unwrap());
    assert_eq!(one.header("x-content-type-options"), Some("nosniff"));
}
