//! What happened in each second of a run.

use serde::{Deserialize, Serialize};
use shared::SecondRow;

use super::{
    settle::Settled,
    sketch::Sketch,
    window::{InFlight, Steady},
};
use crate::sample::{Micros, Outcome};

/// Seconds kept; what comes later is counted in the last. A run's duration, its grace and its
/// longest request together are shorter.
const MOST_SECONDS: usize = 3 * 3_600;

/// Rows by second, from the first user's start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Series {
    seconds: Vec<Second>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Second {
    started: u64,
    completed: u64,
    failed: u64,
    input_tokens: u64,
    output_tokens: u64,
    ttft: Sketch,
    itl: Sketch,
}

/// Counts of a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) completed: u64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

impl Series {
    /// Takes one request: each token counts in the second it came in.
    pub(super) fn record(&mut self, settled: &Settled) {
        let sample = &settled.sample;
        self.at(sample.sent_us.unwrap_or(sample.picked_up_us)).started += 1;
        for (event, tokens) in sample.events.iter().zip(&settled.arrivals) {
            self.at(event.at_us).output_tokens += u64::from(*tokens);
        }
        match sample.outcome {
            Outcome::Completed => self.record_completed(settled),
            Outcome::Failed(_) => self.at(sample.end_us).failed += 1,
            Outcome::Cancelled => {}
        }
    }

    /// Adds what `other` holds of other requests, second by second.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.seconds.len() < other.seconds.len() {
            self.seconds.resize_with(other.seconds.len(), Second::default);
        }
        for (mine, others) in self.seconds.iter_mut().zip(&other.seconds) {
            mine.started += others.started;
            mine.completed += others.completed;
            mine.failed += others.failed;
            mine.input_tokens += others.input_tokens;
            mine.output_tokens += others.output_tokens;
            mine.ttft.merge(&others.ttft);
            mine.itl.merge(&others.itl);
        }
    }

    fn record_completed(&mut self, settled: &Settled) {
        let sample = &settled.sample;
        let ended = self.at(sample.end_us);
        ended.completed += 1;
        ended.input_tokens += settled.input_tokens.unwrap_or_default();
        if let (Some(sent), Some(first_us)) = (sample.sent_us, sample.first_token_us()) {
            self.at(first_us).ttft.record_us(first_us.saturating_sub(sent), 1);
        }
        for gap in settled.token_gaps() {
            let tokens = u64::from(gap.tokens);
            self.at(gap.at_us).itl.record_us((gap.length_us + tokens / 2) / tokens, gap.tokens);
        }
    }

    fn at(&mut self, us: Micros) -> &mut Second {
        let second = usize::try_from(us / 1_000_000).unwrap_or(usize::MAX).min(MOST_SECONDS - 1);
        if self.seconds.len() <= second {
            self.seconds.resize_with(second + 1, Second::default);
        }
        &mut self.seconds[second]
    }

    /// What was served in `window`; none: in the whole run.
    pub(super) fn served(&self, window: Option<Steady>) -> Served {
        let (from, to) = match window {
            Some(window) => (window.from_s as usize, window.to_s as usize),
            None => (0, self.seconds.len()),
        };
        let seconds = self.seconds.iter().take(to).skip(from);
        seconds.fold(Served::default(), |sum, second| Served {
            completed: sum.completed + second.completed,
            input_tokens: sum.input_tokens + second.input_tokens,
            output_tokens: sum.output_tokens + second.output_tokens,
        })
    }

    /// The rows, one for every second up to the last in which anything happened.
    pub(super) fn rows(&self, in_flight: &InFlight) -> Vec<SecondRow> {
        let (_, peaks) = in_flight.peaks();
        let rows = self.seconds.iter().enumerate().map(|(t_s, second)| SecondRow {
            t_s: u32::try_from(t_s).unwrap_or(u32::MAX),
            started: second.started,
            completed: second.completed,
            failed: second.failed,
            in_flight: peaks.get(t_s).copied().unwrap_or_default(),
            output_tokens: second.output_tokens,
            ttft_ms_p50: second.ttft.quantile_ms(500),
            ttft_ms_p99: second.ttft.quantile_ms(990),
            itl_ms_p50: second.itl.quantile_ms(500),
            itl_ms_p99: second.itl.quantile_ms(990),
            ..SecondRow::default()
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests;
