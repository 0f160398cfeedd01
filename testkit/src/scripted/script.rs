//! What a scripted server says to one request, step by step.

use std::time::Duration;

use serde_json::{Value, json};

/// One step. Each write is a write of its own on the wire.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(Vec<u8>),
    Wait(Duration),
    Close,
    Reset,
    Stall,
}

/// The answer to one request. A script that ends without [`Script::close`], [`Script::reset`] or
/// [`Script::stall`] keeps the connection for the next request.
#[derive(Clone, Debug, Default)]
pub struct Script(Vec<Step>);

impl Script {
    /// A script that says nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A whole answer with a body of a given content type.
    pub fn answer(status: u16, content_type: &str, body: &str) -> Self {
        let length = body.len().to_string();
        let head =
            head_bytes(status, &[("content-type", content_type), ("content-length", &length)]);
        Self::new().raw([head, body.as_bytes().to_vec()].concat())
    }

    /// A whole answer in JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::answer(status, "application/json", &body.to_string())
    }

    /// The list of models.
    pub fn models(ids: &[&str]) -> Self {
        let data: Vec<Value> = ids.iter().map(|id| json!({"id": id, "object": "model"})).collect();
        Self::json(200, &json!({"object": "list", "data": data}))
    }

    /// The head of a chunked event stream and one chunk for each text.
    pub fn stream(pieces: &[&str]) -> Self {
        pieces.iter().fold(Self::new().chunked_head(), |script, piece| script.sse(piece))
    }

    /// Bytes as they are.
    #[must_use]
    pub fn raw(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Write(bytes.into()))
    }

    /// Status line and headers, with the blank line behind them.
    #[must_use]
    pub fn head(self, status: u16, headers: &[(&str, &str)]) -> Self {
        self.raw(head_bytes(status, headers))
    }

    /// The head of a 200 event stream in chunks; ended by [`Script::end_chunks`].
    #[must_use]
    pub fn chunked_head(self) -> Self {
        self.head(200, &[("content-type", "text/event-stream"), ("transfer-encoding", "chunked")])
    }

    /// The head of a 200 event stream that ends with its connection; ended by [`Script::close`].
    /// What follows is written with [`Script::raw`].
    #[must_use]
    pub fn closing_head(self) -> Self {
        self.head(200, &[("content-type", "text/event-stream"), ("connection", "close")])
    }

    /// One chunk, e.g. `"data: {}\n\n"`, in one write.
    #[must_use]
    pub fn sse(self, text: &str) -> Self {
        self.raw(format!("{:x}\r\n{text}\r\n", text.len()))
    }

    /// One chunk with a chat completion chunk of a text.
    #[must_use]
    pub fn token(self, text: &str) -> Self {
        self.sse(&event(&json!({"choices": [{"index": 0, "delta": {"content": text}}]})))
    }

    /// One chunk with an event whose data is `data`.
    #[must_use]
    pub fn event(self, data: &Value) -> Self {
        self.sse(&event(data))
    }

    /// The chunk `data: [DONE]`.
    #[must_use]
    pub fn done(self) -> Self {
        self.sse("data: [DONE]\n\n")
    }

    /// The end of a chunked body.
    #[must_use]
    pub fn end_chunks(self) -> Self {
        self.raw("0\r\n\r\n")
    }

    /// A pause before the next step.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        self.then(Step::Wait(time))
    }

    /// A closed connection (FIN).
    #[must_use]
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// A reset connection (RST).
    #[must_use]
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Silence, until the client gives up.
    #[must_use]
    pub fn stall(self) -> Self {
        self.then(Step::Stall)
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.0
    }
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

fn head_bytes(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Whatever",
    };
    let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
    for (name, value) in headers {
        for part in [name, ": ", value, "\r\n"] {
            head.push_str(part);
        }
    }
    head.push_str("\r\n");
    head.into_bytes()
}
