//! A connection to the target for a readiness loop: TCP, TLS where there is TLS, and stamps.
//!
//! Never waits: each call does what the socket allows and returns. Buffers belong to the load
//! thread, so that a stream that is only waiting holds next to nothing.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    sync::Arc,
};

use mio::{Interest, Registry, Token, net::TcpStream};
use nix::cmsg_space;
use nix::sys::time::TimeSpec;
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

use crate::stream::{Clock, LastRead, Stamps, ask_for_stamps, receive};

/// Bytes of one read: more than a burst of tokens, less than what a cache holds.
const READ_BYTES: usize = 16 * 1024;

/// What a load thread's reads go through, one after the other.
pub struct ReadBuffer {
    raw: Vec<u8>,
    plain: Vec<u8>,
    control: Vec<u8>,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self { raw: vec![0; READ_BYTES], plain: Vec::new(), control: cmsg_space!([TimeSpec; 3]) }
    }
}

/// What a read brought.
pub struct Received<'a> {
    /// The bytes; empty in the middle of a TLS record or handshake.
    pub bytes: &'a [u8],
    /// When they arrived.
    pub read: LastRead,
    /// Whether there may be more at once.
    pub more: bool,
    /// Whether the server has closed its side.
    pub closed: bool,
}

/// A connection.
pub struct Wire {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    connected: bool,
    /// What the socket has not taken yet.
    outgoing: Vec<u8>,
    stamps: Stamps,
}

impl Wire {
    /// Begins to connect.
    pub(crate) fn dial(
        address: SocketAddr,
        tls: Option<&(Arc<ClientConfig>, ServerName<'static>)>,
    ) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        let tls = match tls {
            Some((config, name)) => {
                let session = ClientConnection::new(Arc::clone(config), name.clone());
                Some(Box::new(session.map_err(io::Error::other)?))
            }
            None => None,
        };
        let stamps = Stamps::default();
        Ok(Self { socket, tls, connected: false, outgoing: Vec::new(), stamps })
    }

    /// Has `registry` tell when there is something to do, under `token`.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Whether the server has neither closed it nor said anything that nobody has read.
    pub fn is_quiet(&self) -> bool {
        let nothing = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.socket.peek(&mut [0]).is_err_and(nothing)
    }

    /// Has it told of under `token` from now on, where it is registered already.
    pub fn register_anew(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.reregister(&mut self.socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// What it notes of its reads and writes.
    pub fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// Whether TCP stands; to be asked when the socket is writable.
    ///
    /// # Errors
    ///
    /// Why it never will.
    pub fn is_connected(&mut self) -> io::Result<bool> {
        if self.connected {
            return Ok(true);
        }
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => {
                self.socket.set_nodelay(true)?;
                ask_for_stamps(&self.socket);
                self.connected = true;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether there is TLS.
    pub fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether a TLS handshake is still under way.
    pub fn is_shaking_hands(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.is_handshaking())
    }

    /// Sends a request: the first byte that is written from here on is stamped.
    pub fn send(&mut self, clock: &Clock, request: &[u8]) -> io::Result<()> {
        self.stamps.expect_send();
        if let Some(session) = &mut self.tls {
            session.writer().write_all(request)?;
        } else if self.outgoing.is_empty() {
            // Mostly all of it is taken at once, and nothing need be kept.
            let (written, outcome) = self.write(clock, request);
            self.outgoing.extend_from_slice(&request[written..]);
            return outcome;
        } else {
            self.outgoing.extend_from_slice(request);
        }
        self.flush(clock)
    }

    /// Writes what is left, as far as the socket takes it.
    pub fn flush(&mut self, clock: &Clock) -> io::Result<()> {
        if let Some(session) = &mut self.tls {
            while session.wants_write() {
                session.write_tls(&mut self.outgoing)?;
            }
        }
        if self.outgoing.is_empty() {
            return Ok(());
        }
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let (written, outcome) = self.write(clock, &outgoing);
        if written < outgoing.len() {
            outgoing.drain(..written);
            self.outgoing = outgoing;
        }
        outcome
    }

    /// Writes what the socket takes of `bytes`: how many, and what kept it from the others.
    fn write(&mut self, clock: &Clock, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        let outcome = loop {
            if written == bytes.len() {
                self.stamps.note_written(clock.now_ns());
                break Ok(());
            }
            self.stamps.note_write(clock.now_ns());
            match self.socket.write(&bytes[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => written += taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        (written, outcome)
    }

    /// Reads once; none when there is nothing to read now.
    pub fn receive<'a>(
        &mut self,
        clock: &Clock,
        buffer: &'a mut ReadBuffer,
    ) -> io::Result<Option<Received<'a>>> {
        let ReadBuffer { raw, plain, control } = buffer;
        let bytes = loop {
            match receive(&self.socket, control, clock, &self.stamps, raw) {
                Ok(bytes) => break bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let (read, more, closed) = (self.stamps.last_read(), bytes == raw.len(), bytes == 0);
        let Some(session) = &mut self.tls else {
            return Ok(Some(Received { bytes: &raw[..bytes], read, more, closed }));
        };
        plain.clear();
        let mut records = &raw[..bytes];
        while !records.is_empty() {
            session.read_tls(&mut records)?;
            session.process_new_packets().map_err(io::Error::other)?;
            match session.reader().read_to_end(plain) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.flush(clock)?;
        Ok(Some(Received { bytes: plain, read, more, closed }))
    }
}
