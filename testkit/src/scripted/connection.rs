//! One connection of a scripted server: reads requests, plays scripts, stamps writes.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::atomic::Ordering::SeqCst,
    thread,
    time::{Duration, Instant},
};

use nix::{
    libc,
    sys::socket::{setsockopt, sockopt},
};

use super::{Received, Script, Stage, Wrote, held, script::Step};

/// How often a waiting thread looks whether the server is gone.
const TICK: Duration = Duration::from_millis(20);

/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// What follows a script.
enum Then {
    /// The next request on the same connection.
    NextRequest,
    /// Nothing: the connection is gone.
    Gone,
}

/// One connection.
pub(super) struct Actor<'s> {
    stream: TcpStream,
    stage: &'s Stage,
    connection: usize,
    unread: Vec<u8>,
}

impl<'s> Actor<'s> {
    pub(super) fn new(stream: TcpStream, stage: &'s Stage, connection: usize) -> Self {
        Self { stream, stage, connection, unread: Vec::new() }
    }

    /// Answers requests until the connection is gone.
    pub(super) fn play(mut self) {
        let _ = self.stream.set_nodelay(true);
        let _ = self.stream.set_read_timeout(Some(TICK));
        while let Some(mut request) = self.receive() {
            self.stage.keep(&mut request);
            let script = self.stage.script_for(&request);
            if let Then::Gone = self.perform(script, request.number) {
                return;
            }
        }
    }

    /// The next request; none: the client has gone, or it is over.
    fn receive(&mut self) -> Option<Received> {
        let head_end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if self.unread.len() > MAX_HEAD_BYTES {
                return None;
            }
            self.read_more()?;
        };
        let head = String::from_utf8_lossy(&self.unread[..head_end]).into_owned();
        self.unread.drain(..head_end + 4);
        let mut lines = head.split("\r\n");
        let mut request_line = lines.next()?.split(' ');
        let (method, path) = (request_line.next()?.to_owned(), request_line.next()?.to_owned());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(Some(0), |(_, value)| value.parse::<usize>().ok())?;
        while self.unread.len() < length {
            self.read_more()?;
        }
        let body = self.unread.drain(..length).collect();
        let (connection, at) = (self.connection, Instant::now());
        Some(Received { number: 0, connection, at, method, path, headers, body })
    }

    fn read_more(&mut self) -> Option<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(bytes) => {
                    self.unread.extend_from_slice(&buffer[..bytes]);
                    return Some(());
                }
                Err(error) if is_tick(&error) && !self.is_over() => (),
                Err(_) => return None,
            }
        }
    }

    fn perform(&mut self, script: Script, request: usize) -> Then {
        for step in script.into_steps() {
            match step {
                Step::Write(bytes) => {
                    let wrote = Wrote { request, at: Instant::now(), bytes: bytes.len() };
                    held(&self.stage.writes).push(wrote);
                    if self.stream.write_all(&bytes).is_err() {
                        return Then::Gone;
                    }
                }
                Step::Wait(time) => {
                    if !self.wait(time) {
                        return Then::Gone;
                    }
                }
                Step::Close => {
                    let _ = self.stream.shutdown(Shutdown::Both);
                    return Then::Gone;
                }
                Step::Reset => {
                    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
                    let _ = setsockopt(&self.stream, sockopt::Linger, &at_once);
                    return Then::Gone;
                }
                Step::Stall => {
                    // Until the client gives up.
                    while self.read_more().is_some() {}
                    return Then::Gone;
                }
            }
        }
        Then::NextRequest
    }

    /// Whether the time passed; false: it was over before.
    fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            if self.is_over() {
                return false;
            }
            thread::sleep(left.min(TICK));
        }
    }

    fn is_over(&self) -> bool {
        self.stage.over.load(SeqCst)
    }
}

pub(super) fn is_tick(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
