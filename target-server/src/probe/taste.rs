//! An answer, or the beginning of a streamed one, read for whether it is one.

use std::time::Duration;

use reqwest::{Response, header};
use shared::Endpoint;

use super::ProbeFailure;
use crate::{
    Control, TargetError,
    chunk::{self, Delta, Message, Reply},
    control::MAX_BODY_BYTES,
    excerpt::excerpt,
    sse::Decoder,
};

/// How long the answer is read on, once it has shown that it is one.
const MANNERS: Duration = Duration::from_secs(2);

/// Most bytes kept of the server's name for its configuration.
const NAME_BYTES: usize = 256;

/// What a short answer showed.
#[derive(Debug, Default)]
pub(super) struct Taste {
    endpoint: Endpoint,
    pub(super) server: Option<String>,
    pub(super) system_fingerprint: Option<String>,
    /// Events that were the dialect's.
    events: usize,
    /// Token events among them.
    tokens: usize,
    done: bool,
}

/// Reads a streamed answer to its end, or for a while beyond its first token.
///
/// One event of the dialect is enough to pass: a server that cuts or stalls its streams can be
/// measured, and the measurement says so. One that sends something else cannot.
pub(super) async fn taste(
    control: &Control,
    endpoint: Endpoint,
    mut response: Response,
    limit: Duration,
) -> Result<Taste, ProbeFailure> {
    let server = control.header(&response, &header::SERVER);
    let mut taste = Taste { endpoint, server, ..Taste::default() };
    let mut decoder = Decoder::new(MAX_BODY_BYTES);
    let mut body = Vec::new();
    while !taste.done {
        let next = response.chunk();
        let next = if taste.tokens == 0 {
            next.await
        } else {
            match tokio::time::timeout(MANNERS, next).await {
                Ok(next) => next,
                Err(_) => break,
            }
        };
        let piece = match next {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                taste.end(&mut decoder)?;
                break;
            }
            Err(_) if taste.events > 0 => break,
            Err(error) => return Err(TargetError::of(error, limit).into()),
        };
        if taste.events == 0 {
            let room = MAX_BODY_BYTES.saturating_sub(body.len());
            body.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        let mut outcome = Ok(());
        let pushed = decoder.push(&piece, |data| {
            if outcome.is_ok() {
                outcome = taste.take(data);
            }
        });
        outcome?;
        if let Err(too_long) = pushed {
            if taste.events > 0 {
                return Err(ProbeFailure::unusable(too_long.to_string()));
            }
            break;
        }
    }
    if taste.events == 0 && !taste.done {
        return Err(ProbeFailure::unusable(no_stream(control, endpoint, &response, &body)));
    }
    Ok(taste)
}

/// Reads an answer that is not streamed.
pub(super) async fn whole(
    control: &Control,
    endpoint: Endpoint,
    response: Response,
    limit: Duration,
) -> Result<Taste, ProbeFailure> {
    let server = control.header(&response, &header::SERVER);
    let kind = control.header(&response, &header::CONTENT_TYPE).unwrap_or_default();
    let body = control.body(response, limit).await?;
    match chunk::whole(endpoint, &body) {
        Ok(Reply::Answer(answer)) => Ok(Taste {
            endpoint,
            server,
            system_fingerprint: answer
                .system_fingerprint
                .map(|name| excerpt(name.as_bytes(), NAME_BYTES)),
            ..Taste::default()
        }),
        Ok(Reply::Error(words)) => {
            Err(ProbeFailure::unusable(format!("the target answered with an error: {words}")))
        }
        Err(malformed) => Err(ProbeFailure::unusable(format!(
            "the target's answer is not one of {} ({}): {malformed}",
            endpoint.path(),
            kind_of(&kind)
        ))),
    }
}

impl Taste {
    fn take(&mut self, data: &[u8]) -> Result<(), ProbeFailure> {
        match chunk::event(self.endpoint, data) {
            Ok(Message::Done) => self.done = true,
            Ok(Message::Error(words)) => {
                return Err(ProbeFailure::unusable(format!(
                    "the target answered with an error inside the stream: {words}"
                )));
            }
            Ok(Message::Delta(delta)) => {
                self.done |= delta.done;
                self.note(&delta);
            }
            Err(malformed) => {
                return Err(ProbeFailure::unusable(format!(
                    "the target's stream is not one of {}: {malformed}",
                    self.endpoint.path()
                )));
            }
        }
        Ok(())
    }

    fn note(&mut self, delta: &Delta<'_>) {
        self.events += 1;
        self.tokens += usize::from(!delta.text.is_empty());
        if let Some(fingerprint) = &delta.system_fingerprint {
            self.system_fingerprint = Some(excerpt(fingerprint.as_bytes(), NAME_BYTES));
        }
    }

    /// The last event, whose end is missing; half an event is no reason to refuse a stream.
    fn end(&mut self, decoder: &mut Decoder) -> Result<(), ProbeFailure> {
        let mut outcome = Ok(());
        decoder.finish(|data| {
            if self.events == 0 || chunk::event(self.endpoint, data).is_ok() {
                outcome = self.take(data);
            }
        });
        outcome
    }
}

/// What came in place of a stream, in words.
fn no_stream(control: &Control, endpoint: Endpoint, response: &Response, body: &[u8]) -> String {
    let kind = control.header(response, &header::CONTENT_TYPE).unwrap_or_default();
    let words = control.excerpt_of(body);
    let is_html = kind.contains("html") || words.to_ascii_lowercase().starts_with("<!doctype html");
    if words.is_empty() {
        "the target answered the request with nothing (HTTP 200, no body)".to_owned()
    } else if is_html {
        format!("the target answered with a web page, not with an answer: {words}")
    } else if let Ok(chunk::Reply::Error(words)) = chunk::whole(endpoint, body) {
        format!("the target answered with an error: {words}")
    } else if let Ok(chunk::Reply::Answer(_)) = chunk::whole(endpoint, body) {
        "the target answers in one piece although a stream was asked for: no token times can be measured (stream=false measures whole answers)".to_owned()
    } else {
        format!("the target's answer is not an event stream ({}): {words}", kind_of(&kind))
    }
}

fn kind_of(content_type: &str) -> String {
    if content_type.is_empty() { "no content-type".to_owned() } else { format!("`{content_type}`") }
}
