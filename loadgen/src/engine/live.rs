//! What a run can tell while it runs, before its samples are in.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::brake::Brake;
use crate::{failure::RequestFailure, metrics::Counts};

/// Counters that every load thread adds to.
#[derive(Debug)]
pub(crate) struct Live {
    started: AtomicU64,
    begun: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    cancelled: AtomicU64,
    dropped: AtomicU64,
    token_events: AtomicU64,
    brake: Brake,
}

impl Live {
    /// All at 0. `brake` hears of every request that is over.
    pub(super) fn with(brake: Brake) -> Self {
        Self {
            started: AtomicU64::default(),
            begun: AtomicU64::default(),
            completed: AtomicU64::default(),
            failed: AtomicU64::default(),
            refused: AtomicU64::default(),
            cancelled: AtomicU64::default(),
            dropped: AtomicU64::default(),
            token_events: AtomicU64::default(),
            brake,
        }
    }

    pub(crate) fn add_started(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    /// Counts a request that has had its first token, or is over without one.
    pub(crate) fn add_begun(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_completed(&self) {
        self.completed.fetch_add(1, Relaxed);
        self.brake.ended(false);
    }

    pub(crate) fn add_failed(&self, failure: &RequestFailure) {
        self.failed.fetch_add(1, Relaxed);
        if matches!(failure, RequestFailure::Status { status: 429 | 503, .. }) {
            self.refused.fetch_add(1, Relaxed);
        }
        self.brake.ended(true);
    }

    pub(crate) fn add_cancelled(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    /// Counts a request that was due and found no room.
    pub(crate) fn add_dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    pub(crate) fn add_tokens(&self, events: usize) {
        self.token_events.fetch_add(events as u64, Relaxed);
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    pub(crate) fn token_events(&self) -> u64 {
        self.token_events.load(Relaxed)
    }

    /// Requests that ended, well or not.
    pub(crate) fn ended(&self) -> u64 {
        self.completed.load(Relaxed) + self.failed()
    }

    pub(crate) fn in_flight(&self) -> u64 {
        let over = self.ended() + self.cancelled.load(Relaxed);
        self.started.load(Relaxed).saturating_sub(over)
    }

    /// What ends this run before its time.
    pub(super) fn brake(&self) -> &Brake {
        &self.brake
    }

    /// What tells whether the target keeps up.
    ///
    /// - `judged`, `good`: requests held against the objectives, and those that met them.
    pub(super) fn counts(&self, (judged, good): (u64, u64)) -> Counts {
        // Begun first: what begins in between is started too.
        let begun = self.begun.load(Relaxed);
        let started = self.started.load(Relaxed);
        Counts {
            started,
            dropped: self.dropped(),
            waiting: started.saturating_sub(begun),
            begun,
            ended: self.ended(),
            refused: self.refused.load(Relaxed),
            judged,
            good,
        }
    }
}
