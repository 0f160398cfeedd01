//! As cheap a server as can be written: one thread, one epoll, answers made once.
//!
//! It stamps every token just before its write and serves the truth from its own record.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    time::{Duration, Instant},
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

const LISTENER: Token = Token(usize::MAX);
const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const MODELS: &str = r#"{"data":[{"id":"null"}]}"#;
/// How often it looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// When tokens are written, counted from a request's arrival.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// The first.
    pub first: Duration,
    /// Each further one; zero: all with the first, in as few writes as the socket takes.
    pub each: Duration,
}

/// What the server itself did, in ms: p50 and p99.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Written {
    /// From hearing a request to writing its first token: the truth of TTFT, but for the way there.
    pub first_ms: [f64; 2],
    /// Between two writes of a stream: the truth of ITL.
    pub gap_ms: [f64; 2],
}

/// Serves on `listener` until `stop`; `GET /record` there tells [`Written`] since it was last asked.
pub fn serve(
    listener: std::net::TcpListener,
    rhythm: Rhythm,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    Server::new(TcpListener::from_std(listener), rhythm)?.serve(stop)
}

struct Connection {
    socket: TcpStream,
    got: Vec<u8>,
    /// What the socket did not take at once.
    backlog: Vec<u8>,
    tokens: u32,
    left: u32,
    heard: Instant,
    due: Instant,
    last_write: Option<Instant>,
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    rhythm: Rhythm,
    connections: Vec<Option<Connection>>,
    /// Streams by when they are due: all have one rhythm, so the order never changes.
    first_due: VecDeque<usize>,
    next_due: VecDeque<usize>,
    firsts_us: Vec<u32>,
    gaps_us: Vec<u32>,
    token: Vec<u8>,
}

fn chunk(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

/// What follows an answer's tokens.
fn end(tokens: u32) -> Vec<u8> {
    let finish = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;
    let usage = format!(
        r#"data: {{"choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":{tokens}}}}}"#
    );
    let mut end = chunk(&format!("{finish}\n\n{usage}\n\ndata: [DONE]\n\n"));
    end.extend_from_slice(b"0\r\n\r\n");
    end
}

fn whole(json: &str) -> Vec<u8> {
    let length = json.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}")
        .into_bytes()
}

/// p50 and p99 in ms; and forgets them.
fn percentiles(us: &mut Vec<u32>) -> [f64; 2] {
    us.sort_unstable();
    let at = |percent| us.get(us.len() * percent / 100).map_or(0.0, |us| f64::from(*us) / 1e3);
    let both = [at(50), at(99)];
    us.clear();
    both
}

fn us_between(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.duration_since(from).as_micros()).unwrap_or(u32::MAX)
}

impl Server {
    fn new(mut listener: TcpListener, rhythm: Rhythm) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        // The length of a usual server's event.
        let event = r#"data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1790000000,"model":"null","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}"#;
        Ok(Self {
            poll,
            listener,
            rhythm,
            connections: Vec::new(),
            first_due: VecDeque::new(),
            next_due: VecDeque::new(),
            firsts_us: Vec::new(),
            gaps_us: Vec::new(),
            token: chunk(&format!("{event}\n\n")),
        })
    }

    fn serve(&mut self, stop: &CancellationToken) -> std::io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !stop.is_cancelled() {
            let due = [&self.first_due, &self.next_due]
                .into_iter()
                .filter_map(|queue| Some(self.connections[*queue.front()?].as_ref()?.due))
                .min();
            let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
            let wait = wait.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != ErrorKind::Interrupted
            {
                return Err(error);
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(index) => self.hear(index),
                }
            }
            self.write_due();
        }
        Ok(())
    }

    fn accept(&mut self) -> std::io::Result<()> {
        while let Ok((mut socket, _)) = self.listener.accept() {
            socket.set_nodelay(true)?;
            let free = self.connections.iter().rposition(Option::is_none);
            let index = free.unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(index), both)?;
            let now = Instant::now();
            self.connections[index] = Some(Connection {
                socket,
                got: Vec::new(),
                backlog: Vec::new(),
                tokens: 0,
                left: 0,
                heard: now,
                due: now,
                last_write: None,
            });
        }
        Ok(())
    }

    fn hear(&mut self, index: usize) {
        let Some(connection) = self.connections[index].as_mut() else { return };
        connection.flush();
        let mut buffer = [0; 4096];
        let mut closed = false;
        loop {
            match connection.socket.read(&mut buffer) {
                Ok(0) => {
                    closed = true;
                    break;
                }
                Ok(bytes) => connection.got.extend_from_slice(&buffer[..bytes]),
                Err(_) => break,
            }
        }
        if let Some((path, length, tokens)) = request(&connection.got) {
            connection.got.drain(..length);
            match path {
                Path::Chat => {
                    (connection.tokens, connection.left) = (tokens, tokens);
                    connection.heard = Instant::now();
                    connection.due = connection.heard + self.rhythm.first;
                    connection.last_write = None;
                    connection.write(HEAD);
                    self.first_due.push_back(index);
                }
                Path::Models => connection.write(&whole(MODELS)),
                Path::Record => {
                    let written = Written {
                        first_ms: percentiles(&mut self.firsts_us),
                        gap_ms: percentiles(&mut self.gaps_us),
                    };
                    connection.write(&whole(&serde_json::to_string(&written).unwrap_or_default()));
                }
            }
        }
        // A stream that is still due keeps its place: the queues name it.
        if closed && std::mem::take(&mut connection.left) == 0 {
            self.connections[index] = None;
        }
    }

    fn write_due(&mut self) {
        for first in [true, false] {
            loop {
                let queue = if first { &mut self.first_due } else { &mut self.next_due };
                let Some(index) = queue.front().copied() else { break };
                let Some(connection) = self.connections[index].as_mut() else {
                    queue.pop_front();
                    continue;
                };
                let now = Instant::now();
                if connection.due > now {
                    break;
                }
                queue.pop_front();
                if connection.left == 0 {
                    self.connections[index] = None;
                    continue;
                }
                if self.rhythm.each.is_zero() {
                    let all = self.token.repeat(connection.left as usize);
                    connection.left = 0;
                    connection.write(&all);
                } else {
                    connection.left -= 1;
                    match connection.last_write {
                        Some(last) => self.gaps_us.push(us_between(last, now)),
                        None => self.firsts_us.push(us_between(connection.heard, now)),
                    }
                    connection.last_write = Some(now);
                    connection.write(&self.token);
                }
                if connection.left == 0 {
                    connection.write(&end(connection.tokens));
                } else {
                    connection.due += self.rhythm.each;
                    self.next_due.push_back(index);
                }
            }
        }
    }
}

impl Connection {
    fn write(&mut self, bytes: &[u8]) {
        self.flush();
        let taken = if self.backlog.is_empty() { self.socket.write(bytes).unwrap_or(0) } else { 0 };
        self.backlog.extend_from_slice(&bytes[taken..]);
    }

    fn flush(&mut self) {
        while !self.backlog.is_empty() {
            match self.socket.write(&self.backlog) {
                Ok(taken) => drop(self.backlog.drain(..taken)),
                Err(_) => return,
            }
        }
    }
}

enum Path {
    Chat,
    Models,
    Record,
}

/// Whether a whole request is there: what for, how long is it, how many tokens does it want?
fn request(got: &[u8]) -> Option<(Path, usize, u32)> {
    let text = String::from_utf8_lossy(got);
    let head = text.find("\r\n\r\n")? + 4;
    let number = |text: &str, name: &str| -> Option<usize> {
        let digits = &text[text.find(name)? + name.len()..];
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().ok()
    };
    let length = head + number(&text[..head].to_ascii_lowercase(), "content-length: ").unwrap_or(0);
    if got.len() < length {
        return None;
    }
    let path = match text.split(' ').nth(1) {
        Some("/record") => Path::Record,
        Some(path) if path.ends_with("/models") => Path::Models,
        _ => Path::Chat,
    };
    let tokens = number(&text[head..], "\"max_tokens\":").unwrap_or(1);
    Some((path, length, u32::try_from(tokens).unwrap_or(1)))
}
