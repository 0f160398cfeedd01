//! How many requests there were, what became of them, and what they said.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::report::{Failure, FailureClass, FinishReasons, Requests};

use super::{latency::share, settle::Settled};
use crate::sample::{ConnectionUse, Outcome};

/// Longest story of a failure kept, in bytes: its words and 2 KiB of the target's.
const STORY_BYTES: usize = 3 * 1_024;

/// Counts so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    /// Requests that were due and found no room.
    pub(super) dropped: u64,
    failures: BTreeMap<FailureClass, (u64, String)>,
    finish_reasons: FinishReasons,
    on_a_connection: u64,
    on_a_used_one: u64,
    token_reads: u64,
    coalesced_reads: u64,
}

impl Tally {
    /// Takes one request, however it ended.
    pub(super) fn record(&mut self, settled: &Settled) {
        let sample = &settled.sample;
        self.token_reads += u64::from(sample.token_reads);
        self.coalesced_reads += u64::from(sample.coalesced_reads);
        if let Some(connection) = sample.connection {
            self.on_a_connection += 1;
            self.on_a_used_one += u64::from(connection == ConnectionUse::Reused);
        }
        match &sample.outcome {
            Outcome::Completed => {
                self.completed += 1;
                // An answer without tokens has no reason to end.
                if sample.asked_tokens > 0 {
                    *self.finished(sample.finish_reason.as_deref()) += 1;
                }
            }
            Outcome::Failed(failure) => {
                self.failed += 1;
                let first = || (0, shortened(failure.to_string()));
                self.failures.entry(failure.class()).or_insert_with(first).0 += 1;
            }
            Outcome::Cancelled => self.cancelled += 1,
        }
    }

    /// Adds what `other` counted of other requests.
    pub(super) fn merge(&mut self, other: &Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.dropped += other.dropped;
        for (class, (count, story)) in &other.failures {
            self.failures.entry(*class).or_insert_with(|| (0, story.clone())).0 += count;
        }
        self.finish_reasons.add(&other.finish_reasons);
        self.on_a_connection += other.on_a_connection;
        self.on_a_used_one += other.on_a_used_one;
        self.token_reads += other.token_reads;
        self.coalesced_reads += other.coalesced_reads;
    }

    fn finished(&mut self, reason: Option<&str>) -> &mut u64 {
        let reasons = &mut self.finish_reasons;
        match reason {
            None => &mut reasons.missing,
            Some("stop") => &mut reasons.stop,
            Some("length") => &mut reasons.length,
            Some("tool_calls") => &mut reasons.tool_calls,
            Some("content_filter") => &mut reasons.content_filter,
            Some(_) => &mut reasons.other,
        }
    }

    /// In a closed loop a request is due when its user is free to send it, so none is dropped.
    pub(super) fn requests(&self) -> Requests {
        let started = self.completed + self.failed + self.cancelled;
        Requests {
            scheduled: started + self.dropped,
            started,
            completed: self.completed,
            failed: self.failed,
            cancelled: self.cancelled,
            dropped: self.dropped,
            error_rate: share(self.failed, self.completed + self.failed),
        }
    }

    /// By class, most frequent first; of equal ones the earlier stage first.
    pub(super) fn failures(&self) -> Vec<Failure> {
        let by_class = self.failures.iter();
        let mut failures: Vec<Failure> = by_class
            .map(|(class, (count, sample))| Failure {
                class: *class,
                count: *count,
                sample: sample.clone(),
            })
            .collect();
        failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
        failures
    }

    pub(super) fn finish_reasons(&self) -> FinishReasons {
        self.finish_reasons.clone()
    }

    /// Connections opened by these requests.
    pub(super) fn connections_opened(&self) -> u64 {
        self.on_a_connection - self.on_a_used_one
    }

    /// Share of the requests that got a connection for which it had served before.
    pub(super) fn reused_share(&self) -> Option<f64> {
        share(self.on_a_used_one, self.on_a_connection)
    }

    /// Share of the reads with token events that held more than one.
    pub(super) fn coalesced_share(&self) -> Option<f64> {
        share(self.coalesced_reads, self.token_reads)
    }
}

fn shortened(mut story: String) -> String {
    story.truncate(story.floor_char_boundary(STORY_BYTES));
    story
}
