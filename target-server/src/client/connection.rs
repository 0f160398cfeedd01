//! One connection as a request sees it: sent on, and read from.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, StatusCode,
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Client;
use crate::{
    multiplexed::{self, Stream},
    response::{MAX_HEAD_BYTES, MAX_HEADERS},
    stream::Stamps,
};

pub(crate) type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>>>>;
pub(crate) type Sender = http1::SendRequest<Full<Bytes>>;

pub(super) async fn http<S>(stream: S) -> hyper::Result<(Sender, Driver)>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    Ok((sender, Box::pin(connection)))
}

/// One connection, or a stream of one, with at most one request on it.
pub struct Connection {
    pub(crate) way: Way,
    pub(crate) stamps: Arc<Stamps>,
    pub(crate) connect_took: Duration,
    pub(crate) tls_took: Option<Duration>,
}

/// How a request goes.
pub(crate) enum Way {
    /// Alone on its connection.
    Http1 {
        sender: Sender,
        driver: Driver,
        /// How the connection ended, once it has.
        over: Option<Result<(), String>>,
    },
    /// As one of many.
    Http2(Stream),
}

/// The head of a response; its body is read with [`Connection::read`].
pub struct Head {
    /// The status.
    pub status: StatusCode,
    headers: HeaderMap,
    body: Answer,
}

enum Answer {
    Http1(Incoming),
    Http2(h2::RecvStream),
}

impl Head {
    /// A header as text; none where it is absent or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why a request went wrong on the way, in the connection's words.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub struct Broken {
    words: String,
    was_turned_away: bool,
}

impl Broken {
    fn by(error: &dyn std::error::Error) -> Self {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            words = format!("{words}: {cause}");
            source = cause.source();
        }
        Self { words, was_turned_away: false }
    }

    fn of_stream(error: &h2::Error) -> Self {
        let was_turned_away = error.is_go_away() && error.is_remote();
        Self { was_turned_away, ..Self::by(error) }
    }

    /// Whether the server closed the connection and told that it never looked at the request.
    pub fn was_turned_away(&self) -> bool {
        self.was_turned_away
    }
}

impl Connection {
    /// What the stream below notes of its reads and writes.
    pub fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// How long the TCP connect took, without DNS and TLS.
    pub fn connect_took(&self) -> Duration {
        self.connect_took
    }

    /// How long the TLS handshake took after that; none without TLS.
    pub fn tls_took(&self) -> Option<Duration> {
        self.tls_took
    }

    /// When the first byte of its request was handed to the socket, in ns.
    pub fn sent_ns(&self) -> Option<u64> {
        match &self.way {
            Way::Http1 { .. } => self.stamps.sent_ns(),
            Way::Http2(stream) => stream.written().sent_ns,
        }
    }

    /// When the last byte of its request had been taken by the socket, in ns.
    pub fn written_ns(&self) -> Option<u64> {
        match &self.way {
            Way::Http1 { .. } => self.stamps.written_ns(),
            Way::Http2(stream) => stream.written().written_ns,
        }
    }

    /// Whether another request can be sent: never on a stream. Takes notice of a server that has
    /// closed meanwhile.
    pub async fn is_usable(&mut self) -> bool {
        let Way::Http1 { sender, driver, over } = &mut self.way else { return false };
        poll_fn(|context| {
            if over.is_none()
                && let Poll::Ready(outcome) = driver.as_mut().poll(context)
            {
                *over = Some(outcome.map_err(|error| error.to_string()));
            }
            Poll::Ready(over.is_none() && sender.is_ready())
        })
        .await
    }

    /// Sends a request and waits for the response's head.
    pub async fn send(&mut self, client: &Client, body: Bytes) -> Result<Head, Broken> {
        let (parts, body) = match (&mut self.way, &client.http2) {
            (Way::Http2(stream), Some(request)) => {
                let response = stream.send(request.clone(), body).await;
                let response = response.map_err(|error| Broken::of_stream(&error))?;
                let (parts, body) = response.into_parts();
                (parts, Answer::Http2(body))
            }
            (Way::Http2(_), None) => unreachable!("a stream is of a client that speaks HTTP/2"),
            (Way::Http1 { sender, driver, over }, _) => {
                self.stamps.expect_send();
                let request = client.request(body);
                let response = drive(driver, over, sender.send_request(request)).await;
                let (parts, body) = response.map_err(|error| Broken::by(&error))?.into_parts();
                (parts, Answer::Http1(body))
            }
        };
        Ok(Head { status: parts.status, headers: parts.headers, body })
    }

    /// The next piece of the response's body; none at its end.
    pub async fn read(&mut self, head: &mut Head) -> Option<Result<Bytes, Broken>> {
        let body = match &mut head.body {
            Answer::Http1(body) => body,
            Answer::Http2(body) => {
                let data = multiplexed::next_data(body).await;
                return data.map(|data| data.map_err(|error| Broken::of_stream(&error)));
            }
        };
        let Way::Http1 { driver, over, .. } = &mut self.way else { return None };
        let mut body = pin!(body);
        let next_data = poll_fn(|context| {
            loop {
                match body.as_mut().poll_frame(context) {
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        drive(driver, over, next_data).await.map(|piece| piece.map_err(|error| Broken::by(&error)))
    }
}

/// Awaits `wanted` and drives the connection meanwhile.
///
/// What has been handed over is taken first; then the connection reads, and what it hands over is
/// taken within the same wake-up, before a later read can put its stamp over this one's.
async fn drive<T>(
    driver: &mut Driver,
    over: &mut Option<Result<(), String>>,
    wanted: impl Future<Output = T>,
) -> T {
    let mut wanted = pin!(wanted);
    poll_fn(|context| {
        if let Poll::Ready(outcome) = wanted.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        if over.is_none()
            && let Poll::Ready(outcome) = driver.as_mut().poll(context)
        {
            *over = Some(outcome.map_err(|error| error.to_string()));
        }
        wanted.as_mut().poll(context)
    })
    .await
}
