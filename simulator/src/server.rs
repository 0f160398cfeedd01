//! The listener, its connections, and what each path answers.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{
    Method, Request as HttpRequest, Response, StatusCode,
    body::Incoming,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SERVER, USER_AGENT,
    },
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    InvalidSettings, Settings,
    answer::{Answer, Fault},
    dialect::{self, Endpoint, MOST_TOKENS, Refusal, Request},
    frame::Frame,
    prometheus,
    stats::{Counters, OpenAnswer},
    stream::{AnswerStream, Step},
    words::Words,
};

/// Largest request body, in bytes.
const MAX_BODY: usize = 16 << 20;

/// One request for an answer.
struct Call {
    endpoint: Endpoint,
    number: u64,
    arrived: Instant,
    /// Told when the answer ends, where its connection is to end with it.
    closes: Option<Arc<Notify>>,
}

type Answered = Response<Either<Full<Bytes>, AnswerStream>>;

struct Simulator {
    settings: Settings,
    counters: Arc<Counters>,
    words: Arc<Words>,
    started_s: u64,
}

/// Answers what `listener` accepts until `shutdown`; what is open then is cut.
///
/// `GET /v1/models`, `POST` to `/v1/chat/completions`, `/v1/completions`, `/v1/responses` and
/// `/v1/embeddings`, `GET /health`, `GET /stats` for what the server counted ([`crate::Stats`]),
/// `GET /metrics` for the same in Prometheus' format and vLLM's names.
///
/// # Errors
///
/// Settings that contradict each other, at once.
pub async fn serve(
    settings: Settings,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), InvalidSettings> {
    settings.check()?;
    let simulator = Arc::new(Simulator {
        settings,
        counters: Arc::default(),
        words: Arc::new(Words::new(MOST_TOKENS as usize)),
        started_s: now_s(),
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    simulator.counters.connections.fetch_add(1, Relaxed);
                    connections.spawn(connection(Arc::clone(&simulator), stream));
                }
                Err(error) => {
                    // Mostly "too many open files": it passes when connections close.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
        }
    }
}

async fn connection(simulator: Arc<Simulator>, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch Nagle's algorithm off");
    }
    let is_http2 = begins_as_http2(&stream).await;
    let closes = Arc::new(Notify::new());
    let service = service_fn(|request| {
        let (simulator, closes) = (Arc::clone(&simulator), Arc::clone(&closes));
        async move { Ok::<_, Infallible>(simulator.answer(request, closes).await) }
    });
    let stream = TokioIo::new(stream);
    let ended = if is_http2 {
        let most = simulator.settings.http2_streams;
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        let served = http2.max_concurrent_streams(most).serve_connection(stream, service);
        let mut served = pin!(served);
        tokio::select! {
            ended = &mut served => ended,
            () = closes.notified() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    } else {
        let mut served = pin!(http1::Builder::new().serve_connection(stream, service));
        tokio::select! {
            ended = &mut served => ended,
            () = closes.notified() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    };
    // Clients that leave and cuts that were asked for end here; both are in the counters.
    if let Err(error) = ended {
        tracing::trace!(%error, "connection ended");
    }
}

/// Whether a client greets in HTTP/2: `PRI * HTTP/2.0`, a method that HTTP/1.1 has not.
async fn begins_as_http2(stream: &TcpStream) -> bool {
    const BEGINNING: &[u8] = b"PRI";
    let mut seen = [0; BEGINNING.len()];
    loop {
        match stream.peek(&mut seen).await {
            Ok(bytes) if bytes == BEGINNING.len() => return seen == BEGINNING,
            // A part of it: the rest is on its way.
            Ok(bytes) if bytes > 0 && BEGINNING.starts_with(&seen[..bytes]) => {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            _ => return false,
        }
    }
}

impl Simulator {
    async fn answer(&self, request: HttpRequest<Incoming>, closes: Arc<Notify>) -> Answered {
        let arrived = Instant::now();
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/" | "/health") => {
                json(StatusCode::OK, Bytes::from("{\"status\":\"ok\"}"))
            }
            (&Method::GET, "/stats") => {
                let stats = serde_json::to_vec(&self.counters.read()).unwrap_or_default();
                json(StatusCode::OK, stats.into())
            }
            (&Method::GET, "/metrics") => {
                let text = prometheus::of(&self.counters.read(), &self.settings.model);
                respond(StatusCode::OK, prometheus::CONTENT_TYPE, Either::Left(Full::new(text)))
            }
            (&Method::GET, "/v1/models") => match self.authorized(&request) {
                Ok(()) => {
                    json(StatusCode::OK, dialect::models(&self.settings.model, self.started_s))
                }
                Err(refusal) => refused(&refusal),
            },
            (&Method::POST, path) => match Endpoint::at(path) {
                Some(endpoint) => self.completion(request, endpoint, arrived, closes).await,
                None => refused(&Refusal::UnknownPath),
            },
            _ => refused(&Refusal::UnknownPath),
        }
    }

    fn authorized<B>(&self, request: &HttpRequest<B>) -> Result<(), Refusal> {
        let Some(key) = &self.settings.api_key else { return Ok(()) };
        let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        match given.and_then(|value| value.strip_prefix("Bearer ")) {
            Some(given) if given == key => Ok(()),
            _ => Err(Refusal::Key),
        }
    }

    async fn completion(
        &self,
        request: HttpRequest<Incoming>,
        endpoint: Endpoint,
        arrived: Instant,
        closes: Arc<Notify>,
    ) -> Answered {
        let number = self.counters.request();
        if let Some(name) = request.headers().get(USER_AGENT) {
            self.counters.callers.arrived(name.as_bytes());
        }
        let nth = |every: u64| every > 0 && (number + 1).is_multiple_of(every);
        let closes = nth(self.settings.silent_close_every).then_some(closes);
        let call = Call { endpoint, number, arrived, closes };
        let mut answered = match self.planned(request, endpoint, number).await {
            Ok((request, answer)) => self.deliver(&request, answer, call).await,
            Err(refusal) => {
                match refusal {
                    Refusal::TooManyRequests => self.counters.fault(Fault::TooManyRequests),
                    Refusal::ServerError => self.counters.fault(Fault::ServerError),
                    _ => _ = self.counters.refused.fetch_add(1, Relaxed),
                }
                refused(&refusal)
            }
        };
        if nth(self.settings.close_every) {
            answered.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answered
    }

    async fn planned(
        &self,
        request: HttpRequest<Incoming>,
        endpoint: Endpoint,
        number: u64,
    ) -> Result<(Request, Answer), Refusal> {
        self.authorized(&request)?;
        let body = Limited::new(request.into_body(), MAX_BODY)
            .collect()
            .await
            .map_err(|error| Refusal::Unreadable(error.to_string()))?
            .to_bytes();
        let request = Request::read(&body, endpoint, &self.settings)?;
        let answer = Answer::plan(&self.settings, number, request.length());
        match answer.fault {
            Some(Fault::TooManyRequests) => Err(Refusal::TooManyRequests),
            Some(Fault::ServerError) => Err(Refusal::ServerError),
            _ => Ok((request, answer)),
        }
    }

    async fn deliver(&self, request: &Request, answer: Answer, call: Call) -> Answered {
        let Call { endpoint, number, arrived, closes } = call;
        let prompt_tokens = request.prompt_tokens();
        let open = OpenAnswer::new(&self.counters, prompt_tokens);
        let frame = Frame::new(endpoint, number, now_s(), &self.settings.model);
        let streams = request.stream && endpoint != Endpoint::Embeddings;
        let tells = request.include_usage() || !streams || endpoint == Endpoint::Responses;
        let told = tells && !self.settings.no_usage;
        let answer =
            if endpoint == Endpoint::Embeddings { answer.without_tokens() } else { answer };
        let mut stream = AnswerStream {
            answer,
            frame,
            words: Arc::clone(&self.words),
            open,
            arrived,
            tokens_per_chunk: self.settings.tokens_per_chunk,
            usage_of_prompt: told.then_some(prompt_tokens),
            closes,
            sent: 0,
            step: Step::Opening,
            timer: AnswerStream::timer(arrived),
        };
        if streams {
            return respond(StatusCode::OK, "text/event-stream", Either::Right(stream));
        }
        sleep_until(arrived + stream.answer.last_due()).await;
        match stream.answer.fault {
            Some(Fault::Stall) => {
                stream.open.fault(Fault::Stall);
                std::future::pending().await
            }
            Some(Fault::Malformed) => {
                stream.open.fault(Fault::Malformed);
                stream.open.broken();
                json(StatusCode::OK, stream.frame.malformed().slice("data: ".len()..))
            }
            Some(fault) => {
                stream.step = Step::Fault(fault);
                respond(StatusCode::OK, "application/json", Either::Right(stream))
            }
            None => json(StatusCode::OK, stream.whole()),
        }
    }
}

fn refused(refusal: &Refusal) -> Answered {
    let mut response = json(refusal.status(), refusal.body());
    if matches!(refusal, Refusal::TooManyRequests) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn json(status: StatusCode, body: Bytes) -> Answered {
    respond(status, "application/json", Either::Left(Full::new(body)))
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: Either<Full<Bytes>, AnswerStream>,
) -> Answered {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers
        .insert(SERVER, HeaderValue::from_static(concat!("simulator/", env!("CARGO_PKG_VERSION"))));
    response
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
