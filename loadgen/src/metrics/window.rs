//! How many requests were open when, and when the load was at its plan.
//!
//! Requests arrive here when they end, so in no useful order; instead of their instants only sums
//! are kept, per 10 ms: memory grows with the length of the run, not with its requests.

use serde::{Deserialize, Serialize};

use crate::sample::Micros;

/// Share of the users that must be in flight, on the mean of a second, for it to be steady.
pub const STEADY_SHARE: f64 = 0.95;

const CELL_US: u64 = 10_000;
const CELLS_A_SECOND: usize = 100;

/// Later instants count as this one. A run's duration, its grace and its longest request together
/// are shorter.
const MOST_US: u64 = 3 * 3_600 * 1_000_000;

/// Open requests over time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct InFlight {
    cells: Vec<Cell>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Cell {
    /// Request-microseconds of requests that started or ended within the cell.
    partly_us: u32,
    /// Change, at the cell's start, of the number of requests open throughout.
    throughout: i32,
}

impl InFlight {
    /// Takes a request that was open in `[from_us, to_us)`.
    pub(super) fn record(&mut self, from_us: Micros, to_us: Micros) {
        let (from_us, to_us) = (from_us.min(MOST_US), to_us.min(MOST_US));
        if to_us <= from_us {
            return;
        }
        let (first, last) = (cell_of(from_us), cell_of(to_us));
        if self.cells.len() <= last {
            self.cells.resize(last + 1, Cell::default());
        }
        if first == last {
            self.cells[first].add(to_us - from_us);
            return;
        }
        self.cells[first].add(CELL_US - from_us % CELL_US);
        self.cells[last].add(to_us % CELL_US);
        self.cells[first + 1].throughout += 1;
        self.cells[last].throughout -= 1;
    }

    /// Adds what `other` holds of other requests of the same time.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.cells.len() < other.cells.len() {
            self.cells.resize(other.cells.len(), Cell::default());
        }
        for (mine, others) in self.cells.iter_mut().zip(&other.cells) {
            mine.add(u64::from(others.partly_us));
            mine.throughout += others.throughout;
        }
    }

    /// Request-microseconds in each cell, in order.
    fn busy_us(&self) -> impl Iterator<Item = u64> {
        self.cells.iter().scan(0_i64, |throughout, cell| {
            *throughout += i64::from(cell.throughout);
            let whole = u64::try_from(*throughout).unwrap_or_default() * CELL_US;
            Some(whole + u64::from(cell.partly_us))
        })
    }

    /// Request-microseconds of the whole run: the concurrency's mean, times the run's length.
    pub(super) fn total_us(&self) -> u64 {
        self.busy_us().sum()
    }

    /// The highest mean of any 10 ms, rounded up to whole requests; the same second by second.
    pub(super) fn peaks(&self) -> (u64, Vec<u64>) {
        let busy: Vec<u64> = self.busy_us().collect();
        let peaks: Vec<u64> = busy
            .chunks(CELLS_A_SECOND)
            .map(|second| second.iter().max().map_or(0, |most| most.div_ceil(CELL_US)))
            .collect();
        (peaks.iter().copied().max().unwrap_or_default(), peaks)
    }

    /// The steady window of a closed loop without waits: the longest run of whole seconds before
    /// `until_us` in each of which the mean number of open requests is at least 95 % of `users`;
    /// the earliest, where several are longest.
    ///
    /// The mean over a second, not each instant: between two requests of a user there is always a
    /// moment without one.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a run has a few thousand seconds, and 2^53 request-microseconds are 285 years"
    )]
    pub(super) fn steady(&self, users: u32, until_us: Micros) -> Option<Steady> {
        let needed_us = STEADY_SHARE * f64::from(users) * 1e6;
        let busy: Vec<u64> = self.busy_us().collect();
        let whole_seconds = (until_us / 1_000_000) as usize;
        let mut longest: Option<Steady> = None;
        let mut start = 0;
        for (second, cells) in (1..=whole_seconds).zip(busy.chunks(CELLS_A_SECOND)) {
            if (cells.iter().sum::<u64>() as f64) < needed_us {
                start = second as u32;
            } else if longest.is_none_or(|longest| longest.seconds() < second as u32 - start) {
                longest = Some(Steady { from_s: start, to_s: second as u32 });
            }
        }
        longest
    }
}

/// A stretch of whole seconds, `[from_s, to_s)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steady {
    pub(super) from_s: u32,
    pub(super) to_s: u32,
}

impl Steady {
    /// The steady window where the number of open requests says nothing about the plan: from the
    /// second in which the load is whole to the last that is in the sending time, as far as it has
    /// passed. So it is in a closed loop with waits, for who waits is not in flight, and in an open
    /// loop.
    pub(super) fn by_plan(warmup_us: Micros, sending_us: Micros, until_us: Micros) -> Option<Self> {
        let from_s = u32::try_from(warmup_us.div_ceil(1_000_000)).ok()?;
        let to_s = u32::try_from(sending_us.min(until_us) / 1_000_000).unwrap_or(u32::MAX);
        (from_s < to_s).then_some(Self { from_s, to_s })
    }

    /// Its length in seconds; at least 1.
    pub(super) fn seconds(self) -> u32 {
        self.to_s - self.from_s
    }
}

fn cell_of(us: Micros) -> usize {
    (us / CELL_US) as usize
}

impl Cell {
    fn add(&mut self, us: u64) {
        self.partly_us = self.partly_us.saturating_add(u32::try_from(us).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests;
