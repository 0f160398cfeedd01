//! Who gets in.

use api::{AppState, Settings};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use poem::http::Method;
use serde_json::json;

use crate::app::{Answer, LIST, RUN, TestApp, each, one};

fn guarded() -> Settings {
    Settings {
        basic_auth: true,
        api_username: Some("admin".into()),
        api_password: Some("s3cret".into()),
        api_tokens: vec!["token-one".into(), "token-two".into()],
        ..Settings::default()
    }
}

async fn with(app: &TestApp, path: &str, authorization: Option<String>) -> Answer {
    app.send(Method::GET, path, |request| match authorization {
        Some(value) => request.header("authorization", value),
        None => request,
    })
    .await
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", BASE64.encode(credentials))
}

#[tokio::test]
async fn each_kind_of_credentials_gets_in_and_everything_else_reads_the_same() {
    for app in each(guarded()).await {
        for good in [
            Some(basic("admin:s3cret")),
            Some("Bearer token-one".into()),
            Some("Bearer token-two".into()),
        ] {
            assert_eq!(with(&app, LIST, good).await.status, 200);
        }
        let mut bodies = std::collections::HashSet::new();
        for bad in [
            None,
            Some(basic("admin:wrong")),
            Some(basic("nobody:s3cret")),
            Some(basic("admin")),
            Some("Basic not-base64!".into()),
            Some("Bearer token-three".into()),
            Some("Bearer".into()),
            Some("Digest x".into()),
        ] {
            let answer = with(&app, LIST, bad).await;
            assert_eq!(answer.status, 401);
            let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
            assert_eq!(challenges.len(), 2);
            bodies.insert(answer.text);
        }
        assert_eq!(bodies.len(), 1);
    }
}

#[tokio::test]
async fn health_and_documentation_are_open_and_everything_else_is_not() {
    let app = one(guarded()).await;
    for path in ["/", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/"] {
        assert_eq!(with(&app, path, None).await.status, 200, "{path}");
    }
    for path in [
        "/api/v1/benchmarks",
        "/api/v1/benchmarks/1",
        "/api/v1/benchmarks/1/events",
        "/api/v1/runners/",
        "/api/v1/model/",
        "//api/v1/runners",
        "/%61pi/v1/runners",
        "/nowhere",
    ] {
        assert_eq!(with(&app, path, None).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn credentials_are_judged_before_the_body() {
    let app = one(guarded()).await;
    for body in [json!({"user": 0}).to_string(), "x".repeat(300 * 1024), "{".into()] {
        let answer = app
            .send(Method::POST, RUN, |request| request.content_type("application/json").body(body))
            .await;
        assert_eq!(answer.status, 401);
    }
}

#[tokio::test]
async fn without_any_setting_everybody_gets_in() {
    let app = one(Settings { api_password: Some("unused".into()), ..Settings::default() }).await;
    assert_eq!(with(&app, LIST, None).await.status, 200);
    assert_eq!(with(&app, LIST, Some(basic("who:ever"))).await.status, 200);
}

#[tokio::test]
async fn settings_that_contradict_themselves_stop_the_start() {
    let app = one(Settings::default()).await;
    let refusal = |settings: Settings| {
        let address = "127.0.0.1:8000".parse().unwrap();
        let state = AppState::new(&settings, app.store.clone(), address, app.shutdown.clone());
        state.err().unwrap().to_string()
    };
    let incomplete = Settings { api_password: None, ..guarded() };
    assert!(refusal(incomplete).contains("API_PASSWORD is not set"));
    let nonsense = Settings { egress_allow: "10.0.0.0/99".into(), ..Settings::default() };
    assert!(refusal(nonsense).contains("EGRESS_ALLOW"));
}
