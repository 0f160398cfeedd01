//! What makes the instrument worse on purpose, to see whether it notices.

use std::time::{Duration, Instant};

/// A handicap of the load threads, for measuring the instrument itself; by default none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handicap {
    /// Whether the kernel's receive stamps are passed over, as on a platform that has none.
    pub user_stamps: bool,
    /// Work for each token event; zero: none.
    pub spin_per_event: Duration,
}

impl Handicap {
    /// Works as long as so many token events are to cost.
    pub(crate) fn work(self, events: usize) {
        if self.spin_per_event.is_zero() {
            return;
        }
        let began = Instant::now();
        let costs = self.spin_per_event * u32::try_from(events).unwrap_or(u32::MAX);
        while began.elapsed() < costs {
            std::hint::spin_loop();
        }
    }
}
