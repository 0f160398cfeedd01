//! A distribution in bounded memory.
//!
//! Percentiles come from an HDR histogram (3 significant digits); count, mean, standard deviation,
//! minimum and maximum are kept beside it as whole numbers, so they are exact and two histograms
//! merge to what one would have held, in any order.

mod stored;

use hdrhistogram::Histogram as Hdr;
use shared::report::{ConfidenceIntervals, Distribution};

pub use self::stored::UnreadableHistogram;
use super::ranks;

/// Percentiles of a [`Distribution`], in per mille.
const PER_MILLE: [u64; 10] = [10, 50, 100, 250, 500, 750, 900, 950, 990, 999];

/// Those of them that get a confidence interval.
const WITH_INTERVAL: [u64; 3] = [500, 900, 990];

/// A lag histogram: load threads record into their own and merge them in the end.
pub type Lag = Histogram;

/// Samples of one unit.
///
/// Latencies go in as microseconds and come out as milliseconds; rates go in as thousandths of a
/// token a second and come out as tokens/s. The floor of the resolution is 1 of what goes in.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Hdr<u64>,
    n: u64,
    /// Of nanoseconds (thousandths of what goes in).
    sum: u128,
    sum_of_squares: u128,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty one; it grows with the values it holds, to some 200 KiB for values of an hour.
    #[expect(clippy::missing_panics_doc, reason = "3 significant digits are allowed")]
    pub fn new() -> Self {
        Self {
            buckets: Hdr::new(3).expect("3 significant digits are allowed"),
            n: 0,
            sum: 0,
            sum_of_squares: 0,
            min: u64::MAX,
            max: 0,
        }
    }

    /// Takes one sample, in microseconds.
    pub fn record_us(&mut self, us: u64) {
        self.record_thousandths(us.saturating_mul(1_000), 1);
    }

    /// Takes `parts` samples of `total_us / parts` microseconds each; none for 0 parts.
    pub fn record_split(&mut self, total_us: u64, parts: u64) {
        self.record_thousandths(quotient(total_us, 1_000, parts), parts);
    }

    /// Takes one sample of `total_us / parts` microseconds; none for 0 parts.
    pub fn record_quotient(&mut self, total_us: u64, parts: u64) {
        self.record_thousandths(quotient(total_us, 1_000, parts), parts.min(1));
    }

    /// Takes one sample of `count` things in `us` microseconds, as a rate; none for 0 microseconds.
    pub fn record_rate(&mut self, count: u64, us: u64) {
        // per second, in thousandths of thousandths
        self.record_thousandths(quotient(count, 1_000_000_000_000, us), us.min(1));
    }

    fn record_thousandths(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        self.buckets
            .record_n(value.saturating_add(500) / 1_000, times)
            .expect("the histogram grows with its values");
        let (wide, many) = (u128::from(value), u128::from(times));
        self.n += times;
        self.sum += wide * many;
        self.sum_of_squares =
            self.sum_of_squares.saturating_add((wide * wide).saturating_mul(many));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds what `other` holds.
    #[expect(clippy::missing_panics_doc, reason = "the histogram grows with its values")]
    pub fn merge(&mut self, other: &Self) {
        self.buckets.add(&other.buckets).expect("the histogram grows with its values");
        self.n += other.n;
        self.sum += other.sum;
        self.sum_of_squares = self.sum_of_squares.saturating_add(other.sum_of_squares);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Samples taken.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The quantile `per_mille / 1000`, in the unit that comes out; none: no samples.
    pub fn quantile(&self, per_mille: u64) -> Option<f64> {
        self.at_rank(ranks::rank(self.n, per_mille))
    }

    /// The sample of rank `rank`, from 1 to `n`, in the unit that comes out.
    pub fn at_rank(&self, rank: u64) -> Option<f64> {
        self.at_ranks(&[rank])[0]
    }

    /// The same for several ranks, in any order, in one pass.
    fn at_ranks<const N: usize>(&self, wanted: &[u64; N]) -> [Option<f64>; N] {
        let mut found = [None; N];
        let mut seen = 0;
        for bucket in self.buckets.iter_recorded() {
            let before = seen;
            seen += bucket.count_since_last_iteration();
            for (rank, value) in wanted.iter().zip(&mut found) {
                if (before + 1..=seen).contains(rank) {
                    *value = Some(self.refine(*rank, bucket.value_iterated_to()));
                }
            }
        }
        found
    }

    /// The bucket's middle, but never beyond the extremes, which are exact.
    fn refine(&self, rank: u64, bucket: u64) -> f64 {
        let thousandths = match rank {
            1 => self.min,
            last if last == self.n => self.max,
            _ => {
                let (low, high) = (
                    self.buckets.lowest_equivalent(bucket),
                    self.buckets.highest_equivalent(bucket),
                );
                u64::midpoint(low, high).saturating_mul(1_000).clamp(self.min, self.max)
            }
        };
        out(thousandths)
    }

    /// Everything about the samples; none: there are none.
    pub fn distribution(&self) -> Option<Distribution> {
        if self.n == 0 {
            return None;
        }
        let ranks = PER_MILLE.map(|per_mille| ranks::rank(self.n, per_mille));
        let [p1, p5, p10, p25, p50, p75, p90, p95, p99, p99_9] =
            self.at_ranks(&ranks).map(Option::unwrap_or_default);
        let [ci50, ci90, ci99] = WITH_INTERVAL.map(|per_mille| {
            let (low, high) = ranks::ci95(self.n, per_mille)?;
            let [low, high] = self.at_ranks(&[low, high]);
            Some([low?, high?])
        });
        Some(Distribution {
            n: self.n,
            mean: self.mean(),
            sd: self.sd(),
            min: out(self.min),
            max: out(self.max),
            p1,
            p5,
            p10,
            p25,
            p50,
            p75,
            p90,
            p95,
            p99,
            p99_9,
            ci95: ConfidenceIntervals { p50: ci50, p90: ci90, p99: ci99 },
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "the last digits of a mean of integers")]
    fn mean(&self) -> f64 {
        self.sum as f64 / self.n as f64 / 1e6
    }

    /// Of the population. The difference of the two sums is taken in whole numbers: in floats it
    /// would lose every digit where the deviation is small beside the mean.
    #[expect(clippy::cast_precision_loss, reason = "after the difference was taken exactly")]
    fn sd(&self) -> f64 {
        let n = u128::from(self.n);
        let (whole, rest) = (self.sum / n, self.sum % n);
        let square_of_sum = (self.sum.saturating_mul(whole)).saturating_add(self.sum * rest / n);
        let deviation = self.sum_of_squares.saturating_sub(square_of_sum);
        (deviation as f64 / self.n as f64).sqrt() / 1e6
    }
}

/// Thousandths to the unit that comes out.
#[expect(clippy::cast_precision_loss, reason = "104 days of nanoseconds are exact")]
fn out(thousandths: u64) -> f64 {
    thousandths as f64 / 1e6
}

/// `value * scale / parts` to the nearest whole number; 0 for 0 parts.
fn quotient(value: u64, scale: u128, parts: u64) -> u64 {
    let parts = u128::from(parts);
    let scaled = u128::from(value) * scale;
    (scaled + parts / 2)
        .checked_div(parts)
        .map_or(0, |exact| u64::try_from(exact).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
