//! Until when load may be sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// Stands for no deadline at all.
const NEVER: u64 = u64::MAX;

/// Until when requests may leave, for whoever may drive a load only as long as he is told so.
///
/// It is looked at before each request. A process that was stopped for a while and goes on finds
/// it passed before any task or timer of its own has had its turn. By the monotonic clock, which
/// stands still while the whole machine is suspended: there, only the renewal tells.
#[derive(Clone, Debug)]
pub struct Deadline(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: Instant,
    /// From `base`.
    at_us: AtomicU64,
    missed: AtomicBool,
}

impl Deadline {
    /// Requests may leave until `at`.
    pub fn at(at: Instant) -> Self {
        let base = Instant::now();
        let at_us = AtomicU64::new(micros(at.saturating_duration_since(base)));
        Self(Arc::new(Inner { base, at_us, missed: AtomicBool::default() }))
    }

    /// Requests may leave at any time.
    pub fn never() -> Self {
        let deadline = Self::at(Instant::now());
        deadline.0.at_us.store(NEVER, Relaxed);
        deadline
    }

    /// Puts it off until `at`; never before what it was.
    pub fn put_off(&self, at: Instant) {
        let at_us = micros(at.saturating_duration_since(self.0.base));
        self.0.at_us.fetch_max(at_us, Relaxed);
    }

    /// Whether a request was refused because it had passed. That ends the run, whatever comes after.
    pub fn is_missed(&self) -> bool {
        self.0.missed.load(Relaxed)
    }

    fn has_passed(&self) -> bool {
        let at_us = self.0.at_us.load(Relaxed);
        at_us != NEVER && micros(self.0.base.elapsed()) >= at_us
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(NEVER)
}

/// What a load thread asks before each request.
#[derive(Clone, Debug)]
pub(super) struct Permit {
    pub(super) deadline: Deadline,
    /// Cancelled, where the deadline has passed.
    pub(super) stop: CancellationToken,
}

impl Permit {
    /// Whether the next request may leave; the run stops where it may not.
    pub(super) fn holds(&self) -> bool {
        let holds = !self.deadline.has_passed();
        if !holds {
            self.deadline.0.missed.store(true, Relaxed);
            self.stop.cancel();
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_passed_stops_the_run_even_if_it_is_put_off_later() {
        let permit = |deadline| Permit { deadline, stop: CancellationToken::new() };
        assert!(permit(Deadline::never()).holds());
        let late = permit(Deadline::at(Instant::now()));
        assert!(!late.holds() && late.stop.is_cancelled() && late.deadline.is_missed());
        late.deadline.put_off(Instant::now() + Duration::from_secs(60));
        assert!(late.deadline.is_missed());

        let ahead = Deadline::at(Instant::now() + Duration::from_secs(60));
        ahead.put_off(Instant::now());
        assert!(permit(ahead).holds(), "it is never put back");
    }
}
