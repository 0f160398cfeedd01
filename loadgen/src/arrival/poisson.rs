//! Requests at random, each independent of the others.

use shared::RequestRate;

use super::{after_gaps, chance::Chance};
use crate::sample::Micros;

/// Due times of a Poisson process of `rate` requests a second: gaps are exponentially distributed.
pub(super) fn due_times(rate: RequestRate, seed: u64) -> impl Iterator<Item = Micros> {
    let mut chance = Chance::of(seed);
    after_gaps(std::iter::repeat_with(move || -chance.unit().ln() / rate.get()))
}
