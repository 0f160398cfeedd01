//! A distribution small enough to be kept for each second of an hour.
//!
//! Log-linear buckets like the HDR histogram's, but with 7 bits of a value instead of 11 (within
//! 1 % of it), and only those that hold something.

use serde::{Deserialize, Serialize};

/// Bits of a value that are kept.
const BITS: u32 = 7;

/// Counts by bucket, ascending.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Sketch {
    counts: Vec<(u16, u32)>,
}

impl Sketch {
    /// Takes `times` samples of `us` microseconds.
    pub(super) fn record_us(&mut self, us: u64, times: u32) {
        self.add(bucket_of(us), times);
    }

    /// Adds what `other` holds.
    pub(super) fn merge(&mut self, other: &Self) {
        for (bucket, times) in &other.counts {
            self.add(*bucket, *times);
        }
    }

    fn add(&mut self, bucket: u16, times: u32) {
        match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(times),
            Err(at) => self.counts.insert(at, (bucket, times)),
        }
    }

    /// The quantile `per_mille / 1000` in milliseconds, to 1 %; none: no samples.
    pub(super) fn quantile_ms(&self, per_mille: u64) -> Option<f64> {
        let n = self.counts.iter().map(|(_, count)| u64::from(*count)).sum();
        let rank = super::ranks::rank(n, per_mille);
        let mut seen = 0;
        self.counts
            .iter()
            .find(|(_, count)| {
                seen += u64::from(*count);
                seen >= rank
            })
            .map(|(bucket, _)| middle_ms(*bucket))
    }
}

/// Small values are their own bucket; others are cut to [`BITS`] bits.
#[expect(clippy::cast_possible_truncation, reason = "64 octaves of 64 buckets fit in 16 bits")]
fn bucket_of(us: u64) -> u16 {
    let shift = (u64::BITS - us.leading_zeros()).saturating_sub(BITS);
    ((u64::from(shift) << (BITS - 1)) + (us >> shift)) as u16
}

#[expect(clippy::cast_precision_loss, reason = "a value that is good to 1 %")]
fn middle_ms(bucket: u16) -> f64 {
    let half = 1_u64 << (BITS - 1);
    let bucket = u64::from(bucket);
    let shift = (bucket / half).saturating_sub(1);
    let low = (bucket - shift * half) << shift;
    (low as f64 + ((1_u64 << shift) - 1) as f64 / 2.0) / 1e3
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_values_are_kept_as_they_are() {
        let mut sketch = Sketch::default();
        for us in [0, 1, 63, 64, 127] {
            sketch.record_us(us, 1);
        }
        assert_eq!(sketch.quantile_ms(500), Some(0.063));
        assert_eq!(sketch.quantile_ms(1_000), Some(0.127));
        assert_eq!(Sketch::default().quantile_ms(500), None);
    }

    proptest! {
        #[test]
        #[expect(clippy::cast_precision_loss, reason = "2^45 is an exact float")]
        fn a_value_comes_back_within_one_percent(us in 0..1_u64 << 45) {
            let mut sketch = Sketch::default();
            sketch.record_us(us, 3);
            let (back, exact) = (sketch.quantile_ms(500).unwrap(), us as f64 / 1e3);
            prop_assert!((back - exact).abs() <= exact * 0.01, "{exact} came back as {back}");
        }

        #[test]
        fn larger_values_never_fall_into_lower_buckets(one in 0..u64::MAX, other in 0..u64::MAX) {
            prop_assert_eq!(bucket_of(one.min(other)), bucket_of(one).min(bucket_of(other)));
        }
    }
}
