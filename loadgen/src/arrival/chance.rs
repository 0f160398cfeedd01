//! Chance that the seed decides.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The stream of the seed that due times are drawn from; users have those from 0 on.
const STREAM: u64 = u64::MAX;

/// Draws, one after another, the same for the same seed.
#[derive(Debug)]
pub(super) struct Chance(ChaCha8Rng);

impl Chance {
    pub(super) fn of(seed: u64) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        chance.set_stream(STREAM);
        Self(chance)
    }

    /// Evenly from (0, 1].
    #[expect(clippy::cast_precision_loss, reason = "53 bits are an exact float")]
    pub(super) fn unit(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// From the normal distribution of mean 0 and standard deviation 1 (Box and Muller, 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}
