//! The whole list of due times of an open loop, and which of them are whose.

use std::sync::Arc;

use shared::{Load, Staged, StagesOf};

use super::{DueTimes, Slice, all_at_once, constant, gamma, poisson, staged};
use crate::sample::Micros;

/// When the requests of an open loop are due.
#[derive(Clone, Debug)]
pub struct Schedule {
    load: Load,
    seed: u64,
    recorded: Recorded,
}

/// What is due of a trace; of other loads, nothing.
#[derive(Clone, Debug, Default)]
struct Recorded {
    due: Arc<[Micros]>,
    /// When the first would be due that is not sent; none: there is none.
    beyond_us: Option<Micros>,
}

impl Schedule {
    /// The schedule of `load`; none: it is a closed loop, in which answers decide.
    pub fn of(load: &Load, seed: u64) -> Option<Self> {
        match load {
            Load::ClosedLoop(_) | Load::Staged(Staged { of: StagesOf::Users, .. }) => None,
            _ => Some(Self { load: load.clone(), seed, recorded: Recorded::default() }),
        }
    }

    /// The same, of the requests of a trace.
    ///
    /// - `beyond_us`: when the first would be due that is not sent; none: the trace ends with them.
    #[must_use]
    pub fn replaying(self, due: Arc<[Micros]>, beyond_us: Option<Micros>) -> Self {
        Self { recorded: Recorded { due, beyond_us }, ..self }
    }

    /// Index and due time of each request, in order.
    pub fn due(&self) -> impl Iterator<Item = (u64, Micros)> + use<> {
        let until_us = self.duration_us();
        let most = self.max_requests().unwrap_or(u64::MAX);
        (0..most).zip(self.unbounded()).take_while(move |(_, due_us)| *due_us < until_us)
    }

    /// The same, of those in `slice`.
    pub fn dealt_to(&self, slice: Slice) -> impl Iterator<Item = (u64, Micros)> + use<> {
        self.due().filter(move |(nth, _)| slice.holds(*nth))
    }

    /// When the sending is over: at the end of the duration, or when the request would be due that
    /// is one too many; of a trace that ends before, with its last request.
    pub fn sending_us(&self) -> Micros {
        let until_us = self.duration_us();
        if let Load::Trace(_) = self.load {
            let last_us = self.recorded.due.last().copied().unwrap_or(0);
            return self.recorded.beyond_us.unwrap_or(last_us).min(until_us);
        }
        let one_too_many = self.max_requests().and_then(|most| {
            let nth = usize::try_from(most).ok()?;
            self.unbounded().take_while(|due_us| *due_us < until_us).nth(nth)
        });
        one_too_many.unwrap_or(until_us)
    }

    /// Whether all requests are due at the same time.
    pub fn is_a_burst(&self) -> bool {
        matches!(self.load, Load::AllAtOnce(_))
    }

    fn duration_us(&self) -> Micros {
        Micros::from(self.load.duration().get()) * 1_000_000
    }

    fn max_requests(&self) -> Option<u64> {
        self.load.max_requests().map(|most| most.get().into())
    }

    fn unbounded(&self) -> DueTimes {
        match &self.load {
            Load::ClosedLoop(_) => Box::new(std::iter::empty()),
            Load::Constant(load) => Box::new(constant::due_times(load.rate)),
            Load::Poisson(load) => Box::new(poisson::due_times(load.rate, self.seed)),
            Load::Gamma(load) => Box::new(gamma::due_times(load.rate, load.cv, self.seed)),
            Load::AllAtOnce(load) => Box::new(all_at_once::due_times(load)),
            Load::Staged(load) => Box::new(staged::due_times(&load.stages)),
            Load::Trace(_) => {
                let due = Arc::clone(&self.recorded.due);
                Box::new((0..due.len()).map(move |nth| due[nth]))
            }
        }
    }
}

#[cfg(test)]
mod tests;
