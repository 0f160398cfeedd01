use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const TOKEN: &str = "hf_canary";
const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// An answer of a [`StandIn`]: status, one header line or none, body.
type Answer = (u16, String, Vec<u8>);

/// Path and `authorization` of a request.
type Asked = (String, Option<String>);

/// Stands in for the hub, or for a content host: answers by path, and keeps what it was asked.
struct StandIn {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    async fn serve(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(socket.read_u8().await.unwrap());
                    }
                    let head = String::from_utf8(head).unwrap();
                    let path = head.split(' ').nth(1).unwrap().to_owned();
                    let authorization = head.lines().find_map(|line| {
                        let (name, value) = line.split_once(": ")?;
                        name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
                    });
                    let (status, header, body) = answer(&path);
                    kept.lock().unwrap().push((path, authorization));
                    let length = body.len();
                    let head = format!(
                        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{header}\r\n"
                    );
                    socket.write_all(head.as_bytes()).await.unwrap();
                    socket.write_all(&body).await.unwrap();
                });
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn hub(&self, data_dir: &Path) -> Hub {
        hub(&self.url, data_dir)
    }
}

fn hub(endpoint: &str, data_dir: &Path) -> Hub {
    // another test may have been first
    let _ = rustls::crypto::ring::default_provider().install_default();
    Hub::new(endpoint, Some(SecretString::from(TOKEN)), data_dir).unwrap()
}

/// A hub behind a port where nobody listens.
pub(in crate::prompt) fn unreachable_hub(data_dir: &Path) -> Hub {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    hub(&format!("http://{closed}"), data_dir)
}

fn ok(body: impl Into<Vec<u8>>) -> Answer {
    (200, String::new(), body.into())
}

fn redirect(to: &str) -> Answer {
    (302, format!("location: {to}\r\n"), Vec::new())
}

fn not_found() -> Answer {
    (404, String::new(), Vec::new())
}

fn listing(files: &[&str]) -> Answer {
    let siblings: Vec<_> =
        files.iter().map(|file| serde_json::json!({"rfilename": file})).collect();
    ok(serde_json::json!({"sha": REVISION, "siblings": siblings}).to_string())
}

/// A hub with one dataset and one model, whose contents lie elsewhere.
async fn hub_with_content_host() -> (StandIn, StandIn) {
    let content = StandIn::serve(|path| match path {
        "/blob/chat%20a.jsonl" => ok("{\"text\":\"one\"}\n{\"text\":\"two\"}\n"),
        "/blob/tokenizer.json" => ok("{}"),
        _ => not_found(),
    })
    .await;
    let elsewhere = content.url.clone();
    let hub = StandIn::serve(move |path| {
        if path == "/api/datasets/org/chat" {
            listing(&["README.md", "data/test/chat a.jsonl", "data/train.jsonl"])
        } else if path == format!("/datasets/org/chat/resolve/{REVISION}/data/test/chat%20a.jsonl")
        {
            redirect(&format!("{elsewhere}/blob/chat%20a.jsonl"))
        } else if path == "/api/models/gpt2" {
            redirect("/api/models/openai/gpt2")
        } else if path == "/api/models/openai/gpt2" {
            listing(&["tokenizer.json"])
        } else if path == format!("/gpt2/resolve/{REVISION}/tokenizer.json") {
            redirect(&format!("{elsewhere}/blob/tokenizer.json"))
        } else {
            not_found()
        }
    })
    .await;
    (hub, content)
}

#[tokio::test]
async fn a_dataset_is_fetched_once_and_kept_by_revision() {
    let dir = tempfile::tempdir().unwrap();
    let (stand_in, content) = hub_with_content_host().await;
    let hub = stand_in.hub(dir.path());
    let file = hub.dataset_file("org/chat").await.unwrap();
    assert_eq!(file.name, "data/test/chat a.jsonl");
    assert!(file.path.starts_with(dir.path().join("hub/datasets/org--chat").join(REVISION)));
    assert_eq!(std::fs::read(&file.path).unwrap(), b"{\"text\":\"one\"}\n{\"text\":\"two\"}\n");

    assert_eq!(hub.dataset_file("org/chat").await.unwrap().path, file.path);
    assert_eq!(content.asked().len(), 1, "the second time it was there");
    let folder = std::fs::read_dir(file.path.parent().unwrap()).unwrap();
    assert_eq!(folder.count(), 1, "nothing half-written is left");
}

#[tokio::test]
async fn the_token_goes_to_the_hub_and_to_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (stand_in, content) = hub_with_content_host().await;
    let hub = stand_in.hub(dir.path());
    hub.dataset_file("org/chat").await.unwrap();
    // the hub's own redirect keeps it
    assert_eq!(hub.tokenizer("gpt2").await.unwrap(), b"{}");
    let bearer = Some(format!("Bearer {TOKEN}"));
    assert!(stand_in.asked().iter().all(|(_, authorization)| *authorization == bearer));
    assert_eq!(stand_in.asked().len(), 5);
    assert!(content.asked().iter().all(|(_, authorization)| authorization.is_none()));
    assert_eq!(content.asked().len(), 2);
}

#[tokio::test]
async fn an_empty_token_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let stand_in = StandIn::serve(|_| not_found()).await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hub = Hub::new(&stand_in.url, Some(SecretString::from(" ")), dir.path()).unwrap();
    hub.tokenizer("gpt2").await.unwrap_err();
    assert_eq!(stand_in.asked(), [("/api/models/gpt2".to_owned(), None)]);
}

#[tokio::test]
async fn a_hub_that_cannot_be_reached_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let hub = unreachable_hub(dir.path());
    let error = hub.dataset_file("org/chat").await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot reach {}: ", hub.host())), "{error}");
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn what_may_not_be_read_looks_like_what_is_not_there() {
    for status in [401, 403, 404] {
        let dir = tempfile::tempdir().unwrap();
        let stand_in = StandIn::serve(move |_| (status, String::new(), Vec::new())).await;
        let error = stand_in.hub(dir.path()).dataset_file("org/secret").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "no such dataset on the hub, or it is private and HUGGINGFACE_TOKEN may not read it: org/secret"
        );
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_meant_is_refused() {
    let error = async |answer: Answer| {
        let dir = tempfile::tempdir().unwrap();
        let stand_in = StandIn::serve(move |_| answer.clone()).await;
        stand_in.hub(dir.path()).dataset_file("org/chat").await.unwrap_err()
    };
    assert!(matches!(error(ok("<html>")).await, HubError::Listing { .. }));
    let escaping = ok(r#"{"sha":"../../x","siblings":[{"rfilename":"test.jsonl"}]}"#);
    assert!(matches!(error(escaping).await, HubError::Listing { .. }));
    let status = error((500, String::new(), Vec::new())).await;
    assert!(status.to_string().ends_with("answered 500 for org/chat"), "{status}");
    let endless = error(redirect("/api/datasets/org/chat")).await;
    assert!(endless.to_string().ends_with("it redirects without end"), "{endless}");
    let without = error(listing(&["README.md", "weights.bin", "../test.jsonl"])).await;
    assert_eq!(
        without.to_string(),
        "dataset org/chat has no file that can be read (.jsonl, .json, .csv, .parquet)"
    );
}

#[tokio::test]
async fn a_file_that_says_it_is_too_large_is_not_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let liar = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = [0; 4_096];
        let _ = socket.read(&mut head).await.unwrap();
        let length = LARGEST_FILE + 1;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
    });
    let hub = hub(&liar, dir.path());
    let error = hub.file(Kind::Dataset, "org/chat", REVISION, "test.jsonl").await.unwrap_err();
    assert_eq!(error.to_string(), "org/chat/test.jsonl is larger than the 200 MiB allowed");
}

#[tokio::test]
async fn a_model_without_a_tokenizer_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let stand_in = StandIn::serve(|_| listing(&["config.json"])).await;
    let error = stand_in.hub(dir.path()).tokenizer("org/model").await.unwrap_err();
    assert_eq!(error.to_string(), "model org/model has no tokenizer.json");
}

#[test]
fn an_endpoint_must_be_a_url_and_a_token_must_fit_in_a_header() {
    let new =
        |endpoint, token: &str| Hub::new(endpoint, Some(token.into()), Path::new(".")).unwrap_err();
    assert_eq!(
        new("huggingface.co", "x").to_string(),
        "HF_ENDPOINT must be an http or https URL, not `huggingface.co`"
    );
    assert!(matches!(new("ftp://x", "x"), InvalidHub::Endpoint(_)));
    assert!(matches!(new(Hub::PUBLIC, "a\nb"), InvalidHub::Token));
}
