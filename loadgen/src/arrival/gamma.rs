//! Requests at random, evenly or in bursts.

use shared::{RequestRate, Variation};

use super::{after_gaps, chance::Chance};
use crate::sample::Micros;

/// Due times of `rate` requests a second whose gaps are gamma distributed with the coefficient of
/// variation `cv`: shape 1 / cv², mean 1 / rate.
pub(super) fn due_times(
    rate: RequestRate,
    cv: Variation,
    seed: u64,
) -> impl Iterator<Item = Micros> {
    let mut chance = Chance::of(seed);
    let shape = cv.get().powi(-2);
    let scale = 1.0 / (rate.get() * shape);
    after_gaps(std::iter::repeat_with(move || scale * drawn(shape, &mut chance)))
}

/// From the gamma distribution of `shape` and scale 1 (Marsaglia and Tsang, 2000; below 1 by their
/// way through shape + 1).
fn drawn(shape: f64, chance: &mut Chance) -> f64 {
    if shape < 1.0 {
        let above = drawn(shape + 1.0, chance);
        return above * chance.unit().powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = chance.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && chance.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}
