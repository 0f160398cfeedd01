//! How late the loop is, by its own ticks.

use super::{super::load_thread, Readiness};
use crate::{metrics::Lag, sample::Micros};

/// How often the loop looks how late it is, and whether it is to stop.
const TICK_US: Micros = 10_000;
/// Ticks between two comparisons of the clocks, and between two words to the analyst.
const TICKS_A_ROUND: u32 = 25;

#[derive(Default)]
pub(super) struct Watch {
    /// When the next tick is due.
    pub(super) next_us: Micros,
    ticks: u32,
    lag: Lag,
}

impl Watch {
    /// Notes how late a tick is that is due; whether one was.
    pub(super) fn look(&mut self, now_us: Micros, load: &Readiness) -> bool {
        if now_us < self.next_us {
            return false;
        }
        self.lag.record_us(now_us - self.next_us);
        self.next_us = now_us + TICK_US;
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_A_ROUND) {
            load.exchanger.clock.align();
            self.report(load);
        }
        true
    }

    /// Tells the analyst what has been noted since the last time.
    pub(super) fn report(&mut self, load: &Readiness) {
        load_thread::report(&load.exchanger, &mut self.lag, &load.duty);
    }
}
