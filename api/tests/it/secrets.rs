//! A target's key, and where it must not be.
//!
//! `Answer::read` fails on the canary in any answer; here are the logs, and a target that echoes.

use std::{
    io,
    sync::{Arc, Mutex},
};

use api::Settings;
use poem::http::Method;
use serde_json::json;
use testkit::{Script, ScriptedServer};
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    app::{CANARY, LIST, RUN, local, one},
    runs::Hand,
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn a_key_is_in_no_answer_and_no_log_line() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    // Of this thread: the test's runtime has no other.
    let _guard = tracing::subscriber::set_default(subscriber);

    let app = one(local()).await;
    let started = app.post(&format!("{RUN}?url=https://a.example&api_key={CANARY}")).await;
    assert_eq!(started.status, 202);
    let id = started.json["id"].as_i64().unwrap();
    let path = format!("/api/v1/benchmarks/{id}");
    app.post_form(RUN, &format!("url=https://b.example&api_key={CANARY}")).await;
    app.post_json(LIST, &json!({"url": "https://c.example", "api_key": CANARY})).await;
    // Refused for another field, and for the key itself.
    let refused = app.post(&format!("{RUN}?url=x&user=0&api_key={CANARY}")).await;
    assert_eq!(refused.status, 422);
    let refused = app.post(&format!("{RUN}?url=https://a.example&api_key={CANARY}%20x")).await;
    assert_eq!(refused.status, 422);
    let refused = app.post(&format!("{RUN}?api_key={CANARY}&api_key={CANARY}")).await;
    assert_eq!(refused.status, 400);
    Hand::of(&app.store).await.run(id).await;
    for path in
        [path.clone(), format!("{path}/events"), format!("{LIST}?status=all"), "/metrics".into()]
    {
        assert_eq!(app.get(&path).await.status, 200, "{path}");
    }

    let echo = json!({"error": {"message": format!("the key {CANARY} is wrong")}});
    let echo = ScriptedServer::scripted()
        .on("GET /v1/models", Script::json(401, &echo))
        .on("POST /v1/chat/completions", Script::json(401, &echo))
        .start();
    let model = app
        .send(Method::GET, &format!("/api/v1/model?url={}", echo.url()), |request| {
            request.header("x-target-api-key", CANARY)
        })
        .await;
    assert_eq!(model.status, 502);
    let generate = json!({"url": echo.url(), "model": "m", "prompt": "hello", "api_key": CANARY});
    assert_eq!(app.post_json("/api/v1/generate", &generate).await.status, 502);
    assert_eq!(echo.requests().len(), 2);

    let log = log.text();
    assert!(log.contains("path=\"/api/v1/benchmarks/{id}\""), "the access log is there: {log}");
    assert!(!log.contains(CANARY), "{log}");
    assert!(!log.contains("a.example"), "queries are not logged: {log}");
}

#[tokio::test]
async fn the_default_key_goes_with_benchmarks_and_is_never_shown() {
    let app = one(Settings { api_auth_token: Some(CANARY.into()), ..Settings::default() }).await;
    let id = app.start_benchmark("a.example").await;
    app.get(&format!("/api/v1/benchmarks/{id}")).await;
    let runner = shared::RunnerId(ulid::Ulid::generate().to_string());
    let registration = store::Registration {
        id: runner.clone(),
        name: "r".into(),
        version: "0".into(),
        max_users: 10,
        measured: None,
        labels: shared::Labels::default(),
    };
    app.store.register(&registration).await.unwrap();
    let claim = app.store.claim(&runner, 10).await.unwrap().unwrap();
    let key = claim.api_key.unwrap().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&key), CANARY);
}

#[tokio::test]
async fn without_a_master_key_no_target_key_is_taken() {
    let database = testkit::TestDatabase::sqlite().await;
    let store = store::Store::open(database.url(), store::Vault::none(), store::Lease::default())
        .await
        .unwrap();
    store.migrate().await.unwrap();
    let address = "127.0.0.1:8000".parse().unwrap();
    let state = |settings: Settings| {
        api::AppState::new(
            &settings,
            store.clone(),
            address,
            tokio_util::sync::CancellationToken::new(),
        )
    };
    let keyed = Settings { api_auth_token: Some(CANARY.into()), ..Settings::default() };
    let refused = state(keyed).err().unwrap().to_string();
    assert!(refused.contains("API_AUTH_TOKEN") && refused.contains("MASTER_KEY"), "{refused}");
    let placeholder =
        Settings { api_auth_token: Some("your_api_token_here".into()), ..Settings::default() };
    let client = poem::test::TestClient::new(api::app(state(placeholder).unwrap()));

    let path = format!("{RUN}?url=https://a.example&api_key={CANARY}");
    let answer = crate::app::Answer::read(client.post(&path).send().await.0).await;
    answer.refuses(422, "api_key cannot be kept: no MASTER_KEY is set");
    assert_eq!(answer.json["errors"][0]["pointer"], "/api_key");
    let path = format!("{RUN}?url=https://a.example");
    assert_eq!(client.post(&path).send().await.0.status(), 202);
}
