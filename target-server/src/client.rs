//! Connections to the server under test, for the load.
//!
//! HTTP/1.1 by hyper over a stream that stamps its reads and writes. A connection is driven by
//! whoever awaits it: no task of its own, so that a token wakes one task once. HTTP/2, whose
//! connections many requests share, is in [`crate::multiplexed`]. Names are resolved
//! once for a run and the vetted addresses pinned; an address is vetted again when it is connected
//! to. No redirect is followed, no proxy variable read, no compressed answer asked for.

mod connection;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Request, header};
use rustls::{ClientConfig, pki_types::ServerName};
use secrecy::{ExposeSecret, SecretString};
use shared::{Call, ExtraHeaders, HttpVersion, TargetUrl};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) use self::connection::Way;
use self::connection::http;
pub use self::connection::{Broken, Connection, Head};
use crate::{
    Blocked, Egress, ResolveFailure, USER_AGENT, excerpt,
    multiplexed::{self, Session},
    stream::StampedStream,
    tls,
    wire::Wire,
};
pub use crate::{
    multiplexed::{MOST_STREAMS, Multiplexed},
    stream::{Clock, LastRead, Stamps},
};

/// What all connections of a run have in common. Cheap to share; holds the key.
pub struct Client {
    addresses: Vec<SocketAddr>,
    next_address: AtomicUsize,
    egress: Egress,
    key: Option<SecretString>,
    tls: Option<Tls>,
    path: hyper::Uri,
    headers: HeaderMap,
    /// A request up to the number of its body's bytes.
    head: Vec<u8>,
    /// What a request of HTTP/2 begins with; none: HTTP/1.1 is spoken.
    http2: Option<Request<()>>,
    connect_timeout: Duration,
    looked_up_in: Option<Duration>,
    keeps_connections: bool,
}

/// Why there can be no client for a target.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The name did not resolve, or to nothing that may be reached.
    #[error(transparent)]
    Resolve(#[from] ResolveFailure),
    /// The platform's certificates cannot be read.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The target does not speak the HTTP that was asked for.
    #[error("http_version is 2, but the target does not speak HTTP/2 ({0}); try http_version 1.1")]
    NoHttp2(String),
    /// The URL's parts make no valid request.
    #[error("the target's URL makes no valid request: {0}")]
    Request(String),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFailure {
    /// The address must not be reached.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// No TCP connection.
    #[error("could not connect: {0}")]
    Tcp(#[source] io::Error),
    /// No TLS session.
    #[error("no TLS session: {0}")]
    Tls(#[source] io::Error),
    /// The target does not speak HTTP/2.
    #[error("no HTTP/2: {0}")]
    Http2(String),
    /// Not in time.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
}

impl ConnectFailure {
    /// The same for another request that waited for the same connection.
    #[must_use]
    pub fn again(&self) -> Self {
        let again = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        match self {
            Self::Blocked(blocked) => Self::Blocked(*blocked),
            Self::Tcp(error) => Self::Tcp(again(error)),
            Self::Tls(error) => Self::Tls(again(error)),
            Self::Http2(words) => Self::Http2(words.clone()),
            Self::Timeout(limit) => Self::Timeout(*limit),
        }
    }
}

impl Client {
    /// Resolves the target and prepares requests as `call` says.
    pub async fn new(
        url: &TargetUrl,
        call: &Call,
        key: Option<&SecretString>,
        egress: Egress,
        connect_timeout: Duration,
    ) -> Result<Self, ClientError> {
        let (addresses, looked_up_in) = egress.resolve_timed(url).await?;
        let endpoint = url.endpoint(call.endpoint.path());
        let path =
            endpoint.path().parse().map_err(|_| ClientError::Request(endpoint.to_string()))?;
        let headers = headers(url, call, key)?;
        Ok(Self {
            addresses,
            next_address: AtomicUsize::new(0),
            egress,
            key: key.cloned(),
            tls: (endpoint.scheme() == "https").then(|| tls_to(url, call)).transpose()?,
            head: head(endpoint.path(), &headers),
            http2: match call.http_version {
                HttpVersion::Http1 => None,
                HttpVersion::Http2 => Some(
                    multiplexed::request(endpoint.scheme(), endpoint.path(), &headers)
                        .map_err(|error| ClientError::Request(error.to_string()))?,
                ),
            },
            path,
            headers,
            connect_timeout,
            looked_up_in,
            keeps_connections: true,
        })
    }

    /// Where the target is, in the resolver's order.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The same with a connection of its own for each request, and told so: `connection: close`
    /// (HTTP/2 has no such header: there the connection says goodbye after its one request).
    #[must_use]
    pub fn with_fresh_connections(mut self) -> Self {
        self.headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        self.head = head(self.path.path(), &self.headers);
        Self { keeps_connections: false, ..self }
    }

    /// The same with requests that say whose they are, behind the name of this program; where the
    /// benchmark gives a `user-agent` of its own, that stays.
    pub fn labelled(mut self, label: &str) -> Result<Self, ClientError> {
        let is_ours = self.headers.get(header::USER_AGENT).is_some_and(|name| name == USER_AGENT);
        if !is_ours || label.is_empty() {
            return Ok(self);
        }
        let name = format!("{USER_AGENT} ({label})");
        let name = header::HeaderValue::from_str(&name).map_err(|_| ClientError::Request(name))?;
        if let Some(http2) = &mut self.http2 {
            http2.headers_mut().insert(header::USER_AGENT, name.clone());
        }
        self.headers.insert(header::USER_AGENT, name);
        self.head = head(self.path.path(), &self.headers);
        Ok(self)
    }

    /// Whether a connection serves again after an answer.
    pub fn keeps_connections(&self) -> bool {
        self.keeps_connections
    }

    /// How long the target's name took to look up; none: there was nothing to look up.
    pub fn looked_up_in(&self) -> Option<Duration> {
        self.looked_up_in
    }

    /// Opens a connection to the next of the target's addresses; tries the others if it refuses.
    pub async fn connect(&self, clock: &Arc<Clock>) -> Result<Connection, ConnectFailure> {
        match tokio::time::timeout(self.connect_timeout, self.connect_any(clock)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ConnectFailure::Timeout(self.connect_timeout)),
        }
    }

    /// Whether requests share connections: [`Client::open`] opens them.
    pub fn is_multiplexed(&self) -> bool {
        self.http2.is_some()
    }

    /// Opens a connection that many requests can share, once the target has shown that it speaks
    /// HTTP/2. Nothing happens on it unless the future beside it is awaited, on the thread of its
    /// requests and as a task of a queue that is worked off in order.
    pub async fn open(
        &self,
        clock: &Arc<Clock>,
    ) -> Result<(Multiplexed, multiplexed::Driver), ConnectFailure> {
        let opened = async { self.session(clock).await?.greet().await };
        match tokio::time::timeout(self.connect_timeout, opened).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ConnectFailure::Timeout(self.connect_timeout)),
        }
    }

    /// Makes sure, before any load, that a target that shall be spoken to in HTTP/2 does so. What
    /// else is wrong with it is not looked at.
    pub async fn check_version(&self) -> Result<(), ClientError> {
        if self.http2.is_none() {
            return Ok(());
        }
        let clock = Arc::new(Clock::starting_at(Instant::now()));
        let limit = self.connect_timeout;
        let session = match tokio::time::timeout(limit, self.session(&clock)).await {
            Ok(Ok(session)) => session,
            Ok(Err(ConnectFailure::Http2(words))) => return Err(ClientError::NoHttp2(words)),
            Ok(Err(_)) | Err(_) => return Ok(()),
        };
        match tokio::time::timeout(limit, session.greet()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(failure)) => Err(ClientError::NoHttp2(failure.to_string())),
            Err(_) => Err(ClientError::NoHttp2(format!("no answer to its preface in {limit:?}"))),
        }
    }

    /// Where the next request begins to try the target's addresses.
    pub fn first_address(&self) -> usize {
        self.next_address.fetch_add(1, Relaxed)
    }

    /// Begins to connect to one of the target's addresses, for a readiness loop: a request tries
    /// `first_address` and those behind it, whatever others do meanwhile.
    pub fn dial(&self, address: usize) -> Result<Wire, ConnectFailure> {
        let address = self.addresses[address % self.addresses.len()];
        self.egress.check_address(address)?;
        Wire::dial(address, self.tls.as_ref()).map_err(ConnectFailure::Tcp)
    }

    /// How long a connection may take to stand.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The request that has `body`, as it goes over an HTTP/1.1 connection.
    pub fn written(&self, body: &[u8]) -> Vec<u8> {
        const LENGTH_AND_END: usize = 24;
        let mut request = Vec::with_capacity(self.head.len() + LENGTH_AND_END + body.len());
        request.extend_from_slice(&self.head);
        write!(request, "{}\r\n\r\n", body.len()).expect("a vector takes everything");
        request.extend_from_slice(body);
        request
    }

    async fn connect_any(&self, clock: &Arc<Clock>) -> Result<Connection, ConnectFailure> {
        let (socket, connect_took) = self.reach().await?;
        self.handshake(socket, connect_took, clock).await
    }

    /// A TCP connection, and how long it took.
    async fn reach(&self) -> Result<(TcpStream, Duration), ConnectFailure> {
        let first = self.first_address();
        let mut failure = ConnectFailure::Tcp(io::ErrorKind::AddrNotAvailable.into());
        for nth in 0..self.addresses.len() {
            let address = self.addresses[(first + nth) % self.addresses.len()];
            if let Err(blocked) = self.egress.check_address(address) {
                failure = blocked.into();
                continue;
            }
            let began = Instant::now();
            match TcpStream::connect(address).await {
                Ok(socket) => return Ok((socket, began.elapsed())),
                Err(error) => failure = ConnectFailure::Tcp(error),
            }
        }
        Err(failure)
    }

    async fn handshake(
        &self,
        socket: TcpStream,
        connect_took: Duration,
        clock: &Arc<Clock>,
    ) -> Result<Connection, ConnectFailure> {
        let stream = StampedStream::new(socket, Arc::clone(clock)).map_err(ConnectFailure::Tcp)?;
        let stamps = stream.stamps();
        let mut tls_took = None;
        let (sender, driver) = match &self.tls {
            None => http(stream).await,
            Some(tls) => {
                let (session, took) = secure(tls, stream).await.map_err(ConnectFailure::Tls)?;
                tls_took = Some(took);
                http(session).await
            }
        }
        .map_err(|error| ConnectFailure::Tcp(io::Error::other(error)))?;
        let way = Way::Http1 { sender, driver, over: None };
        Ok(Connection { way, stamps, connect_took, tls_took })
    }

    /// A stream on which the target may be greeted in HTTP/2.
    async fn session(&self, clock: &Arc<Clock>) -> Result<Session, ConnectFailure> {
        let (socket, connect_took) = self.reach().await?;
        let stream = StampedStream::new(socket, Arc::clone(clock)).map_err(ConnectFailure::Tcp)?;
        let (stamps, clock) = (stream.stamps(), Arc::clone(clock));
        let Some(tls) = &self.tls else {
            let stream = Box::new(stream);
            return Ok(Session { stream, stamps, clock, connect_took, tls_took: None });
        };
        let (session, took) = secure(tls, stream).await.map_err(|error| {
            let has_no_h2 = tls::says_no_protocol(&error);
            if has_no_h2 {
                ConnectFailure::Http2(error.to_string())
            } else {
                ConnectFailure::Tls(error)
            }
        })?;
        if session.get_ref().1.alpn_protocol() != Some(tls::HTTP2) {
            return Err(ConnectFailure::Http2("its TLS agreed on no h2 by ALPN".to_owned()));
        }
        let (stream, tls_took) = (Box::new(session), Some(took));
        Ok(Session { stream, stamps, clock, connect_took, tls_took })
    }

    /// What a target said, without the key.
    pub fn scrubbed(&self, words: &str) -> String {
        excerpt::without_key(words, self.key.as_ref())
    }

    /// The beginning of a body, as an error may repeat it; `whole`: nothing came after.
    pub fn excerpt(&self, body: &[u8], whole: bool) -> String {
        excerpt::of_body(body, whole, self.key.as_ref())
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// How TLS begins: with which configuration, to whom.
type Tls = (Arc<ClientConfig>, ServerName<'static>);

fn tls_to(url: &TargetUrl, call: &Call) -> Result<Tls, ClientError> {
    let host = url.base().host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| ClientError::Request(host))?;
    let config = match call.http_version {
        HttpVersion::Http1 => tls::client_config()?,
        HttpVersion::Http2 => tls::http2_client_config()?,
    };
    Ok((config, name))
}

/// A TLS session, and how long its handshake took.
async fn secure<S>((config, name): &Tls, stream: S) -> io::Result<(TlsStream<S>, Duration)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let began = Instant::now();
    let connector = TlsConnector::from(Arc::clone(config));
    let session = connector.connect(name.clone(), stream).await?;
    Ok((session, began.elapsed()))
}

/// A request's head as it is written, up to the value of its content-length.
fn head(path: &str, headers: &HeaderMap) -> Vec<u8> {
    let mut head = format!("POST {path} HTTP/1.1\r\n").into_bytes();
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"content-length: ");
    head
}

fn headers(
    url: &TargetUrl,
    call: &Call,
    key: Option<&SecretString>,
) -> Result<HeaderMap, ClientError> {
    let authority = match url.base().port() {
        Some(port) => format!("{}:{port}", url.host()),
        None => url.host().to_string(),
    };
    let value = |text: &str| {
        header::HeaderValue::from_str(text).map_err(|_| ClientError::Request(url.to_string()))
    };
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::HOST, value(&authority)?);
    headers.insert(header::USER_AGENT, value(USER_AGENT)?);
    headers.insert(header::CONTENT_TYPE, value("application/json")?);
    let accepted = if call.stream { "text/event-stream" } else { "application/json" };
    headers.insert(header::ACCEPT, value(accepted)?);
    headers.insert(header::ACCEPT_ENCODING, value("identity")?);
    for (name, text) in call.extra_headers.iter().flat_map(ExtraHeaders::each) {
        let name = header::HeaderName::from_bytes(name.as_bytes());
        headers.insert(name.map_err(|_| ClientError::Request(url.to_string()))?, value(text)?);
    }
    if let Some(key) = key {
        let mut bearer = value(&format!("Bearer {}", key.expose_secret()))?;
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
    }
    Ok(headers)
}
