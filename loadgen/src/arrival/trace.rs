//! Requests when those of a trace came.

use super::micros;
use crate::sample::Micros;

/// When a request is due that came `at_us` after the first of its trace, replayed `speed` times as
/// fast. Computed from its own time, so rounding never adds up.
#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
pub fn replayed_us(at_us: Micros, speed: f64) -> Micros {
    micros(at_us as f64 / 1e6 / speed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_as_fast_is_due_after_half_the_time() {
        assert_eq!(replayed_us(3_000_000, 1.0), 3_000_000);
        assert_eq!(replayed_us(3_000_000, 2.0), 1_500_000);
        assert_eq!(replayed_us(3_000_000, 0.5), 6_000_000);
        // a day in microseconds survives the way through seconds
        assert_eq!(replayed_us(86_400_000_001, 1.0), 86_400_000_001);
    }
}
