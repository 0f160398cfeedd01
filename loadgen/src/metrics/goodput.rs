//! How many requests were good: those that completed and kept every limit.

use serde::{Deserialize, Serialize};
use shared::{Slo, SloMs, report};

use super::{early_stopping, latency::share, settle::Settled, throughput::per_s};
use crate::sample::{Micros, Outcome};

/// Counts so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Goodput {
    slo: Slo,
    met: u64,
    scheduled: u64,
}

impl Goodput {
    pub(super) fn new(slo: Slo) -> Self {
        Self { slo, met: 0, scheduled: 0 }
    }

    /// Takes one request, however it ended.
    pub(super) fn record(&mut self, settled: &Settled) {
        self.scheduled += 1;
        self.met += u64::from(meets(settled, &self.slo));
    }

    /// Adds what `other` counted of other requests by the same limits.
    pub(super) fn merge(&mut self, other: &Self) {
        self.met += other.met;
        self.scheduled += other.scheduled;
    }

    /// Requests so far, and the good ones among them.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.scheduled, self.met)
    }

    /// The figures over a stretch of `length_us`, in which `dropped` requests more were due.
    pub(super) fn figures(&self, length_us: Micros, dropped: u64) -> report::Goodput {
        let scheduled = self.scheduled + dropped;
        report::Goodput {
            slo: self.slo.clone(),
            requests_per_s: per_s(self.met, length_us),
            ratio: share(self.met, scheduled),
            met: self.met,
            scheduled,
            p99_shown: early_stopping::shows(scheduled, scheduled - self.met, 990),
        }
    }
}

/// Whether a request is good. Where a figure does not exist (the TPOT of a single token) there is
/// nothing that could break its limit.
fn meets(settled: &Settled, slo: &Slo) -> bool {
    let sample = &settled.sample;
    let (Some(sent), Some(last)) = (sample.sent_us, sample.answered_us()) else { return false };
    let first = sample.first_token_us();
    let longest_gap = settled.event_gaps_us().max().unwrap_or_default();
    matches!(sample.outcome, Outcome::Completed)
        && first.is_none_or(|first| {
            keeps(first.saturating_sub(sent), 1, slo.ttft_ms)
                && keeps(last.saturating_sub(first), settled.tokens_after_first(), slo.tpot_ms)
        })
        && keeps(longest_gap, 1, slo.itl_ms)
        && keeps(last.saturating_sub(sent), 1, slo.e2e_ms)
}

/// Whether `total_us / parts` is at most `limit`; so it is where there are no parts.
#[expect(clippy::cast_precision_loss, reason = "microseconds and tokens of one request")]
fn keeps(total_us: Micros, parts: u64, limit: Option<SloMs>) -> bool {
    limit.is_none_or(|limit| parts == 0 || total_us as f64 <= limit.get() * 1e3 * parts as f64)
}

#[cfg(test)]
mod tests;
