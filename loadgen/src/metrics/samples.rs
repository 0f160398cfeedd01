//! Small samples for tests: written down, so that every figure can be checked by hand.

use shared::report::StampSource;
use target::chunk::Usage;

use super::{
    Instrument, Lag, Pacing, Plan,
    settle::{Settled, settle},
};
use crate::{
    failure::RequestFailure,
    sample::{ConnectionUse, Micros, Outcome, Sample, TokenEvent},
};

/// Milliseconds as stamps are kept.
pub(super) const fn ms(ms: u64) -> Micros {
    ms * 1_000
}

/// A completed request sent at `sent_ms` whose token events came at `events_ms`.
pub(crate) fn sample(sent_ms: u64, events_ms: &[u64]) -> Sample {
    let events: Vec<TokenEvent> = events_ms
        .iter()
        .map(|at_ms| TokenEvent { at_us: ms(*at_ms), tokens: None, text_end: 0 })
        .collect();
    let last = events.last().map_or(ms(sent_ms), |event| event.at_us);
    Sample {
        user: 0,
        nth: 0,
        target: 0,
        turn: None,
        intended_us: ms(sent_ms),
        picked_up_us: ms(sent_ms),
        sent_us: Some(ms(sent_ms)),
        written_us: Some(ms(sent_ms)),
        head_us: Some(ms(sent_ms)),
        first_event_us: events.first().map(|event| event.at_us),
        first_answer_us: events.first().map(|event| event.at_us),
        end_us: last,
        whole_us: None,
        token_reads: u32::try_from(events.len()).unwrap(),
        events,
        bare_choices_us: Vec::new(),
        text: String::new(),
        ask: None,
        usage: None,
        saw_reasoning: false,
        finish_reason: Some("stop".to_owned()),
        asked_tokens: 10,
        connection: Some(ConnectionUse::Reused),
        coalesced_reads: 0,
        outcome: Outcome::Completed,
    }
}

/// What a server says it counted.
pub(super) fn usage(prompt_tokens: u64, completion_tokens: u64) -> Usage {
    Usage { prompt_tokens, completion_tokens, reasoning_tokens: None }
}

impl Sample {
    pub(super) fn counted(mut self, prompt_tokens: u64, completion_tokens: u64) -> Self {
        self.usage = Some(usage(prompt_tokens, completion_tokens));
        self
    }

    /// The same with an increment of usage in each event.
    pub(super) fn in_chunks_of(mut self, tokens: &[u32]) -> Self {
        for (event, tokens) in self.events.iter_mut().zip(tokens) {
            event.tokens = Some(*tokens);
        }
        let sum = tokens.iter().copied().map(u64::from).sum();
        self.counted(7, sum)
    }

    /// The same, not streamed: its one event is the whole answer.
    pub(crate) fn whole(mut self) -> Self {
        self.whole_us = self.events.last().map(|event| event.at_us);
        self.first_event_us = None;
        self.first_answer_us = None;
        self
    }

    pub(super) fn due_at(mut self, intended_ms: u64) -> Self {
        self.intended_us = ms(intended_ms);
        self
    }

    pub(super) fn ended_at(mut self, end_ms: u64) -> Self {
        self.end_us = ms(end_ms);
        self
    }

    pub(super) fn failed(mut self, failure: RequestFailure) -> Self {
        self.outcome = Outcome::Failed(failure);
        self
    }

    pub(super) fn cancelled(mut self) -> Self {
        self.outcome = Outcome::Cancelled;
        self
    }

    pub(crate) fn settled(self) -> Settled {
        settle(self, None)
    }
}

/// Status 503, with a body.
pub(super) fn overloaded() -> RequestFailure {
    RequestFailure::Status { status: 503, excerpt: "overloaded".to_owned(), retry_after: None }
}

/// One user, who never waits, for ten seconds.
pub(super) fn plan() -> Plan {
    Plan {
        users: 1,
        spawn_rate: 1,
        duration_s: 10,
        think_time: false,
        ignore_eos: false,
        pacing: Pacing::Answers,
        stopped_us: None,
    }
}

/// An instrument without a fault.
pub(super) fn instrument() -> Instrument {
    Instrument {
        stamp_source: StampSource::Kernel,
        stamp_lag: Lag::new(),
        loop_lag: Lag::new(),
        begun_late_ms: Some(0.1),
        load_thread_cpu_share: Some(0.1),
        process_cpu_share: Some(0.1),
    }
}
