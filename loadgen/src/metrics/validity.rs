//! Whether the figures can be trusted: the rules, each with its limit.
//!
//! A limit is where the instrument begins to show in the figures; what the target does badly is
//! no reason here, except where too few requests are left to say anything.

use shared::report::{
    EarlyStopping, Requests, StampSource, Stopped, StoppedBy, TokenSource, Tokens, Verdict,
};

use super::{Pacing, latency::share};
use crate::sample::Micros;

/// p99 of the schedule lag, in ms, above which a run is degraded: half an ITL of fast serving.
pub const SCHEDULE_LAG_DEGRADED_MS: f64 = 10.0;
/// … and invalid: the load was not the one that was asked for.
pub const SCHEDULE_LAG_INVALID_MS: f64 = 100.0;
/// How late the last load thread of all runners may begin, in ms: above, a part of the load was
/// missing at first, and a run is degraded.
pub const BEGUN_LATE_DEGRADED_MS: f64 = 50.0;
/// Achieved / planned rate of an open loop below which a run is degraded.
pub const ACHIEVED_RATE: f64 = 0.95;
/// p99 of the load threads' own stalls, in ms, above which a run is degraded.
pub const LOOP_LAG_DEGRADED_MS: f64 = 5.0;
/// … and invalid, unless the kernel took the receive stamps: those do not wait for the thread.
pub const LOOP_LAG_INVALID_MS: f64 = 50.0;
/// This client's own lag (p99) / the figure it shows in, above which a run is degraded. It shows in
/// a gap at both ends, and the true lag may be twice what a tick of the loop tells.
pub const LAG_OF_FIGURE_DEGRADED: f64 = 0.05;
/// … and invalid.
pub const LAG_OF_FIGURE_INVALID: f64 = 0.25;
/// Share of reads with several token events from which on their stamps may show in p99.
pub const COALESCED_SHARE_OF_P99: f64 = 0.01;
/// CPU share of the busiest load thread above which a run is degraded.
pub const CPU_DEGRADED: f64 = 0.8;
/// … and invalid: the client was the bottleneck.
pub const CPU_INVALID: f64 = 0.95;
/// Completed requests below which p99 is the maximum.
pub const SUPPORTS_P99: u64 = 100;
/// Completed requests below which a run is degraded.
pub const FEWEST_COMPLETED: u64 = 10;
/// Reached / asked output length below which the answers were shorter than asked.
pub const REACHED_RATIO: f64 = 0.95;
/// Share of requests in which usage and tokenizer may differ before it is noted.
pub const MISMATCHED_SHARE: f64 = 0.05;
/// Share of reads with several token events above which it is noted.
pub const COALESCED_SHARE: f64 = 0.1;

/// What the verdict depends on.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) requests: &'a Requests,
    pub(super) tokens: &'a Tokens,
    /// Completed requests with prompt tokens, where that is neither none nor all.
    pub(super) partly_counted_input: Option<u64>,
    pub(super) ignore_eos: bool,
    pub(super) users: u32,
    pub(super) pacing: Pacing,
    /// From the origin to when no more requests were due.
    pub(super) sending_us: Micros,
    /// What ended the run before its time.
    pub(super) stopped: Option<&'a Stopped>,
    /// Requests that were taken up before the sending time was over.
    pub(super) taken_up_in_time: u64,
    /// Whether there was a steady window.
    pub(super) steady: bool,
    pub(super) stamp_source: StampSource,
    pub(super) schedule_lag_p99_ms: Option<f64>,
    pub(super) loop_lag_p99_ms: Option<f64>,
    pub(super) begun_late_ms: Option<f64>,
    pub(super) stamp_lag_p99_ms: Option<f64>,
    /// The usual TTFT and ITL: the medians, or the mean where that is 0.
    pub(super) usual_ttft_ms: Option<f64>,
    pub(super) usual_itl_ms: Option<f64>,
    pub(super) cpu_share: Option<f64>,
    pub(super) coalesced_share: Option<f64>,
    pub(super) itl_raw_share: Option<f64>,
    pub(super) early_stopping: EarlyStopping,
}

/// The verdict, with its reasons first and then whatever else to know.
pub(super) fn judge(evidence: &Evidence<'_>) -> (Verdict, Vec<String>) {
    let mut findings = Findings::default();
    if let Some(Stopped { by, at_s, detail }) = evidence.stopped {
        let by = match by {
            StoppedBy::ErrorRate => "its error rate",
            StoppedBy::Overload => "overload",
        };
        findings.note(format!("the run was stopped by {by} after {at_s:.1} s: {detail}"));
    }
    schedule(evidence, &mut findings);
    instrument(evidence, &mut findings);
    sample_size(evidence, &mut findings);
    token_counts(evidence, &mut findings);
    findings.conclude()
}

fn schedule(evidence: &Evidence<'_>, findings: &mut Findings) {
    if let Some(lag) = evidence.schedule_lag_p99_ms {
        let verdict = graded(lag, SCHEDULE_LAG_DEGRADED_MS, SCHEDULE_LAG_INVALID_MS);
        let words = format!(
            "requests were sent late: schedule lag p99 is {lag:.1} ms, above {SCHEDULE_LAG_DEGRADED_MS} ms"
        );
        match (evidence.pacing, verdict) {
            (_, Verdict::Valid) => {}
            (Pacing::Burst, _) => findings.note(words),
            _ => findings.judge(verdict, || words),
        }
    }
    if let Some(late) = evidence.begun_late_ms.filter(|late| *late > BEGUN_LATE_DEGRADED_MS) {
        findings.judge(Verdict::Degraded, || {
            format!(
                "a part of the load began {late:.0} ms after the beginning, above {BEGUN_LATE_DEGRADED_MS} ms"
            )
        });
    }
    let Requests { scheduled, dropped, .. } = *evidence.requests;
    if dropped > 0 {
        findings.judge(Verdict::Degraded, || {
            format!("{dropped} of {scheduled} requests were due and found no room: dropped")
        });
    }
    if let Pacing::Schedule { .. } = evidence.pacing
        && let Some(achieved) = share(evidence.taken_up_in_time, scheduled)
        && achieved < ACHIEVED_RATE
    {
        let planned = rate(scheduled, evidence.sending_us);
        findings.judge(Verdict::Degraded, || {
            format!(
                "the planned rate was not achieved: {:.2} of {planned:.2} requests a second ({:.1} %), below {:.0} %",
                planned * achieved,
                achieved * 100.0,
                ACHIEVED_RATE * 100.0
            )
        });
    }
}

fn instrument(evidence: &Evidence<'_>, findings: &mut Findings) {
    if let Some(lag) = evidence.loop_lag_p99_ms {
        let verdict = match evidence.stamp_source {
            StampSource::Kernel => graded(lag, LOOP_LAG_DEGRADED_MS, f64::INFINITY),
            StampSource::User => graded(lag, LOOP_LAG_DEGRADED_MS, LOOP_LAG_INVALID_MS),
        };
        findings.judge(verdict, || {
            format!(
                "the load threads stalled: loop lag p99 is {lag:.1} ms, above {LOOP_LAG_DEGRADED_MS} ms"
            )
        });
    }
    stamps(evidence, findings);
    if let Some(share) = evidence.cpu_share {
        findings.judge(graded(share, CPU_DEGRADED, CPU_INVALID), || {
            format!(
                "the busiest load thread used {:.0} % of a core, above {:.0} %",
                share * 100.0,
                CPU_DEGRADED * 100.0
            )
        });
    }
    if evidence.stamp_source == StampSource::User {
        findings.note("receive stamps were taken by this process, not by the kernel: latencies include its own lag");
    }
    if let Some(share) = evidence.coalesced_share.filter(|share| *share > COALESCED_SHARE) {
        findings.note(format!(
            "{:.0} % of the reads held more than one token event, above {:.0} %: there the gaps between tokens are not the server's",
            share * 100.0,
            COALESCED_SHARE * 100.0
        ));
    }
}

/// Whether the client's own lag shows in the receive stamps. One of the kernel's is right however
/// late the thread is, unless a read took several events: it is that of the last of them.
fn stamps(evidence: &Evidence<'_>, findings: &mut Findings) {
    let lag = [evidence.loop_lag_p99_ms, evidence.stamp_lag_p99_ms];
    let Some(lag) = lag.into_iter().flatten().reduce(f64::max) else { return };
    let (itl, ttft) = (evidence.usual_itl_ms, evidence.usual_ttft_ms);
    let coalesced = evidence.coalesced_share.unwrap_or_default();
    let (figure, worst, why) = match evidence.stamp_source {
        StampSource::User => {
            let smaller = [itl.map(|ms| ("ITL", ms)), ttft.map(|ms| ("TTFT", ms))];
            let smaller = smaller.into_iter().flatten().min_by(|(_, a), (_, b)| a.total_cmp(b));
            let why = "receive stamps are this process's own".to_owned();
            (smaller, Verdict::Invalid, why)
        }
        StampSource::Kernel if coalesced > COALESCED_SHARE_OF_P99 => {
            let why = format!("{:.1} % of the reads held several token events", coalesced * 100.0);
            (itl.map(|ms| ("ITL", ms)), Verdict::Degraded, why)
        }
        StampSource::Kernel => return,
    };
    let Some((name, usual)) = figure.filter(|(_, usual)| *usual > 0.0) else { return };
    let verdict = graded(lag / usual, LAG_OF_FIGURE_DEGRADED, LAG_OF_FIGURE_INVALID).min(worst);
    findings.judge(verdict, || {
        format!(
            "{why}, and this client's lag (p99 {lag:.2} ms) is {:.0} % of the usual {name} of {usual:.1} ms, above {:.0} %",
            lag / usual * 100.0,
            LAG_OF_FIGURE_DEGRADED * 100.0
        )
    });
}

fn sample_size(evidence: &Evidence<'_>, findings: &mut Findings) {
    let Requests { completed, failed, .. } = *evidence.requests;
    if completed == 0 {
        findings.judge(Verdict::Invalid, || "no request completed".to_owned());
    } else if completed < FEWEST_COMPLETED {
        findings.judge(Verdict::Degraded, || {
            format!("only {completed} requests completed, below {FEWEST_COMPLETED}")
        });
    } else if completed < SUPPORTS_P99 {
        findings.note(format!(
            "{completed} requests completed, below {SUPPORTS_P99}: the p99 of a figure with one value a request is its maximum"
        ));
    }
    let EarlyStopping { n, p90, p99, confidence } = &evidence.early_stopping;
    if completed > 0 && !p99.supported {
        findings.note(format!(
            "{n} requests are too few to tell a p99 with {:.0} % confidence: MLPerf's early stopping needs {} (p90: {})",
            confidence * 100.0, p99.needed_n, p90.needed_n
        ));
    }
    if let Some(rate) = evidence.requests.error_rate.filter(|rate| *rate > 0.0) {
        findings.note(format!(
            "{failed} of {} requests failed ({:.2} %); latencies are of the others",
            completed + failed,
            rate * 100.0
        ));
    }
    if !evidence.steady {
        let why = match evidence.pacing {
            Pacing::Answers | Pacing::Stages { .. } => {
                format!("the load of {} users was never held for a whole second", evidence.users)
            }
            Pacing::Schedule { .. } => "requests were sent for less than a second".to_owned(),
            Pacing::Burst => "all requests were due at once".to_owned(),
        };
        findings.note(format!("there is no steady window: {why}"));
    }
}

fn token_counts(evidence: &Evidence<'_>, findings: &mut Findings) {
    let tokens = evidence.tokens;
    match tokens.source {
        Some(TokenSource::Events) => findings.judge(Verdict::Degraded, || {
            "output tokens are an estimate: one was counted for each token event".to_owned()
        }),
        Some(TokenSource::Mixed) => findings.judge(Verdict::Degraded, || {
            "output tokens were not counted the same way in all requests".to_owned()
        }),
        Some(TokenSource::Usage | TokenSource::Tokenizer) | None => {}
    }
    if let Some(ratio) = tokens.reached_ratio.filter(|ratio| *ratio < REACHED_RATIO) {
        let words = format!(
            "answers reached {:.1} % of the asked length, below {:.0} %",
            ratio * 100.0,
            REACHED_RATIO * 100.0
        );
        if evidence.ignore_eos {
            findings.judge(Verdict::Degraded, || words);
        } else {
            findings.note(words);
        }
    }
    if let Some(share) = tokens.mismatched_share.filter(|share| *share > MISMATCHED_SHARE) {
        findings.note(format!(
            "usage and tokenizer differ by more than 1 token in {:.0} % of the requests, above {:.0} %",
            share * 100.0,
            MISMATCHED_SHARE * 100.0
        ));
    }
    if let Some(counted) = evidence.partly_counted_input {
        findings.note(format!(
            "prompt tokens are known for only {counted} of {} completed requests, so there is no input figure",
            evidence.requests.completed
        ));
    }
    if let Some(share) = evidence.itl_raw_share.filter(|share| *share > 0.0) {
        findings.note(format!(
            "in {:.0} % of the requests the tokens of each event are unknown; there ITL is of events",
            share * 100.0
        ));
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 requests are not sent")]
fn rate(requests: u64, in_us: Micros) -> f64 {
    requests as f64 * 1e6 / in_us.max(1) as f64
}

fn graded(value: f64, degraded: f64, invalid: f64) -> Verdict {
    if value > invalid {
        Verdict::Invalid
    } else if value > degraded {
        Verdict::Degraded
    } else {
        Verdict::Valid
    }
}

#[derive(Default)]
struct Findings {
    found: Vec<(Verdict, String)>,
}

impl Findings {
    /// A finding that decides; nothing where the verdict is `valid`.
    fn judge(&mut self, verdict: Verdict, words: impl FnOnce() -> String) {
        if verdict > Verdict::Valid {
            self.found.push((verdict, words()));
        }
    }

    /// A finding that is only to be known.
    fn note(&mut self, words: impl Into<String>) {
        self.found.push((Verdict::Valid, words.into()));
    }

    fn conclude(mut self) -> (Verdict, Vec<String>) {
        self.found.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
        let worst = self.found.first().map_or(Verdict::Valid, |(verdict, _)| *verdict);
        (worst, self.found.into_iter().map(|(_, words)| words).collect())
    }
}

#[cfg(test)]
mod tests;
