//! Tokens settled: how many a request had, who counted them, and in which event each came.
//!
//! Done once a request is over, away from the load threads: a tokenizer may take milliseconds.

use shared::report::TokenSource;

use crate::{
    prompt::Tokenizer,
    sample::{Micros, Sample},
};

/// One request with its tokens counted. Its texts are gone.
#[derive(Debug)]
pub struct Settled {
    /// What was measured; `text` is empty, `ask` none.
    pub sample: Sample,
    /// Output tokens, hidden reasoning and end token included where the server counts them.
    pub output_tokens: u64,
    /// Who counted them.
    pub source: TokenSource,
    /// Of them, reasoning tokens that usage names but no event brought.
    pub hidden_tokens: u64,
    /// Reasoning tokens as usage tells, streamed or not.
    pub reasoning_tokens: Option<u64>,
    /// Prompt tokens, by usage, else by the tokenizer (without the chat template's own).
    pub input_tokens: Option<u64>,
    /// The tokenizer's count of the answer, whoever counts for the report.
    pub output_by_tokenizer: Option<u64>,
    /// Tokens of each event, where usage or the tokenizer tells: the k of ITL.
    pub per_event: Option<Vec<u32>>,
    /// Output tokens by the event they are counted at; sums to `output_tokens` where there is any
    /// event.
    pub arrivals: Vec<u32>,
}

impl Settled {
    /// Tokens that were streamed: the n of TPOT.
    pub fn streamed_tokens(&self) -> u64 {
        self.output_tokens - self.hidden_tokens
    }

    /// Those of them that came after the first event's first: what TPOT divides by; 0 where all came
    /// in one event.
    pub fn tokens_after_first(&self) -> u64 {
        if self.sample.events.len() < 2 { 0 } else { self.streamed_tokens().saturating_sub(1) }
    }

    /// Whether usage and tokenizer differ by more than 1; none: not both counted.
    pub fn mismatched(&self) -> Option<bool> {
        let by_tokenizer = self.output_by_tokenizer?;
        (self.source == TokenSource::Usage)
            .then(|| self.streamed_tokens().abs_diff(by_tokenizer) > 1)
    }

    /// The gaps of ITL: when each ended, how long it was, and the tokens it is spread over.
    ///
    /// An event that completed no token passes its gap on to the next. Where k is unknown, these
    /// are the raw gaps.
    pub fn token_gaps(&self) -> impl Iterator<Item = Gap> {
        let mut since = self.sample.events.first().map(|event| event.at_us);
        self.sample.events.iter().enumerate().skip(1).filter_map(move |(i, event)| {
            let tokens = self.per_event.as_ref().map_or(1, |per_event| per_event[i]);
            if tokens == 0 {
                return None;
            }
            let start = since.replace(event.at_us)?;
            Some(Gap { at_us: event.at_us, length_us: event.at_us.saturating_sub(start), tokens })
        })
    }

    /// The gaps of ICL: between one token event and the next.
    pub fn event_gaps_us(&self) -> impl Iterator<Item = Micros> {
        self.sample.events.windows(2).map(|pair| pair[1].at_us.saturating_sub(pair[0].at_us))
    }
}

/// A stretch of time that `tokens` tokens took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When it ended.
    pub at_us: Micros,
    /// Its length.
    pub length_us: Micros,
    /// Tokens in it; at least 1.
    pub tokens: u32,
}

/// Counts a request's tokens: by usage, else by the tokenizer, else one for each token event.
///
/// A count of 0 beside token events, or of 0 prompt tokens, is a server that does not count.
pub fn settle(mut sample: Sample, tokenizer: Option<&Tokenizer>) -> Settled {
    let text = std::mem::take(&mut sample.text);
    let ask = sample.ask.take();
    let events = sample.events.len();

    let token_ends = tokenizer
        .filter(|_| !text.is_empty() || events == 0)
        .and_then(|tokenizer| tokenizer.token_ends(&text));
    let output_by_tokenizer = token_ends.as_ref().map(|ends| ends.len() as u64);
    let usage = sample.usage.filter(|usage| usage.completion_tokens > 0 || events == 0);

    let (output_tokens, source) = match (usage, output_by_tokenizer) {
        (Some(usage), _) => (usage.completion_tokens, TokenSource::Usage),
        (None, Some(counted)) => (counted, TokenSource::Tokenizer),
        (None, None) => (events as u64, TokenSource::Events),
    };
    let reasoning_tokens = usage.and_then(|usage| usage.reasoning_tokens);
    let hidden_tokens = match reasoning_tokens {
        Some(reasoning) if !sample.saw_reasoning => reasoning.min(output_tokens),
        _ => 0,
    };
    let input_tokens =
        sample.usage.map(|usage| usage.prompt_tokens).filter(|tokens| *tokens > 0).or_else(|| {
            let (tokenizer, ask) = tokenizer.zip(ask.as_ref())?;
            ask.tokens(tokenizer)
        });

    let streamed = output_tokens - hidden_tokens;
    let per_event = by_chunk_usage(&sample, usage.is_some())
        .or_else(|| {
            let text_ends: Vec<u32> = sample.events.iter().map(|event| event.text_end).collect();
            Some(deal(token_ends.as_deref()?, &text_ends))
        })
        .or_else(|| {
            let one_each = streamed == events as u64 || streamed == events as u64 + 1;
            (usage.is_some() && one_each).then(|| vec![1; events])
        });
    let arrivals = match &per_event {
        Some(per_event) => fitted(per_event.clone(), output_tokens, hidden_tokens),
        None => fitted(evenly(streamed, events), output_tokens, hidden_tokens),
    };

    Settled {
        sample,
        output_tokens,
        source,
        hidden_tokens,
        reasoning_tokens,
        input_tokens,
        output_by_tokenizer,
        per_event,
        arrivals,
    }
}

/// The increments of usage, where every token event brought its own.
fn by_chunk_usage(sample: &Sample, believed: bool) -> Option<Vec<u32>> {
    let told: Vec<u32> = sample.events.iter().map(|event| event.tokens).collect::<Option<_>>()?;
    (believed && !told.is_empty()).then_some(told)
}

/// Deals tokens to events: each to the event whose text completed it.
///
/// - `token_ends`: where each token ends in the text, in bytes.
/// - `text_ends`: where each event's text ends in it, ascending.
fn deal(token_ends: &[u32], text_ends: &[u32]) -> Vec<u32> {
    let mut dealt = vec![0; text_ends.len()];
    let Some(last) = text_ends.len().checked_sub(1) else { return dealt };
    for end in token_ends {
        dealt[text_ends.partition_point(|text_end| text_end < end).min(last)] += 1;
    }
    dealt
}

/// `tokens` over `events` as evenly as whole numbers allow.
fn evenly(tokens: u64, events: usize) -> Vec<u32> {
    let until = |i: usize| tokens * i as u64 / events.max(1) as u64;
    (0..events).map(|i| saturated(until(i + 1) - until(i))).collect()
}

/// `arrivals` made to sum to `total`: hidden tokens came before the first event and are counted
/// there, any other surplus (the end token) at the last; what is too much is taken from the end.
fn fitted(mut arrivals: Vec<u32>, total: u64, hidden: u64) -> Vec<u32> {
    let sum: u64 = arrivals.iter().copied().map(u64::from).sum();
    let missing = total.saturating_sub(sum);
    let before = missing.min(hidden);
    if let Some(first) = arrivals.first_mut() {
        *first = first.saturating_add(saturated(before));
    }
    if let Some(last) = arrivals.last_mut() {
        *last = last.saturating_add(saturated(missing - before));
    }
    let mut surplus = sum.saturating_sub(total);
    for event in arrivals.iter_mut().rev() {
        let taken = u64::from(*event).min(surplus);
        *event -= saturated(taken);
        surplus -= taken;
    }
    arrivals
}

fn saturated(tokens: u64) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
