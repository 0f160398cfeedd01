//! Requests when a trace has them.

use std::sync::Arc;

use super::micros;
use crate::{sample::Micros, trace::Trace};

/// When a request is due that came `at_us` after the first of its trace, replayed `speed` times as
/// fast. Computed from its own time, so rounding never adds up.
#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
pub fn due_us(at_us: Micros, speed: f64) -> Micros {
    micros(at_us as f64 / 1e6 / speed)
}

/// Due times of the rows of `trace`, the first at the origin.
pub(super) fn due_times(trace: Arc<Trace>, speed: f64) -> impl Iterator<Item = Micros> {
    (0..trace.rows().len()).map(move |nth| due_us(trace.rows()[nth].at_us, speed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_as_fast_is_due_after_half_the_time() {
        assert_eq!(due_us(3_000_000, 1.0), 3_000_000);
        assert_eq!(due_us(3_000_000, 2.0), 1_500_000);
        assert_eq!(due_us(3_000_000, 0.5), 6_000_000);
        // a day in microseconds survives the way through seconds
        assert_eq!(due_us(86_400_000_001, 1.0), 86_400_000_001);
    }
}
