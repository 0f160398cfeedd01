//! A whole API over a database of its own, in this process: no port, nothing shared, gone on drop.
//!
//! Every answer is held against the published document: a status that an operation does not
//! document fails the test that met it.

use std::sync::Arc;

use api::{AppState, Settings};
use bytes::Bytes;
use poem::{
    Response,
    endpoint::BoxEndpoint,
    http::{HeaderMap, Method, StatusCode},
    test::{TestClient, TestRequestBuilder},
};
use poem_openapi::types::ToJSON as _;
use serde_json::Value;
use shared::Benchmark;
use store::{Artifacts, Lease, Rules, Store, Vault};
use tempfile::TempDir;
use testkit::TestDatabase;
use tokio_util::sync::CancellationToken;

use crate::schema::faults;

pub(crate) const RUN: &str = "/api/v1/benchmarks/run";
pub(crate) const LIST: &str = "/api/v1/benchmarks/";

/// A key of a target that must show up nowhere.
pub(crate) const CANARY: &str = "sk-canary-5f1d";

pub(crate) struct TestApp {
    pub(crate) client: TestClient<BoxEndpoint<'static>>,
    pub(crate) store: Store,
    pub(crate) shutdown: CancellationToken,
    document: Value,
    _artifacts: TempDir,
    _database: TestDatabase,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    /// The same as text.
    pub(crate) text: String,
    /// The text as JSON; null where it is none.
    pub(crate) json: Value,
}

/// The same app over each kind of database.
pub(crate) async fn each(settings: Settings) -> Vec<TestApp> {
    let mut apps = Vec::new();
    for database in TestDatabase::each().await {
        apps.push(TestApp::over(database, settings.clone()).await);
    }
    apps
}

/// An app where the database does not matter.
pub(crate) async fn one(settings: Settings) -> TestApp {
    TestApp::over(TestDatabase::sqlite().await, settings).await
}

/// Settings under which targets on this machine may be asked.
pub(crate) fn local() -> Settings {
    Settings { egress_allow: target::Egress::LOCAL.to_owned(), ..Settings::default() }
}

impl TestApp {
    /// The same database behind an app under `rules`.
    pub(crate) fn under(mut self, rules: Rules) -> Self {
        self.store = self.store.with_rules(rules);
        let address = "127.0.0.1:8000".parse().unwrap();
        let settings = Settings::default();
        let (store, shutdown) = (self.store.clone(), self.shutdown.clone());
        let state = AppState::new(&settings, store, address, shutdown).unwrap();
        self.client = TestClient::new(api::app(state));
        self
    }

    async fn over(database: TestDatabase, settings: Settings) -> Self {
        // Fails only where one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let vault = Vault::from_base64(&Vault::generate_base64()).unwrap();
        let store = Store::open(database.url(), vault, Lease::default()).await.unwrap();
        store.migrate().await.unwrap();
        let artifacts = tempfile::tempdir().unwrap();
        let store = store.with_artifacts(Artifacts::in_folder(artifacts.path()).unwrap());
        let shutdown = CancellationToken::new();
        let address = "127.0.0.1:8000".parse().unwrap();
        let state = AppState::new(&settings, store.clone(), address, shutdown.clone()).unwrap();
        let client = TestClient::new(api::app(Arc::clone(&state)));
        let document = client.get("/openapi.json").send().await.0.into_body();
        let document = serde_json::from_slice(&document.into_vec().await.unwrap()).unwrap();
        Self { client, store, shutdown, document, _artifacts: artifacts, _database: database }
    }

    /// Sends a request after `with` has had its way with it.
    pub(crate) async fn send<F>(&self, method: Method, path: &str, with: F) -> Answer
    where
        F: for<'a> FnOnce(
            TestRequestBuilder<'a, BoxEndpoint<'static>>,
        ) -> TestRequestBuilder<'a, BoxEndpoint<'static>>,
    {
        let request = with(self.client.request(method.clone(), path));
        let answer = Answer::read(request.send().await.0).await;
        self.hold_to_document(&method, path, &answer);
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, |request| request).await
    }

    /// A POST without a body, as the original's UI sends it.
    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.send(Method::POST, path, |request| request).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, |request| request.body_json(body)).await
    }

    pub(crate) async fn post_form(&self, path: &str, form: &str) -> Answer {
        let form = form.to_owned();
        self.send(Method::POST, path, |request| {
            request.content_type("application/x-www-form-urlencoded").body(form)
        })
        .await
    }

    /// Starts a benchmark of a target that nobody will ask, and returns its id.
    pub(crate) async fn start_benchmark(&self, host: &str) -> i64 {
        let answer = self.post(&format!("{RUN}?url=https://{host}&user=2&duration=5")).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.json["id"].as_i64().unwrap()
    }

    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    fn hold_to_document(&self, method: &Method, path: &str, answer: &Answer) {
        let status = answer.status;
        let path = path.split('?').next().unwrap();
        let Some(pattern) = self.pattern_of(path) else { return };
        let method = method.as_str().to_lowercase();
        let operation = &self.document["paths"][&pattern][&method];
        if operation.is_null() {
            if method == "options" {
                return; // a browser's question, and no operation
            }
            assert_eq!(status, 405, "{method} {pattern} is not documented");
            return;
        }
        hold_to_type(&answer.json);
        let known = &operation["responses"][status.to_string()];
        assert!(!known.is_null(), "{method} {pattern} answers {status} and does not document it");
        let content = known["content"].as_object().into_iter().flatten();
        for (media_type, content) in content {
            if media_type == "application/json" || media_type == "application/problem+json" {
                let found = faults(&self.document, &content["schema"], &answer.json, "answer");
                assert!(found.is_empty(), "{method} {pattern}: {found:#?}");
            }
        }
    }

    /// The documented path that `path` is one of.
    fn pattern_of(&self, path: &str) -> Option<String> {
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { "/" } else { path };
        let known = self.document["paths"].as_object().unwrap();
        if known.contains_key(path) {
            return Some(path.to_owned());
        }
        let filled = path.split('/').enumerate().map(|(at, piece)| {
            let is_id = at == 4 && path.starts_with("/api/v1/benchmarks/");
            if is_id { "{id}" } else { piece }
        });
        let filled = filled.collect::<Vec<_>>().join("/");
        known.contains_key(&filled).then_some(filled)
    }
}

/// What serde writes of a benchmark is what poem-openapi, which has made the document, would write.
fn hold_to_type(json: &Value) {
    if let Ok(benchmark) = serde_json::from_value::<Benchmark>(json.clone()) {
        assert_eq!(benchmark.to_json().as_ref(), Some(json));
    }
}

impl Answer {
    pub(crate) async fn read(response: Response) -> Self {
        let status = response.status();
        let headers = response.headers().clone();
        let bytes = response.into_body().into_bytes().await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains(CANARY), "a key came back: {text}");
        let json = serde_json::from_str(&text).unwrap_or_default();
        let answer = Self { status: status.as_u16(), headers, bytes, text, json };
        if status.is_client_error() || status.is_server_error() {
            answer.hold_to_problem(status);
        }
        answer
    }

    fn hold_to_problem(&self, status: StatusCode) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        let problem: shared::Problem = serde_json::from_value(self.json.clone()).unwrap();
        assert_eq!(problem.status, status.as_u16());
        assert!(!problem.detail.is_empty());
        assert_eq!(problem.detail, problem.message);
        assert_eq!(problem.r#type, format!("/problems/{}", problem.code));
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn detail(&self) -> &str {
        self.json["detail"].as_str().unwrap_or_default()
    }

    /// Asserts a refusal of exactly these words.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, detail: &str) {
        assert_eq!((self.status, self.detail()), (status, detail), "{}", self.text);
    }
}
