//! A server under test that does exactly what a test says, byte by byte and at its times.
//!
//! Raw TCP on threads of its own: no HTTP library stands between a script and the wire, so that it
//! can say what no library would, and no test's runtime delays a write. Every write is stamped just
//! before it happens; a test compares that with what a client measured.

mod chat;
mod connection;
mod script;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

pub use chat::Chat;
use connection::Actor;
pub use script::Script;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Which request of this server it is, from 0.
    pub number: usize,
    /// Which connection it came on, from 0.
    pub connection: usize,
    /// When its last byte had been read.
    pub at: Instant,
    /// `GET`, `POST` ...
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case, values as they came, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// The first header of that name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the request's body is JSON")
    }
}

/// One write to a client.
#[derive(Clone, Copy, Debug)]
pub struct Wrote {
    /// The request it answers: [`Received::number`].
    pub request: usize,
    /// Just before the bytes were handed to the kernel.
    pub at: Instant,
    /// How many they were.
    pub bytes: usize,
}

type Answer = dyn Fn(&Received) -> Script + Send + Sync;

#[derive(Default)]
struct Route {
    /// Played first, each once.
    once: VecDeque<Script>,
    /// Played from then on.
    always: Option<Box<Answer>>,
}

#[derive(Default)]
struct Stage {
    routes: Mutex<BTreeMap<String, Route>>,
    requests: Mutex<Vec<Received>>,
    writes: Mutex<Vec<Wrote>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    over: AtomicBool,
}

/// What a server will answer; [`Stagecraft::start`] lets it.
#[derive(Default)]
pub struct Stagecraft(BTreeMap<String, Route>);

impl Stagecraft {
    /// Answers every request to `route` (`"GET /v1/models"`) with the script.
    #[must_use]
    pub fn on(self, route: &str, script: Script) -> Self {
        self.with(route, move |_| script.clone())
    }

    /// Answers one request to `route` with the script, before those that [`Stagecraft::on`] or
    /// [`Stagecraft::with`] answer; several play in their order.
    #[must_use]
    pub fn once(mut self, route: &str, script: Script) -> Self {
        self.0.entry(route.to_owned()).or_default().once.push_back(script);
        self
    }

    /// Answers every request to `route` with what `answer` makes of it.
    #[must_use]
    pub fn with(
        mut self,
        route: &str,
        answer: impl Fn(&Received) -> Script + Send + Sync + 'static,
    ) -> Self {
        self.0.entry(route.to_owned()).or_default().always = Some(Box::new(answer));
        self
    }

    /// Starts the server on a free loopback port. A request to a route that was not named gets a
    /// 404.
    ///
    /// # Panics
    ///
    /// If this machine gives no port or thread.
    pub fn start(self) -> ScriptedServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let stage = Arc::new(Stage { routes: Mutex::new(self.0), ..Stage::default() });
        let accepting = Arc::clone(&stage);
        let acceptor = thread::Builder::new()
            .name("scripted-server".to_owned())
            .spawn(move || accept(&listener, &accepting))
            .expect("a thread");
        ScriptedServer { address, stage, acceptor: Some(acceptor) }
    }
}

/// A server that plays scripts until it is dropped.
pub struct ScriptedServer {
    address: SocketAddr,
    stage: Arc<Stage>,
    acceptor: Option<JoinHandle<()>>,
}

impl ScriptedServer {
    /// A server that answers nothing yet.
    pub fn scripted() -> Stagecraft {
        Stagecraft::default()
    }

    /// A whole little LLM server: lists the chat's model and answers every chat alike.
    pub fn chat(chat: &Chat) -> Self {
        Self::scripted()
            .on("GET /v1/models", chat.models())
            .on("POST /v1/chat/completions", chat.script())
            .start()
    }

    /// A server that lists the model `tiny` and plays one script to every chat.
    pub fn chat_script(script: Script) -> Self {
        Self::scripted()
            .on("GET /v1/models", Script::models(&["tiny"]))
            .on("POST /v1/chat/completions", script)
            .start()
    }

    /// A URL on which every connection is refused: its port was free a moment ago.
    ///
    /// # Panics
    ///
    /// If this machine gives no port.
    pub fn refusing_url() -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        format!("http://{}", listener.local_addr().expect("a bound socket has an address"))
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Received> {
        held(&self.stage.requests).clone()
    }

    /// The requests so far to one path, whatever their query.
    pub fn requests_to(&self, path: &str) -> Vec<Received> {
        let mut requests = self.requests();
        requests.retain(|request| request.path.split('?').next() == Some(path));
        requests
    }

    /// Every write so far, in the order in which they were made.
    pub fn writes(&self) -> Vec<Wrote> {
        held(&self.stage.writes).clone()
    }

    /// The writes that answered one request.
    pub fn writes_to(&self, request: usize) -> Vec<Wrote> {
        let mut writes = self.writes();
        writes.retain(|wrote| wrote.request == request);
        writes
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.stage.connections.load(SeqCst)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.stage.open.load(SeqCst)
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.stage.over.store(true, SeqCst);
        // Wakes the acceptor, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl fmt::Debug for ScriptedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for Stagecraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stagecraft").field(&self.0.keys()).finish()
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, stage: &Arc<Stage>) {
    for stream in listener.incoming() {
        if stage.over.load(SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let connection = stage.connections.fetch_add(1, SeqCst);
        stage.open.fetch_add(1, SeqCst);
        let playing = Arc::clone(stage);
        let played = thread::Builder::new().spawn(move || {
            Actor::new(stream, &playing, connection).play();
            playing.open.fetch_sub(1, SeqCst);
        });
        if played.is_err() {
            stage.open.fetch_sub(1, SeqCst);
        }
    }
}

impl Stage {
    /// Numbers the request and keeps it.
    fn keep(&self, request: &mut Received) {
        let mut requests = held(&self.requests);
        request.number = requests.len();
        requests.push(request.clone());
    }

    fn script_for(&self, request: &Received) -> Script {
        let path = request.path.split('?').next().unwrap_or_default();
        let mut routes = held(&self.routes);
        let route = routes.get_mut(&format!("{} {path}", request.method));
        if let Some(route) = route {
            if let Some(script) = route.once.pop_front() {
                return script;
            }
            if let Some(answer) = &route.always {
                return answer(request);
            }
        }
        Script::json(404, &serde_json::json!({"error": {"message": format!("no {path} here")}}))
    }
}

#[cfg(test)]
mod tests;
