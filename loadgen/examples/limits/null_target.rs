//! As cheap a server as can be written: one thread, one epoll, answers made once.
//!
//! It stamps every token just before its write and serves the truth from its own record.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

const LISTENER: Token = Token(usize::MAX);
const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const MODELS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 24\r\n\r\n{\"data\":[{\"id\":\"null\"}]}";

/// When tokens are written, counted from a request's arrival.
#[derive(Clone, Copy)]
pub struct Rhythm {
    /// The first.
    pub first: Duration,
    /// Each further one; zero: all with the first, in as few writes as the socket takes.
    pub each: Duration,
}

/// The server, until it is dropped.
pub struct NullTarget {
    address: SocketAddr,
    gaps_us: Arc<Mutex<Vec<u32>>>,
}

impl NullTarget {
    /// Starts it on core 0.
    pub fn start(rhythm: Rhythm) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
        let address = listener.local_addr()?;
        let gaps_us = Arc::<Mutex<Vec<u32>>>::default();
        let record = Arc::clone(&gaps_us);
        thread::spawn(move || {
            crate::pin_to(0);
            Server::new(listener, rhythm, record).and_then(|mut server| server.serve())
        });
        Ok(Self { address, gaps_us })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets what was written so far.
    pub fn forget(&self) {
        self.gaps_us.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// 99th percentile of the gaps between the writes of a stream, in ms.
    pub fn written_gap_p99_ms(&self) -> f64 {
        let mut gaps = self.gaps_us.lock().unwrap_or_else(PoisonError::into_inner).clone();
        gaps.sort_unstable();
        gaps.get(gaps.len() * 99 / 100).map_or(f64::NAN, |us| f64::from(*us) / 1e3)
    }
}

struct Connection {
    socket: TcpStream,
    got: Vec<u8>,
    /// What the socket did not take at once.
    backlog: Vec<u8>,
    left: u32,
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
    gaps_us: Arc<Mutex<Vec<u32>>>,
    token: Vec<u8>,
    end: Vec<u8>,
}

fn chunk(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

impl Server {
    fn new(
        mut listener: TcpListener,
        rhythm: Rhythm,
        gaps_us: Arc<Mutex<Vec<u32>>>,
    ) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        // The length of a usual server's event.
        let event = r#"data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1790000000,"model":"null","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}"#;
        let finish = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;
        let mut end = chunk(&format!("{finish}\n\ndata: [DONE]\n\n"));
        end.extend_from_slice(b"0\r\n\r\n");
        Ok(Self {
            poll,
            listener,
            rhythm,
            connections: Vec::new(),
            first_due: VecDeque::new(),
            next_due: VecDeque::new(),
            gaps_us,
            token: chunk(&format!("{event}\n\n")),
            end,
        })
    }

    fn serve(&mut self) -> std::io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let due = [&self.first_due, &self.next_due]
                .into_iter()
                .filter_map(|queue| Some(self.connections[*queue.front()?].as_ref()?.due))
                .min();
            let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
            if let Err(error) = self.poll.poll(&mut events, wait)
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
    }

    fn accept(&mut self) -> std::io::Result<()> {
        while let Ok((mut socket, _)) = self.listener.accept() {
            socket.set_nodelay(true)?;
            let token = Token(self.connections.len());
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, token, both)?;
            self.connections.push(Some(Connection {
                socket,
                got: Vec::new(),
                backlog: Vec::new(),
                left: 0,
                due: Instant::now(),
                last_write: None,
            }));
        }
        Ok(())
    }

    fn hear(&mut self, index: usize) {
        let Some(connection) = self.connections[index].as_mut() else { return };
        connection.flush();
        let mut buffer = [0; 4096];
        loop {
            match connection.socket.read(&mut buffer) {
                Ok(0) => {
                    connection.left = 0;
                    return;
                }
                Ok(bytes) => connection.got.extend_from_slice(&buffer[..bytes]),
                Err(_) => break,
            }
        }
        let Some((is_chat, length, tokens)) = request(&connection.got) else { return };
        connection.got.drain(..length);
        if is_chat {
            connection.left = tokens;
            connection.due = Instant::now() + self.rhythm.first;
            connection.last_write = None;
            connection.write(HEAD);
            self.first_due.push_back(index);
        } else {
            connection.write(MODELS);
        }
    }

    fn write_due(&mut self) {
        for first in [true, false] {
            loop {
                let queue = if first { &mut self.first_due } else { &mut self.next_due };
                let Some(index) = queue.front().copied() else { break };
                let Some(connection) = self.connections[index].as_mut() else { break };
                let now = Instant::now();
                if connection.due > now {
                    break;
                }
                queue.pop_front();
                if connection.left == 0 {
                    continue;
                }
                if self.rhythm.each.is_zero() {
                    let all = self.token.repeat(connection.left as usize);
                    connection.left = 0;
                    connection.write(&all);
                } else {
                    connection.left -= 1;
                    if let Some(last) = connection.last_write {
                        let gap = now.duration_since(last).as_micros();
                        let mut gaps = self.gaps_us.lock().unwrap_or_else(PoisonError::into_inner);
                        gaps.push(u32::try_from(gap).unwrap_or(u32::MAX));
                    }
                    connection.last_write = Some(now);
                    connection.write(&self.token);
                }
                if connection.left == 0 {
                    connection.write(&self.end);
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

/// Whether a whole request is there: is it a chat, how long is it, how many tokens does it want?
fn request(got: &[u8]) -> Option<(bool, usize, u32)> {
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
    let tokens = number(&text[head..], "\"max_tokens\":").unwrap_or(1);
    Some((text.starts_with("POST"), length, u32::try_from(tokens).unwrap_or(1)))
}
