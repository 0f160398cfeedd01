//! One answer on its way: each event leaves when it is due, in a write of its own.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame as HttpFrame};
use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    answer::{Answer, Fault},
    frame::{Frame, Usage},
    stats::OpenAnswer,
    words::Words,
};

/// A wait within which the connection writes what it has been given.
const FLUSHED_AFTER: Duration = Duration::from_millis(1);

/// A streamed answer, as the body of a response.
#[derive(Debug)]
pub(crate) struct AnswerStream {
    pub(crate) answer: Answer,
    pub(crate) frame: Frame,
    pub(crate) words: Arc<Words>,
    pub(crate) open: OpenAnswer,
    pub(crate) arrived: Instant,
    pub(crate) tokens_per_chunk: u32,
    /// Prompt tokens, where usage is told.
    pub(crate) usage_of_prompt: Option<u64>,
    /// Told when the answer ends, where its connection is to end with it.
    pub(crate) closes: Option<Arc<Notify>>,
    pub(crate) sent: u32,
    pub(crate) step: Step,
    pub(crate) timer: Pin<Box<Sleep>>,
}

/// What is sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The event before any token.
    Opening,
    /// The next tokens' due time is not known yet.
    Schedule,
    /// The next tokens, when the timer is over.
    Tokens,
    /// The fault half-way, when the timer is over.
    Fault(Fault),
    /// The events after the last token.
    Ending,
    /// Nothing.
    Over,
    /// Nothing, and the stream does not end.
    Stalled,
}

impl AnswerStream {
    /// A timer that has not been set.
    pub(crate) fn timer(arrived: Instant) -> Pin<Box<Sleep>> {
        Box::pin(sleep_until(arrived))
    }

    fn schedule(&mut self) {
        let due = self.answer.next_due();
        // The event's other tokens take their time too.
        let rest = self.chunk().saturating_sub(1);
        for _ in 0..rest {
            self.answer.next_due();
        }
        self.timer.as_mut().reset(self.arrived + due);
        self.step = Step::Tokens;
    }

    /// Tokens of the next event.
    fn chunk(&self) -> u32 {
        self.tokens_per_chunk.min(self.answer.tokens - self.sent)
    }

    fn take_tokens(&mut self) -> Bytes {
        let tokens = self.chunk();
        let text = self.words.run(self.answer.first_word + self.sent as usize, tokens as usize);
        let event = self.frame.tokens(text);
        self.sent += tokens;
        self.open.sent(u64::from(tokens));
        let half_way = self.sent >= self.answer.tokens.div_ceil(2);
        self.step = match self.answer.fault.take_if(|_| half_way) {
            Some(fault) => {
                // When the next token would be due, but never at once: what was sent must be on the
                // wire by then, also where this stream is late.
                self.schedule();
                let soon = Instant::now() + FLUSHED_AFTER;
                if self.timer.deadline() < soon {
                    self.timer.as_mut().reset(soon);
                }
                Step::Fault(fault)
            }
            None => self.after_tokens(),
        };
        event
    }

    fn after_tokens(&self) -> Step {
        if self.sent == self.answer.tokens { Step::Ending } else { Step::Schedule }
    }

    fn take_ending(&mut self) -> Bytes {
        self.step = Step::Over;
        self.open.completed();
        if let Some(connection) = &self.closes {
            connection.notify_one();
        }
        let text = self.words.run(self.answer.first_word, self.sent as usize);
        let usage = self.usage();
        self.frame.ending(text, self.answer.full_length, usage)
    }

    /// The whole answer at once, for a request that wants no stream.
    pub(crate) fn whole(mut self) -> Bytes {
        let tokens = self.answer.tokens;
        self.sent = tokens;
        self.open.sent(u64::from(tokens));
        self.open.completed();
        let text = self.words.run(self.answer.first_word, tokens as usize);
        self.frame.whole(text, self.answer.full_length, self.usage())
    }

    fn usage(&self) -> Option<Usage> {
        let prompt_tokens = self.usage_of_prompt?;
        Some(Usage { prompt_tokens, completion_tokens: u64::from(self.sent) })
    }
}

impl Body for AnswerStream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<HttpFrame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            let event = match this.step {
                Step::Opening => {
                    this.step = Step::Schedule;
                    match this.frame.opening() {
                        Some(event) => event,
                        None => continue,
                    }
                }
                Step::Schedule => {
                    this.schedule();
                    continue;
                }
                Step::Tokens => match this.timer.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => this.take_tokens(),
                },
                Step::Fault(fault) => {
                    if this.timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    this.open.fault(fault);
                    match fault {
                        Fault::Stall => {
                            this.step = Step::Stalled;
                            continue;
                        }
                        Fault::Malformed => {
                            this.step = this.after_tokens();
                            this.frame.malformed()
                        }
                        // The first two are answered before there is a stream.
                        Fault::Cut | Fault::TooManyRequests | Fault::ServerError => {
                            this.step = Step::Over;
                            this.open.broken();
                            return Poll::Ready(Some(Err(io::Error::other("cut half-way"))));
                        }
                    }
                }
                Step::Ending => this.take_ending(),
                Step::Over => return Poll::Ready(None),
                // hyper wakes the connection when the client leaves, and drops this.
                Step::Stalled => return Poll::Pending,
            };
            return Poll::Ready(Some(Ok(HttpFrame::data(event))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.step == Step::Over
    }
}
