//! Token sums over completed requests, and who counted.

use serde::{Deserialize, Serialize};
use shared::report::{TokenSource, Tokens};

use super::{latency::share, settle::Settled};

/// Sums so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct TokenSums {
    requests: u64,
    input: u64,
    with_input: u64,
    output: u64,
    asked: u64,
    reasoning: Option<u64>,
    source: Option<TokenSource>,
    by_events: bool,
    by_tokenizer: Option<u64>,
    compared: u64,
    mismatched: u64,
}

impl TokenSums {
    /// Takes a completed request.
    pub(super) fn record(&mut self, settled: &Settled) {
        self.requests += 1;
        if let Some(input) = settled.input_tokens {
            self.input += input;
            self.with_input += 1;
        }
        self.output += settled.output_tokens;
        self.asked += u64::from(settled.sample.asked_tokens);
        add(&mut self.reasoning, settled.reasoning_tokens);
        add(&mut self.by_tokenizer, settled.output_by_tokenizer);
        self.counted_by(settled.source);
        self.by_events |= settled.source == TokenSource::Events;
        if let Some(mismatched) = settled.mismatched() {
            self.compared += 1;
            self.mismatched += u64::from(mismatched);
        }
    }

    /// Adds what `other` holds of other requests.
    pub(super) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.input += other.input;
        self.with_input += other.with_input;
        self.output += other.output;
        self.asked += other.asked;
        add(&mut self.reasoning, other.reasoning);
        add(&mut self.by_tokenizer, other.by_tokenizer);
        if let Some(source) = other.source {
            self.counted_by(source);
        }
        self.by_events |= other.by_events;
        self.compared += other.compared;
        self.mismatched += other.mismatched;
    }

    fn counted_by(&mut self, source: TokenSource) {
        let differs = self.source.is_some_and(|before| before != source);
        self.source = Some(if differs { TokenSource::Mixed } else { source });
    }

    pub(super) fn tokens(&self) -> Tokens {
        Tokens {
            input: self.input_is_whole().then_some(self.input),
            output: self.output,
            reasoning: self.reasoning,
            source: self.source,
            estimated: self.by_events,
            output_by_tokenizer: self.by_tokenizer,
            mismatched_share: share(self.mismatched, self.compared),
            asked_output: self.asked,
            reached_ratio: share(self.output, self.asked),
        }
    }

    /// Whether every completed request's prompt was counted: a sum over some would read as less
    /// input than there was.
    pub(super) fn input_is_whole(&self) -> bool {
        self.requests > 0 && self.with_input == self.requests
    }

    /// Completed requests whose prompts were counted, where that is neither none nor all.
    pub(super) fn partly_counted_input(&self) -> Option<u64> {
        (1..self.requests).contains(&self.with_input).then_some(self.with_input)
    }
}

fn add(sum: &mut Option<u64>, tokens: Option<u64>) {
    if let Some(tokens) = tokens {
        *sum.get_or_insert(0) += tokens;
    }
}
