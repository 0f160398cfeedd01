//! Requests at equal distances.

use shared::RequestRate;

use super::micros;
use crate::sample::Micros;

/// Due times at `rate`, the first at the origin.
///
/// Each is computed from its index, not from the one before, so rounding never adds up.
pub(super) fn due_times(rate: RequestRate) -> impl Iterator<Item = Micros> {
    (0_u32..).map(move |nth| micros(f64::from(nth) / rate.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_by_its_index() {
        let due = |rate: f64| due_times(rate.try_into().unwrap());
        assert_eq!(due(2.0).take(4).collect::<Vec<_>>(), [0, 500_000, 1_000_000, 1_500_000]);
        // a third of a second cannot be written in microseconds, but three of them are one second
        assert_eq!(due(3.0).nth(30_000), Some(10_000_000_000));
    }
}
