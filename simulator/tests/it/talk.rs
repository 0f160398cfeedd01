//! A simulator of one's own, and a client that reads whatever comes.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use simulator::{Settings, Stats};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A simulator with answers in no time, gone on drop.
pub(crate) struct Simulated {
    pub(crate) address: SocketAddr,
    _stops: DropGuard,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) closes: bool,
    pub(crate) body: String,
    /// Whether the body ended as HTTP wants it.
    pub(crate) whole: bool,
}

pub(crate) fn fast() -> Settings {
    Settings { ttft_ms: 5.0, itl_ms: 1.0, ..Settings::default() }
}

impl Simulated {
    pub(crate) async fn serve(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(simulator::serve(settings, listener, shutdown.clone()));
        Self { address, _stops: shutdown.drop_guard() }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: String,
    ) -> hyper::Result<Response<Incoming>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request =
            Request::builder().method(method).uri(path).header(header::HOST, "simulated");
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: &Value,
    ) -> Answer {
        Answer::read(self.send(method, path, key, body.to_string()).await.unwrap()).await
    }

    pub(crate) async fn chat(&self, asked: Value) -> Answer {
        let mut body = json!({
            "model": "simulated",
            "messages": [{"role": "user", "content": "three small words"}],
            "stream": true,
            "stream_options": {"include_usage": true},
            "max_tokens": 10,
        });
        body.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
        self.ask("POST", "/v1/chat/completions", None, &body).await
    }

    /// An answer over `stream`, and whether the server closed it afterwards.
    pub(crate) async fn chat_and_wait_for_the_end(&self, stream: TcpStream) -> (Answer, bool) {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let body = json!({
            "model": "simulated", "messages": [{"role": "user", "content": "x"}],
            "stream": true, "max_tokens": 3,
        });
        let request = Request::post("/v1/chat/completions")
            .header(header::HOST, "simulated")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let answer = Answer::read(sender.send_request(request).await.unwrap()).await;
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), connection).await;
        (answer, ended.is_ok())
    }

    /// Opens an answer, reads its first bytes and leaves.
    pub(crate) async fn leave_early(&self) {
        let body = json!({
            "model": "simulated", "messages": [{"role": "user", "content": "x"}],
            "stream": true, "max_tokens": 1000,
        });
        let response =
            self.send("POST", "/v1/chat/completions", None, body.to_string()).await.unwrap();
        response.into_body().frame().await.unwrap().unwrap();
    }

    pub(crate) async fn stats(&self) -> Stats {
        let answer = self.ask("GET", "/stats", None, &Value::Null).await;
        serde_json::from_str(&answer.body).unwrap()
    }
}

impl Answer {
    async fn read(response: Response<Incoming>) -> Self {
        let status = response.status().as_u16();
        let closes =
            response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
        let mut received = Vec::new();
        let mut incoming = response.into_body();
        let mut whole = true;
        while let Some(frame) = incoming.frame().await {
            match frame {
                Ok(frame) => received.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(_) => whole = false,
            }
        }
        Self { status, closes, body: String::from_utf8(received).unwrap(), whole }
    }

    /// The data of each event; the last is `[DONE]` where it came.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.body
            .split_terminator("\n\n")
            .map(|event| event.rsplit("data: ").next().unwrap())
            .collect()
    }

    /// The events that are JSON.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        self.events().iter().filter_map(|event| serde_json::from_str(event).ok()).collect()
    }

    /// The texts of the events that have some.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |chunk: &Value| {
            let choice = &chunk["choices"][0];
            let text = choice["delta"]["content"].as_str().or(choice["text"].as_str())?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        self.chunks().iter().filter_map(text).collect()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}
