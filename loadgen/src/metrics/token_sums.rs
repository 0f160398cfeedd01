//! Token sums over completed requests, and who counted.

use shared::report::{TokenSource, Tokens};

use super::{latency::share, settle::Settled};

/// Sums so far.
#[derive(Debug, Default)]
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
        self.source = match self.source {
            None => Some(settled.source),
            Some(source) if source == settled.source => Some(source),
            Some(_) => Some(TokenSource::Mixed),
        };
        self.by_events |= settled.source == TokenSource::Events;
        if let Some(mismatched) = settled.mismatched() {
            self.compared += 1;
            self.mismatched += u64::from(mismatched);
        }
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
