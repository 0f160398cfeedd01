//! A connection that many requests share: HTTP/2, by h2 itself.
//!
//! It is driven by a task of its own, and its requests await their streams. Each stream's frames
//! are stamped: going out by [`crate::frames`], coming in by turns ([`Stamps::begin_turn`]). The
//! task gets the bytes of one read; h2 wakes the streams whose frames are in it; the task, which
//! wants more, is woken last. In a queue that is worked off in order every one of those streams
//! has then taken its data when the next read happens, so that the last read is the one that
//! brought it.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Ping, RecvStream, client};
use hyper::{HeaderMap, Request, Response, Uri, Version, header, http};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    client::{ConnectFailure, Connection, Way},
    frames::{Frames, Noted, Written},
    response::MAX_HEAD_BYTES,
    stream::{Clock, Stamps},
};

/// Most requests that are open on a connection at once, where the peer allows as many.
pub const MOST_STREAMS: usize = 100;

/// Windows that no answer fills: what comes is taken at once, so they never hold a server up.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Streams that were given up and whose last frames may still come.
const MOST_GIVEN_UP: usize = 10_000;

/// What makes a connection go; ends with it.
pub type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What HTTP/2 is spoken over.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// A stream to a target that has not been greeted yet.
pub(crate) struct Session {
    pub(crate) stream: Box<dyn Duplex>,
    pub(crate) stamps: Arc<Stamps>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) connect_took: Duration,
    pub(crate) tls_took: Option<Duration>,
}

/// A connection that requests can share. Cheap to clone; closes when the last of its requests and
/// the last clone are gone.
#[derive(Clone)]
pub struct Multiplexed {
    sender: client::SendRequest<Bytes>,
    /// Requests that are open on it.
    open: Arc<AtomicUsize>,
    frames: Arc<Frames>,
    stamps: Arc<Stamps>,
    connect_took: Duration,
    tls_took: Option<Duration>,
}

impl Session {
    /// Says hello in HTTP/2 and waits until the target has shown that it understands: it has sent
    /// its settings, so that its limits are known, and answered a ping.
    pub(crate) async fn greet(self) -> Result<(Multiplexed, Driver), ConnectFailure> {
        let Self { stream, stamps, clock, connect_took, tls_took } = self;
        let frames = Frames::new(clock);
        let (sender, mut connection) = client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
            .max_concurrent_reset_streams(MOST_GIVEN_UP)
            .max_local_error_reset_streams(None)
            .enable_push(false)
            .handshake(Noted::new(stream, Arc::clone(&frames)))
            .await
            .map_err(|error| ConnectFailure::Http2(error.to_string()))?;
        if let Some(mut pings) = connection.ping_pong() {
            let mut answer = pin!(pings.ping(Ping::opaque()));
            let answered = poll_fn(|context| {
                let ended = Pin::new(&mut connection).poll(context);
                match (answer.as_mut().poll(context), ended) {
                    (Poll::Ready(answer), _) => Poll::Ready(answer.map(drop)),
                    (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
                    (Poll::Pending, Poll::Ready(Ok(()))) => {
                        Poll::Ready(Err(h2::Reason::NO_ERROR.into()))
                    }
                    (Poll::Pending, Poll::Pending) => Poll::Pending,
                }
            });
            answered.await.map_err(|error| ConnectFailure::Http2(error.to_string()))?;
        }
        let turns = Arc::clone(&stamps);
        let driver = poll_fn(move |context| {
            turns.begin_turn();
            // How it ended, its streams are told.
            Pin::new(&mut connection).poll(context).map(drop)
        });
        let open = Arc::default();
        let shared = Multiplexed { sender, open, frames, stamps, connect_took, tls_took };
        Ok((shared, Box::pin(driver)))
    }
}

impl Multiplexed {
    /// Whether one more request may be sent on it.
    pub fn has_room(&self) -> bool {
        self.open() < self.most()
    }

    /// Requests that may be open on it at once: at least one, at most [`MOST_STREAMS`].
    pub fn most(&self) -> usize {
        self.sender.current_max_send_streams().clamp(1, MOST_STREAMS)
    }

    /// Requests that are open on it.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Whether it takes no further request: it has ended, or the server has said goodbye.
    pub fn is_over(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        matches!(self.sender.clone().poll_ready(&mut context), Poll::Ready(Err(_)))
    }

    /// A place for one request.
    pub fn place(&self) -> Connection {
        let Self { sender, open, frames, stamps, connect_took, tls_took } = self.clone();
        open.fetch_add(1, Relaxed);
        let way = Way::Http2(Stream { sender, open, frames, id: None });
        Connection { way, stamps, connect_took, tls_took }
    }
}

/// One request's place on a connection; where it is dropped before the answer has ended, the
/// stream is reset, and nothing else happens to the connection.
pub(crate) struct Stream {
    sender: client::SendRequest<Bytes>,
    open: Arc<AtomicUsize>,
    frames: Arc<Frames>,
    id: Option<u32>,
}

impl Stream {
    /// Sends a request and waits for the response's head.
    pub(crate) async fn send(
        &mut self,
        mut request: Request<()>,
        body: Bytes,
    ) -> Result<Response<RecvStream>, h2::Error> {
        request.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request, false)?;
        self.id = Some(response.stream_id().as_u32());
        stream.send_data(body, true)?;
        response.await
    }

    /// When its request went out.
    pub(crate) fn written(&self) -> Written {
        self.id.map(|id| self.frames.of(id)).unwrap_or_default()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Relaxed);
        if let Some(id) = self.id {
            self.frames.forget(id);
        }
    }
}

/// The next piece of an answer; what it took of the windows is given back at once.
pub(crate) async fn next_data(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    poll_fn(|context| {
        let data = ready!(body.poll_data(context));
        if let Some(Ok(data)) = &data {
            // Refused only for a stream that is over, which needs no window.
            let _ = body.flow_control().release_capacity(data.len());
        }
        Poll::Ready(data)
    })
    .await
}

/// A request without its body, from the headers of one of HTTP/1.1: the host is in the URI, and
/// there are none about the connection.
pub(crate) fn request(
    scheme: &str,
    path: &str,
    headers: &HeaderMap,
) -> Result<Request<()>, http::Error> {
    let authority = headers.get(header::HOST).map_or(&b""[..], header::HeaderValue::as_bytes);
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build()?;
    let mut request = Request::post(uri).version(Version::HTTP_2).body(())?;
    *request.headers_mut() = headers.clone();
    request.headers_mut().remove(header::HOST);
    Ok(request)
}
