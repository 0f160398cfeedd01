//! One request and its answer, over one connection.
//!
//! Knows timeouts and failure classes; knows nothing of when requests are due or of figures.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use target::{
    chunk::Moulds,
    client::{Broken, Client, Clock, Connection, Head, LastRead},
    excerpt,
};

use crate::{
    answer::{Answer, Form},
    engine::{Handicap, Live, SharedConnections},
    failure::RequestFailure,
    metrics::Lag,
    patience::{Limits, Patience},
    prompt::{Ask, Dialogue, Prompts},
    sample::{ConnectionUse, Micros, Outcome, Sample},
};

/// A kept connection that breaks sooner than this after a request was sent on it, and before any
/// answer, had been closed already. One that breaks later broke under the request: a failure.
pub(crate) const STALE_WITHIN: Duration = Duration::from_secs(1);

/// What all exchanges of a load thread share.
pub(crate) struct Exchanger {
    /// One for each server of the run.
    pub(crate) clients: Vec<Arc<Client>>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) limits: Limits,
    /// What answers look like.
    pub(crate) form: Form,
    /// What events of all answers are moulded on.
    pub(crate) moulds: Rc<RefCell<Moulds>>,
    /// Whether answers' texts are kept: a tokenizer, or the user's next request needs them.
    pub(crate) keep_text: bool,
    /// Whether a tokenizer will read what is handed over.
    pub(crate) count_text: bool,
    pub(crate) live: Arc<Live>,
    pub(crate) handicap: Handicap,
    pub(crate) reads: RefCell<ReadLag>,
    pub(crate) wakes: Wakes,
    /// Connections of HTTP/2.
    pub(crate) shared: SharedConnections,
}

/// When a thread that waits for all its streams at once was told which have something.
///
/// What it then reads came after it was told the time before, and where it had to wait, not before
/// the wait was over. That is all there is to say of a read that nobody stamped.
#[derive(Default)]
pub(crate) struct Wakes {
    /// Whether there was such a read: else nobody needs to know.
    wanted: Cell<bool>,
    told_us: Cell<Option<Micros>>,
    since_us: Cell<Option<Micros>>,
}

impl Wakes {
    /// A thread that has asked at `asked_us` has been told.
    pub(crate) fn note(&self, asked_us: Micros, now_us: impl FnOnce() -> Micros) {
        /// Longer than it takes to be told of many.
        const WAIT_US: Micros = 200;
        if !self.wanted.get() {
            return;
        }
        let now_us = now_us();
        let before_us = self.told_us.replace(Some(now_us));
        let has_waited = now_us.saturating_sub(asked_us) > WAIT_US;
        self.since_us.set(if has_waited { Some(now_us) } else { before_us });
    }

    /// From when on what `read` brought may have lain there.
    pub(crate) fn since_us(&self, read: &LastRead) -> Option<Micros> {
        if read.waited_ns.is_some() {
            return None;
        }
        self.wanted.set(true);
        self.since_us.get()
    }
}

/// How late this thread takes up what has arrived.
#[derive(Default)]
pub(crate) struct ReadLag {
    pub(crate) lag: Lag,
    pub(crate) reads: u64,
    /// Reads for which the kernel gave no stamp.
    pub(crate) unstamped: u64,
}

impl ReadLag {
    /// Takes a read; `since_us`: from when on what it brought may have lain there, where nobody
    /// stamped it.
    pub(crate) fn note(&mut self, read: &LastRead, since_us: Option<Micros>) {
        self.reads += 1;
        if let Some(ns) = read.waited_ns {
            self.lag.record_us(ns / 1_000);
            return;
        }
        self.unstamped += 1;
        if let Some(since_us) = since_us {
            self.lag.record_us((read.arrived_ns / 1_000).saturating_sub(since_us));
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.lag.merge(&other.lag);
        self.reads += other.reads;
        self.unstamped += other.unstamped;
    }
}

/// One request on its way: what is known of it when it is over, or cut off.
pub(crate) struct Attempt {
    intended_us: Micros,
    picked_up_us: Micros,
    user: u32,
    nth: u64,
    /// Which of the run's servers it goes to.
    pub(crate) target: u32,
    /// Which turn of its user's conversation it is, from 1; none: there is no conversation.
    turn: Option<u32>,
    pub(crate) ask: Ask,
    pub(crate) sent_us: Option<Micros>,
    pub(crate) written_us: Option<Micros>,
    pub(crate) head_us: Option<Micros>,
    pub(crate) connection: Option<ConnectionUse>,
    pub(crate) last_read: u64,
    pub(crate) answer: Answer,
    /// Whether it is told that it no longer waits for its first token.
    begun: bool,
}

impl Attempt {
    /// User `user`'s request `nth`, that was due at `intended_us`, goes to `target` and is taken up
    /// now; `dialogue` is the conversation that the user holds, if it holds any.
    pub(crate) fn new(
        (user, nth): (u32, u64),
        target: u32,
        intended_us: Micros,
        prompts: &Prompts,
        mut dialogue: Option<&mut Dialogue>,
        exchanger: &Exchanger,
    ) -> Self {
        let picked_up_us = exchanger.now_us();
        let ask = prompts.ask_in(dialogue.as_deref_mut(), user, nth);
        let turn = dialogue.map(|dialogue| dialogue.turn());
        let moulds = Rc::clone(&exchanger.moulds);
        let answer =
            Answer::new(exchanger.form, ask.length.max_tokens, exchanger.keep_text, moulds);
        Self {
            intended_us,
            picked_up_us,
            user,
            nth,
            target,
            turn,
            ask,
            sent_us: None,
            written_us: None,
            head_us: None,
            connection: None,
            last_read: 0,
            answer,
            begun: false,
        }
    }

    /// Tells of the token events that came after the first `before`.
    pub(crate) fn tell(&mut self, before: usize, exchanger: &Exchanger) {
        let events = self.answer.events.len();
        exchanger.note_tokens(events - before);
        if events > 0 {
            self.tell_begun(&exchanger.live);
        }
    }

    fn tell_begun(&mut self, live: &Live) {
        if !std::mem::replace(&mut self.begun, true) {
            live.add_begun();
        }
    }

    /// The request as it is handed to the metrics; `dialogue` goes on with its answer.
    pub(crate) fn into_sample(
        mut self,
        outcome: Outcome,
        dialogue: Option<&mut Dialogue>,
        exchanger: &Exchanger,
    ) -> Sample {
        self.tell_begun(&exchanger.live);
        let Self {
            intended_us,
            picked_up_us,
            user,
            nth,
            target,
            turn,
            ask,
            sent_us,
            written_us,
            head_us,
            connection,
            answer,
            ..
        } = self;
        let outcome = match outcome {
            Outcome::Failed(failure) => {
                Outcome::Failed(failure.scrubbed(|words| exchanger.client(target).scrubbed(words)))
            }
            other => other,
        };
        let asked_tokens = ask.length.max_tokens;
        let ask = match dialogue {
            Some(dialogue) if matches!(outcome, Outcome::Completed) => {
                let counted = exchanger.count_text.then(|| ask.clone());
                dialogue.go_on(ask, answer.answer());
                counted
            }
            Some(dialogue) => {
                dialogue.end();
                exchanger.count_text.then_some(ask)
            }
            None => exchanger.count_text.then_some(ask),
        };
        Sample {
            user,
            nth,
            target,
            turn,
            intended_us,
            picked_up_us,
            sent_us,
            written_us,
            head_us,
            first_event_us: answer.first_event_us,
            first_answer_us: answer.first_answer_us,
            end_us: exchanger.now_us(),
            whole_us: answer.whole_us,
            events: answer.events,
            bare_choices_us: answer.bare_choices_us,
            text: if exchanger.count_text { answer.text } else { String::new() },
            asked_tokens,
            ask,
            usage: answer.usage,
            saw_reasoning: answer.saw_reasoning,
            finish_reason: answer.finish_reason,
            connection,
            token_reads: answer.token_reads,
            coalesced_reads: answer.coalesced_reads,
            outcome,
        }
    }
}

impl Exchanger {
    /// What connections to the run's server `target` have in common.
    pub(crate) fn client(&self, target: u32) -> &Client {
        &self.clients[target as usize]
    }

    /// Whether a connection serves again after an answer.
    pub(crate) fn keeps_connections(&self) -> bool {
        self.client(0).keeps_connections()
    }

    pub(crate) fn now_us(&self) -> Micros {
        self.clock.now_ns() / 1_000
    }

    /// Whether a response is something else than the answer that was asked for.
    pub(crate) fn is_refusal(&self, status: u16, content_type: Option<&str>) -> bool {
        status != 200 || (self.form.streamed && !may_be_event_stream(content_type))
    }

    /// The answer has ended; `cause` is what broke it, where something did.
    pub(crate) fn end(
        &self,
        answer: &mut Answer,
        cause: Option<String>,
    ) -> Result<(), RequestFailure> {
        answer.end(cause, self.now_us())?;
        self.live.add_tokens(answer.unstreamed_tokens());
        Ok(())
    }

    /// Counts token events that have just come.
    pub(crate) fn note_tokens(&self, events: usize) {
        self.live.add_tokens(events);
        self.handicap.work(events);
    }

    /// Sends `body` and reads the answer into `attempt`. The connection is taken out of `kept`,
    /// and put back if it can serve again.
    ///
    /// May be dropped at any await: then `attempt` holds what had come, and the connection closes.
    pub(crate) async fn exchange(
        &self,
        attempt: &mut Attempt,
        kept: &mut Option<Connection>,
        body: Bytes,
    ) -> Result<(), RequestFailure> {
        let client = self.client(attempt.target);
        let mut connection = self.connection(attempt, kept.take()).await?;
        let mut patience = Patience::new(self.limits);
        let reads_before = connection.stamps().last_read().number;
        let mut sent = patience.within(0, connection.send(client, body.clone())).await;
        let was_unheard = |broken: &Broken| {
            broken.was_turned_away() || connection.stamps().last_read().number == reads_before
        };
        let kept_had_died = matches!(&sent, Ok(Err(broken)) if was_unheard(broken))
            && attempt.connection == Some(ConnectionUse::Reused)
            && patience.began.elapsed() < STALE_WITHIN;
        if kept_had_died {
            // Some servers close a connection after an answer without saying so; a request that
            // meets it on its way was never looked at.
            connection = self.connection(attempt, None).await?;
            sent = patience.within(0, connection.send(client, body)).await;
        }
        attempt.sent_us = connection.sent_ns().map(|ns| ns / 1_000);
        attempt.written_us = connection.written_ns().map(|ns| ns / 1_000);
        let mut head =
            sent?.map_err(|broken| RequestFailure::BrokenBeforeAnswer(broken.to_string()))?;
        attempt.head_us = Some(connection.stamps().last_read().arrived_ns / 1_000);

        if self.is_refusal(head.status.as_u16(), head.header("content-type")) {
            return Err(self.refusal(&mut connection, head, &mut patience).await);
        }
        let whole = self.stream(&mut connection, &mut head, attempt, &mut patience).await?;
        if whole && self.keeps_connections() && connection.is_usable().await {
            *kept = Some(connection);
        }
        Ok(())
    }

    async fn connection(
        &self,
        attempt: &mut Attempt,
        kept: Option<Connection>,
    ) -> Result<Connection, RequestFailure> {
        if let Some(mut connection) = kept
            && connection.is_usable().await
        {
            attempt.connection = Some(ConnectionUse::Reused);
            return Ok(connection);
        }
        let client = &self.clients[attempt.target as usize];
        let connection = if client.is_multiplexed() {
            let (connection, was_opened) =
                self.shared.place(attempt.target, client, &self.clock).await?;
            if !was_opened {
                attempt.connection = Some(ConnectionUse::Reused);
                return Ok(connection);
            }
            connection
        } else {
            client.connect(&self.clock).await?
        };
        let us = |took: Duration| Micros::try_from(took.as_micros()).unwrap_or(Micros::MAX);
        attempt.connection = Some(ConnectionUse::Opened {
            connect_us: us(connection.connect_took()),
            tls_us: connection.tls_took().map(us),
        });
        Ok(connection)
    }

    /// Reads the answer; says whether its body came to its own end, so that the connection may
    /// serve again.
    async fn stream(
        &self,
        connection: &mut Connection,
        head: &mut Head,
        attempt: &mut Attempt,
        patience: &mut Patience,
    ) -> Result<bool, RequestFailure> {
        loop {
            let events = attempt.answer.events.len();
            let piece = match patience.within(events, connection.read(head)).await {
                Ok(piece) => piece,
                // The answer was whole; only the body's end is missing.
                Err(_) if attempt.answer.done => {
                    self.end(&mut attempt.answer, None)?;
                    return Ok(false);
                }
                Err(timeout) => return Err(timeout),
            };
            match piece {
                Some(Ok(bytes)) => {
                    let read = connection.stamps().last_read();
                    if read.number != attempt.last_read {
                        attempt.last_read = read.number;
                        self.reads.borrow_mut().note(&read, None);
                    }
                    attempt.answer.take(&bytes, read.number, read.arrived_ns / 1_000)?;
                    attempt.tell(events, self);
                    if attempt.answer.done {
                        patience.close_soon();
                    }
                }
                Some(Err(broken)) => {
                    self.end(&mut attempt.answer, Some(broken.to_string()))?;
                    return Ok(false);
                }
                None => {
                    self.end(&mut attempt.answer, None)?;
                    return Ok(true);
                }
            }
        }
    }

    /// What a target said instead of a stream.
    async fn refusal(
        &self,
        connection: &mut Connection,
        mut head: Head,
        patience: &mut Patience,
    ) -> RequestFailure {
        let mut said = Vec::new();
        let mut whole = false;
        while !whole && said.len() <= excerpt::BODY_BYTES {
            match patience.within(0, connection.read(&mut head)).await {
                Ok(Some(Ok(bytes))) => said.extend_from_slice(&bytes),
                Ok(None) => whole = true,
                Ok(Some(Err(_))) | Err(_) => break,
            }
        }
        let status = head.status.as_u16();
        let retry_after = head.header("retry-after").map(str::to_owned);
        self.refused(status, head.header("content-type"), retry_after, &said, whole)
    }

    /// The failure of a response that is no stream; `whole`: `said` is all of its body.
    pub(crate) fn refused(
        &self,
        status: u16,
        content_type: Option<&str>,
        retry_after: Option<String>,
        said: &[u8],
        whole: bool,
    ) -> RequestFailure {
        // What is left out of it is the key, which is the same for every server.
        let excerpt = self.client(0).excerpt(said, whole);
        if status == 200 {
            let kind = content_type.unwrap_or_default();
            RequestFailure::Malformed(format!("content-type {kind}: {excerpt}"))
        } else {
            RequestFailure::Status { status, excerpt, retry_after }
        }
    }
}

/// Some servers name no type; one that names a page or a document means it.
fn may_be_event_stream(content_type: Option<&str>) -> bool {
    let kind = content_type.unwrap_or_default().to_ascii_lowercase();
    !["text/html", "application/json", "application/xml", "text/xml"]
        .iter()
        .any(|other| kind.starts_with(other))
}
