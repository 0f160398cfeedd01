//! One request and its answer over a connection that never waits.
//!
//! The same rules as `crate::exchange`, which is this one's oracle: the same bytes at the same
//! times must give the same sample.

use std::io;

use mio::{Registry, Token, event::Event};
use target::{
    client::Client,
    excerpt,
    response::{Part, ResponseHead, ResponseReader},
    wire::{ReadBuffer, Wire},
};

use crate::{
    exchange::{Attempt, Exchanger, STALE_WITHIN},
    failure::RequestFailure,
    patience::CLOSING_TIME,
    sample::{ConnectionUse, Micros},
};

/// How an exchange stands after something happened.
pub(super) enum Standing {
    /// It goes on.
    Open,
    /// It is over; the connection, where it can serve again.
    Over(Result<(), RequestFailure>, Option<Wire>),
}

/// What the kernel told of a socket.
#[derive(Clone, Copy)]
pub(super) struct Told {
    /// There is something to read, be it the end.
    pub(super) readable: bool,
    /// The server has closed its side, and there is an end to read behind what it said.
    pub(super) closing: bool,
}

impl From<&Event> for Told {
    fn from(event: &Event) -> Self {
        let closing = event.is_read_closed() || event.is_error();
        Self { readable: event.is_readable() || closing, closing }
    }
}

/// A request on its way.
pub(super) struct Exchange {
    pub(super) attempt: Attempt,
    request: Vec<u8>,
    token: Token,
    /// None only while it is handed on.
    wire: Option<Wire>,
    reader: ResponseReader,
    head: Option<ResponseHead>,
    /// Whether the head announces something else than a stream.
    refused: bool,
    /// What a target said instead of one.
    said: Vec<u8>,
    began_us: Micros,
    dialed_us: Micros,
    /// Which of the target's addresses it tried first.
    first_address: usize,
    dials: usize,
    sent_at_us: Option<Micros>,
    last_byte_us: Micros,
    closing_at_us: Option<Micros>,
    /// The earliest deadline given so far.
    timed_us: Micros,
}

fn us(duration: std::time::Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

impl Exchange {
    /// A request over `kept`, or over a connection that [`Exchange::begin`] opens.
    pub(super) fn new(
        attempt: Attempt,
        request: Vec<u8>,
        token: Token,
        kept: Option<Wire>,
        now_us: Micros,
    ) -> Self {
        Self {
            attempt,
            request,
            token,
            wire: kept,
            reader: ResponseReader::default(),
            head: None,
            refused: false,
            said: Vec::new(),
            began_us: now_us,
            dialed_us: now_us,
            first_address: 0,
            dials: 0,
            sent_at_us: None,
            last_byte_us: now_us,
            closing_at_us: None,
            timed_us: Micros::MAX,
        }
    }

    /// Sends at once on a kept connection, or begins to connect.
    pub(super) fn begin(&mut self, ex: &Exchanger, registry: &Registry) -> Standing {
        let outcome = if self.wire.is_some() {
            self.attempt.connection = Some(ConnectionUse::Reused);
            self.send(ex).or_else(|error| self.broken(&error.to_string(), ex, registry))
        } else {
            self.dial(ex, registry)
        };
        self.standing(outcome)
    }

    /// The socket has something to read, or takes something: `told` says which.
    pub(super) fn on_ready(
        &mut self,
        ex: &Exchanger,
        registry: &Registry,
        buffer: &mut ReadBuffer,
        told: Told,
    ) -> Standing {
        let outcome = self.go_on(ex, registry, buffer, told);
        if told.closing && matches!(outcome, Ok(true)) {
            // Its end has been told of with the answer's, and will not be told of again.
            self.distrust();
        }
        self.standing(outcome)
    }

    /// When it must be looked at if nothing happens.
    pub(super) fn deadline_us(&self, ex: &Exchanger) -> Micros {
        if self.sent_at_us.is_none() {
            return self.dialed_us + us(self.client(ex).connect_timeout());
        }
        let stage = match self.attempt.answer.events.len() {
            0 => self.began_us + us(ex.limits.first_token),
            _ => self.last_byte_us + us(ex.limits.idle),
        };
        let deadline = stage.min(self.began_us + us(ex.limits.total));
        self.closing_at_us.map_or(deadline, |closing| closing.min(deadline))
    }

    /// The deadline, where it is earlier than any that was given before.
    pub(super) fn earlier_deadline_us(&mut self, ex: &Exchanger) -> Option<Micros> {
        let deadline_us = self.deadline_us(ex);
        (deadline_us < self.timed_us).then(|| {
            self.timed_us = deadline_us;
            deadline_us
        })
    }

    /// Forgets the deadline given before: it has come, and there is a later one.
    pub(super) fn postpone(&mut self) {
        self.timed_us = Micros::MAX;
    }

    /// Its deadline has come.
    pub(super) fn on_deadline(&mut self, ex: &Exchanger) -> Standing {
        let events = self.attempt.answer.events.len();
        let outcome = if self.sent_at_us.is_none() {
            Err(RequestFailure::TimeoutConnect(self.client(ex).connect_timeout()))
        } else if self.head.is_some() && self.attempt.answer.done {
            // The answer was whole; only the body's end is missing.
            ex.end(&mut self.attempt.answer, None)
        } else if self.refused {
            Err(self.refusal(ex, false))
        } else if ex.now_us() >= self.began_us + us(ex.limits.total) {
            Err(RequestFailure::TimeoutTotal(ex.limits.total))
        } else if events == 0 {
            Err(RequestFailure::TimeoutFirstToken(ex.limits.first_token))
        } else {
            Err(RequestFailure::TimeoutIdle { idle: ex.limits.idle, events })
        };
        Standing::Over(outcome, None)
    }

    fn standing(&mut self, outcome: Result<bool, RequestFailure>) -> Standing {
        match outcome {
            Ok(false) => Standing::Open,
            Ok(true) => {
                let keep = self.head.as_ref().is_some_and(|head| head.keep_alive);
                let wire = self.wire.take().filter(|_| keep && !self.reader.may_be_endless());
                Standing::Over(Ok(()), wire)
            }
            Err(failure) => Standing::Over(Err(failure), None),
        }
    }

    fn dial(&mut self, ex: &Exchanger, registry: &Registry) -> Result<bool, RequestFailure> {
        if self.dials == 0 {
            self.first_address = self.client(ex).first_address();
        }
        let address = self.first_address + self.dials;
        self.dials += 1;
        self.dialed_us = ex.now_us();
        self.sent_at_us = None;
        self.reader = ResponseReader::default();
        let mut wire = self.client(ex).dial(address).map_err(RequestFailure::from)?;
        wire.register(registry, self.token).map_err(RequestFailure::Connect)?;
        self.wire = Some(wire);
        self.attempt.connection = None;
        Ok(false)
    }

    /// What connections to its server have in common.
    fn client<'a>(&self, ex: &'a Exchanger) -> &'a Client {
        ex.client(self.attempt.target)
    }

    fn send(&mut self, ex: &Exchanger) -> io::Result<bool> {
        let Some(wire) = &mut self.wire else { return Ok(false) };
        let now_us = ex.now_us();
        (self.sent_at_us, self.last_byte_us) = (Some(now_us), now_us);
        if self.attempt.sent_us.is_none() {
            // Patience counts from the first sending, whatever the connection did before.
            self.began_us = now_us;
        }
        wire.send(&ex.clock, &self.request)?;
        self.attempt.sent_us = wire.stamps().sent_ns().map(|ns| ns / 1_000);
        Ok(false)
    }

    /// Does what the socket allows; true when the answer is over and well.
    fn go_on(
        &mut self,
        ex: &Exchanger,
        registry: &Registry,
        buffer: &mut ReadBuffer,
        told: Told,
    ) -> Result<bool, RequestFailure> {
        loop {
            let Some(wire) = &mut self.wire else { return Ok(false) };
            match wire.is_connected() {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(_) if self.dials < self.client(ex).addresses().len() => {
                    return self.dial(ex, registry);
                }
                Err(error) => return Err(RequestFailure::Connect(error)),
            }
            if self.attempt.connection.is_none() {
                let connect_us = ex.now_us().saturating_sub(self.dialed_us);
                self.attempt.connection = Some(ConnectionUse::Opened { connect_us, tls_us: None });
            }
            let shaking_hands = wire.is_shaking_hands();
            if !shaking_hands && self.sent_at_us.is_none() {
                self.note_handshake(ex);
                if let Err(error) = self.send(ex) {
                    return self.broken(&error.to_string(), ex, registry);
                }
            } else if let Err(error) = wire.flush(&ex.clock) {
                return self.lost(error, shaking_hands, ex, registry);
            }
            let Some(wire) = &mut self.wire else { return Ok(false) };
            if !told.readable && !wire.is_secured() {
                // It has only been told that the socket takes bytes.
                return Ok(false);
            }
            let received = match wire.receive(&ex.clock, buffer) {
                Ok(Some(received)) => received,
                Ok(None) => return Ok(false),
                Err(error) => return self.lost(error, shaking_hands, ex, registry),
            };
            let (closed, more) = (received.closed, received.more);
            if !received.bytes.is_empty() {
                self.last_byte_us = received.read.arrived_ns / 1_000;
                if self.attempt.last_read != received.read.number {
                    self.attempt.last_read = received.read.number;
                    ex.reads.borrow_mut().note(&received.read, ex.wakes.since_us(&received.read));
                }
                if self.take(received.bytes, received.read.number, ex)? {
                    return Ok(true);
                }
            }
            if closed {
                let end = io::Error::from(io::ErrorKind::UnexpectedEof);
                return self.lost(end, shaking_hands, ex, registry);
            }
            // A short read has emptied the socket; a handshake may have something to say.
            let may_be_more = more || told.closing || (shaking_hands && self.sent_at_us.is_none());
            if !may_be_more {
                return Ok(false);
            }
        }
    }

    /// Notes how long a TLS handshake took that is over.
    fn note_handshake(&mut self, ex: &Exchanger) {
        if let Some(ConnectionUse::Opened { connect_us, tls_us }) = &mut self.attempt.connection
            && self.wire.as_ref().is_some_and(Wire::is_secured)
        {
            *tls_us = Some(ex.now_us().saturating_sub(self.dialed_us + *connect_us));
        }
    }

    /// Notes when the head came, and when the request had gone out.
    fn note_head(&mut self) {
        let written_ns = self.wire.as_ref().and_then(|wire| wire.stamps().written_ns());
        self.attempt.written_us = written_ns.map(|ns| ns / 1_000);
        self.attempt.head_us = Some(self.last_byte_us);
    }

    /// Has no other request sent over this connection.
    fn distrust(&mut self) {
        if let Some(head) = &mut self.head {
            head.keep_alive = false;
        }
    }

    /// Takes bytes of the response; true when it is over and well.
    fn take(&mut self, bytes: &[u8], read: u64, ex: &Exchanger) -> Result<bool, RequestFailure> {
        let mut input = bytes;
        loop {
            let part = match self.reader.next(&mut input) {
                Ok(Some(part)) => part,
                Ok(None) => return Ok(false),
                Err(bad) if self.head.is_none() => {
                    return Err(RequestFailure::BrokenBeforeAnswer(bad.to_string()));
                }
                Err(_) if self.refused => return Err(self.refusal(ex, false)),
                Err(bad) => {
                    return ex.end(&mut self.attempt.answer, Some(bad.to_string())).map(|()| true);
                }
            };
            match part {
                Part::Head(head) => {
                    self.refused = ex.is_refusal(head.status, head.content_type.as_deref());
                    self.head = Some(head);
                    self.note_head();
                }
                Part::Body(bytes) if self.refused => {
                    self.said.extend_from_slice(bytes);
                    if self.said.len() > excerpt::BODY_BYTES {
                        return Err(self.refusal(ex, false));
                    }
                }
                Part::Body(bytes) => {
                    let events = self.attempt.answer.events.len();
                    self.attempt.answer.take(bytes, read, self.last_byte_us)?;
                    self.attempt.tell(events, ex);
                    if self.attempt.answer.done && self.closing_at_us.is_none() {
                        self.closing_at_us = Some(ex.now_us() + us(CLOSING_TIME));
                    }
                }
                Part::End if self.refused => return Err(self.refusal(ex, true)),
                Part::End => {
                    if !input.is_empty() {
                        // Who knows what it belongs to.
                        self.distrust();
                    }
                    return ex.end(&mut self.attempt.answer, None).map(|()| true);
                }
            }
        }
    }

    /// The connection is gone.
    fn lost(
        &mut self,
        error: io::Error,
        shaking_hands: bool,
        ex: &Exchanger,
        registry: &Registry,
    ) -> Result<bool, RequestFailure> {
        if shaking_hands {
            return Err(RequestFailure::Tls(error));
        }
        let closed = error.kind() == io::ErrorKind::UnexpectedEof;
        let words = if closed { "the connection was closed".to_owned() } else { error.to_string() };
        self.broken(&words, ex, registry)
    }

    fn broken(
        &mut self,
        words: &str,
        ex: &Exchanger,
        registry: &Registry,
    ) -> Result<bool, RequestFailure> {
        let now_us = ex.now_us();
        if self.head.is_none() {
            let kept_had_died = self.attempt.connection == Some(ConnectionUse::Reused)
                && self.reader.is_untouched()
                && self
                    .sent_at_us
                    .is_some_and(|sent| now_us.saturating_sub(sent) < us(STALE_WITHIN));
            if kept_had_died {
                return self.dial(ex, registry);
            }
            return Err(RequestFailure::BrokenBeforeAnswer(words.to_owned()));
        }
        if self.refused {
            return Err(self.refusal(ex, self.reader.may_end_here()));
        }
        let cause = (!self.reader.may_end_here()).then(|| words.to_owned());
        ex.end(&mut self.attempt.answer, cause).map(|()| true)
    }

    fn refusal(&self, ex: &Exchanger, whole: bool) -> RequestFailure {
        let head = self.head.clone().unwrap_or_default();
        ex.refused(head.status, head.content_type.as_deref(), head.retry_after, &self.said, whole)
    }
}
