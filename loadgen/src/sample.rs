//! One request, measured: what the load threads hand to the metrics.

use target::chunk::Usage;

use crate::{failure::RequestFailure, prompt::Ask};

/// Microseconds since the run's origin, the first user's start.
pub type Micros = u64;

/// One request, from due to done. A stamp is absent where the request did not get that far.
#[derive(Debug)]
pub struct Sample {
    /// The virtual user who sent it; of no meaning in an open loop.
    pub user: u32,
    /// The user's how manyeth request, from 0; in an open loop, its number in the schedule.
    pub nth: u64,
    /// Which of the run's servers it went to, from 0.
    pub target: u32,
    /// Which turn of the user's conversation it was, from 1; none: there was no conversation.
    pub turn: Option<u32>,
    /// When the schedule wanted it sent.
    pub intended_us: Micros,
    /// When a load thread took it up; later than intended by the client's own lag.
    pub picked_up_us: Micros,
    /// When its first byte was handed to the socket.
    pub sent_us: Option<Micros>,
    /// When its last byte had been taken by the socket.
    pub written_us: Option<Micros>,
    /// When the response's head had arrived.
    pub head_us: Option<Micros>,
    /// First SSE event of any kind.
    pub first_event_us: Option<Micros>,
    /// First token event that is not reasoning.
    pub first_answer_us: Option<Micros>,
    /// When it was over, well or not.
    pub end_us: Micros,
    /// When the last byte of an answer that was not streamed arrived; none: it was streamed.
    pub whole_us: Option<Micros>,
    /// Token events in order; the first is TTFT's, the last E2E's. An answer that was not streamed
    /// is one, if it has a text.
    pub events: Vec<TokenEvent>,
    /// Events with a choice that is no token (a role, a finish reason), in order. No figure of ours
    /// counts them; those of other tools do.
    pub bare_choices_us: Vec<Micros>,
    /// The answer's text, reasoning included; empty unless a tokenizer will read it.
    pub text: String,
    /// What was asked; none unless a tokenizer will read it.
    pub ask: Option<Ask>,
    /// What the server counted.
    pub usage: Option<Usage>,
    /// Whether any token event was reasoning.
    pub saw_reasoning: bool,
    /// The server's word for why the answer ended.
    pub finish_reason: Option<String>,
    /// `max_tokens` of the request; 0 where an answer has no tokens.
    pub asked_tokens: u32,
    /// The connection it was sent on; none: it got none.
    pub connection: Option<ConnectionUse>,
    /// Reads that brought at least one token event.
    pub token_reads: u32,
    /// Of them, those that brought more than one.
    pub coalesced_reads: u32,
    /// How it ended.
    pub outcome: Outcome,
}

impl Sample {
    /// When the first token of a streamed answer came.
    pub fn first_token_us(&self) -> Option<Micros> {
        let first = self.events.first().filter(|_| self.whole_us.is_none())?;
        Some(first.at_us)
    }

    /// When the answer was there: its last token event, or its last byte where it was not
    /// streamed.
    pub fn answered_us(&self) -> Option<Micros> {
        self.whole_us.or_else(|| Some(self.events.last()?.at_us))
    }
}

/// One token event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenEvent {
    /// When it arrived.
    pub at_us: Micros,
    /// Tokens in it, where per-chunk usage tells.
    pub tokens: Option<u32>,
    /// Where its text ends in [`Sample::text`], in bytes; 0 where the text is not kept.
    pub text_end: u32,
}

/// How a request came by its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionUse {
    /// Opened for it; in microseconds.
    Opened {
        /// TCP connect alone, without DNS and TLS.
        connect_us: u64,
        /// The TLS handshake after that; none: there was none, or it did not succeed.
        tls_us: Option<u64>,
    },
    /// Had served before.
    Reused,
}

/// How a request ended.
#[derive(Debug)]
pub enum Outcome {
    /// In full.
    Completed,
    /// In one of the failure classes.
    Failed(RequestFailure),
    /// Still open when the run ended or was cancelled.
    Cancelled,
}
