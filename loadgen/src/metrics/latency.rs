//! How long things took, over completed requests only.

use serde::{Deserialize, Serialize};
use shared::report::{
    Distribution, EarlyStopping, FromIntent, HistogramUnit, IntentDistribution, Latency,
};

use super::{early_stopping, histogram::Histogram, ranks, settle::Settled};
use crate::sample::{ConnectionUse, Micros, Outcome, Sample};

/// Latencies and speeds of the requests so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Latencies {
    ttft: Histogram,
    ttfa: Histogram,
    ttfe: Histogram,
    e2e: Histogram,
    tpot: Histogram,
    itl: Histogram,
    /// Requests that gave ITL samples, and of them those whose raw gaps were taken.
    itl_requests: u64,
    itl_raw: u64,
    icl: Histogram,
    stall: Histogram,
    connect: Histogram,
    tls: Histogram,
    send: Histogram,
    wait: Histogram,
    ttft_from_intent: Histogram,
    e2e_from_intent: Histogram,
    failed: u64,
    token_speed: Histogram,
    output_token_rate: Histogram,
}

/// From sent to the first token and to the end of an answer, of a completed request; none where
/// there is no such thing.
pub(super) fn ttft_and_e2e_us(sample: &Sample) -> (Option<Micros>, Option<Micros>) {
    let sent = sample.sent_us.filter(|_| matches!(sample.outcome, Outcome::Completed));
    let since = |at: Option<Micros>| Some(at?.saturating_sub(sent?));
    (since(sample.first_token_us()), since(sample.answered_us()))
}

impl Latencies {
    /// Takes one request, however it ended.
    pub(super) fn record(&mut self, settled: &Settled) {
        if let Some(ConnectionUse::Opened { connect_us, tls_us }) = settled.sample.connection {
            self.connect.record_us(connect_us);
            if let Some(tls_us) = tls_us {
                self.tls.record_us(tls_us);
            }
        }
        match settled.sample.outcome {
            Outcome::Completed => self.record_completed(settled),
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Cancelled => {}
        }
    }

    fn record_completed(&mut self, settled: &Settled) {
        let sample = &settled.sample;
        let (Some(sent), Some(last)) = (sample.sent_us, sample.answered_us()) else { return };
        let e2e_us = last.saturating_sub(sent);
        self.e2e.record_us(e2e_us);
        self.e2e_from_intent.record_us(last.saturating_sub(sample.intended_us));
        if settled.output_tokens > 0 {
            self.output_token_rate.record_rate(settled.output_tokens, e2e_us);
        }
        if let Some(written) = sample.written_us {
            self.send.record_us(written.saturating_sub(sent));
            if let Some(head) = sample.head_us {
                self.wait.record_us(head.saturating_sub(written));
            }
        }
        let Some(first) = sample.first_token_us() else { return };
        self.ttft.record_us(first.saturating_sub(sent));
        if let Some(answer) = sample.first_answer_us {
            self.ttfa.record_us(answer.saturating_sub(sent));
        }
        if let Some(event) = sample.first_event_us {
            self.ttfe.record_us(event.saturating_sub(sent));
        }
        self.ttft_from_intent.record_us(first.saturating_sub(sample.intended_us));
        if sample.events.len() < 2 {
            return;
        }
        let after_first = settled.tokens_after_first(); // 0: neither is recorded
        let stream_us = last.saturating_sub(first);
        self.tpot.record_quotient(stream_us, after_first);
        if after_first > 0 {
            self.token_speed.record_rate(after_first, stream_us);
        }
        for gap_us in settled.event_gaps_us() {
            self.icl.record_us(gap_us);
        }
        if let Some(longest) = settled.event_gaps_us().max() {
            self.stall.record_us(longest);
        }
        self.itl_requests += 1;
        self.itl_raw += u64::from(settled.per_event.is_none());
        for gap in settled.token_gaps() {
            self.itl.record_split(gap.length_us, u64::from(gap.tokens));
        }
    }

    /// Adds what `other` holds of other requests.
    pub(super) fn merge(&mut self, other: &Self) {
        self.ttft.merge(&other.ttft);
        self.ttfa.merge(&other.ttfa);
        self.ttfe.merge(&other.ttfe);
        self.e2e.merge(&other.e2e);
        self.tpot.merge(&other.tpot);
        self.itl.merge(&other.itl);
        self.icl.merge(&other.icl);
        self.stall.merge(&other.stall);
        self.connect.merge(&other.connect);
        self.tls.merge(&other.tls);
        self.send.merge(&other.send);
        self.wait.merge(&other.wait);
        self.ttft_from_intent.merge(&other.ttft_from_intent);
        self.e2e_from_intent.merge(&other.e2e_from_intent);
        self.token_speed.merge(&other.token_speed);
        self.output_token_rate.merge(&other.output_token_rate);
        self.itl_requests += other.itl_requests;
        self.itl_raw += other.itl_raw;
        self.failed += other.failed;
    }

    pub(super) fn latency(&self) -> Latency {
        Latency {
            ttft_ms: self.ttft.distribution(),
            ttfa_ms: self.ttfa.distribution(),
            ttfe_ms: self.ttfe.distribution(),
            e2e_ms: self.e2e.distribution(),
            tpot_ms: self.tpot.distribution(),
            itl_ms: self.itl.distribution(),
            itl_raw_share: share(self.itl_raw, self.itl_requests),
            icl_ms: self.icl.distribution(),
            stall_ms: self.stall.distribution(),
            connect_ms: self.connect.distribution(),
            tls_ms: self.tls.distribution(),
            send_ms: self.send.distribution(),
            wait_ms: self.wait.distribution(),
            from_intent: FromIntent {
                // Answers that are not streamed have no first token to be late with.
                ttft_ms: (self.ttft.n() == self.e2e.n())
                    .then(|| with_failures(&self.ttft_from_intent, self.failed))
                    .flatten(),
                e2e_ms: with_failures(&self.e2e_from_intent, self.failed),
            },
        }
    }

    /// Every histogram of these, with the figure's name and the unit of its values.
    pub(super) fn histograms(&self) -> [(&'static str, HistogramUnit, &Histogram); 13] {
        use HistogramUnit::{MilliTokensPerS, Us};
        [
            ("ttft_ms", Us, &self.ttft),
            ("ttfa_ms", Us, &self.ttfa),
            ("ttfe_ms", Us, &self.ttfe),
            ("e2e_ms", Us, &self.e2e),
            ("tpot_ms", Us, &self.tpot),
            ("itl_ms", Us, &self.itl),
            ("icl_ms", Us, &self.icl),
            ("stall_ms", Us, &self.stall),
            ("connect_ms", Us, &self.connect),
            ("from_intent.ttft_ms", Us, &self.ttft_from_intent),
            ("from_intent.e2e_ms", Us, &self.e2e_from_intent),
            ("token_speed_per_s", MilliTokensPerS, &self.token_speed),
            ("output_token_rate_per_s", MilliTokensPerS, &self.output_token_rate),
        ]
    }

    /// Whether there were enough requests for high percentiles.
    pub(super) fn early_stopping(&self) -> EarlyStopping {
        early_stopping::of(&self.ttft, &self.e2e)
    }

    /// 1 / TPOT, in tokens/s.
    pub(super) fn token_speed(&self) -> Option<Distribution> {
        self.token_speed.distribution()
    }

    /// Output tokens / E2E, in tokens/s.
    pub(super) fn output_token_rate(&self) -> Option<Distribution> {
        self.output_token_rate.distribution()
    }
}

/// Percentiles over `completed` and as many infinitely late samples as requests failed.
fn with_failures(completed: &Histogram, failed: u64) -> Option<IntentDistribution> {
    let n = completed.n() + failed;
    let quantile = |per_mille| {
        let rank = ranks::rank(n, per_mille);
        (rank <= completed.n()).then(|| completed.at_rank(rank)).flatten()
    };
    (n > 0).then(|| IntentDistribution {
        n,
        failed,
        p50: quantile(500),
        p90: quantile(900),
        p95: quantile(950),
        p99: quantile(990),
    })
}

/// `part / whole`; none: nothing to share.
#[expect(clippy::cast_precision_loss, reason = "a share of counts")]
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests;
