//! What a run can tell while it runs, before its samples are in.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters that every load thread adds to.
#[derive(Debug, Default)]
pub(crate) struct Live {
    started: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    dropped: AtomicU64,
    token_events: AtomicU64,
}

impl Live {
    pub(crate) fn add_started(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_completed(&self) {
        self.completed.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_failed(&self) {
        self.failed.fetch_add(1, Relaxed);
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
}
