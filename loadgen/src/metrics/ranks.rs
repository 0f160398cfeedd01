//! Which of n sorted samples stand for a quantile, and which two bound it.
//!
//! Quantiles here are order statistics: the q-quantile of n samples is the one of rank ⌈q·n⌉, the
//! smallest that at least the share q of the samples do not exceed. Nothing is interpolated, so a
//! percentile is always a value that was measured (to the histogram's resolution).

/// Up to this many samples the interval is the binomial's own; above, its normal approximation.
const EXACT_UP_TO: u64 = 4_096;

/// The two-sided 95 % quantile of the standard normal distribution.
const Z95: f64 = 1.959_963_985;

/// The rank, from 1 to `n`, of the quantile `per_mille / 1000` among `n` samples; 0 if `n` is 0.
///
/// Whole-number arithmetic: no rounding decides between two samples.
pub fn rank(n: u64, per_mille: u64) -> u64 {
    let exact = (u128::from(n) * u128::from(per_mille)).div_ceil(1_000);
    u64::try_from(exact).unwrap_or(u64::MAX).clamp(n.min(1), n)
}

/// The ranks whose values bound the quantile `per_mille / 1000` of the population with 95 %
/// confidence, `(low, high)`; none: `n` samples cannot bound it on both sides.
///
/// For B ~ Binomial(n, q) the interval of the ranks l and u covers with P(l <= B < u). `l` is the
/// largest with P(B < l) <= 2.5 %, `u` the smallest with P(B < u) >= 97.5 %. Assumes independent
/// samples. Source: Le Boudec, Performance Evaluation of Computer and Communication Systems, 2.2.
pub fn ci95(n: u64, per_mille: u64) -> Option<(u64, u64)> {
    debug_assert!((1..1_000).contains(&per_mille), "{per_mille} per mille");
    if n <= EXACT_UP_TO { binomial(n, per_mille) } else { normal(n, per_mille) }
}

#[expect(clippy::cast_precision_loss, reason = "n is at most EXACT_UP_TO")]
fn binomial(n: u64, per_mille: u64) -> Option<(u64, u64)> {
    let q = per_mille as f64 / 1_000.0;
    let odds = (q / (1.0 - q)).ln();
    let mut ln_pmf = n as f64 * (1.0 - q).ln(); // of B = 0
    let mut below = 0.0; // P(B < k)
    let mut low = None;
    for k in 0..=n {
        if below <= 0.025 {
            low = Some(k);
        }
        if below >= 0.975 {
            return low.filter(|low| *low >= 1).map(|low| (low, k));
        }
        below += ln_pmf.exp();
        ln_pmf += ((n - k) as f64 / (k + 1) as f64).ln() + odds;
    }
    None
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks are whole numbers, and their rounding is widened outward"
)]
fn normal(n: u64, per_mille: u64) -> Option<(u64, u64)> {
    let q = per_mille as f64 / 1_000.0;
    let centre = n as f64 * q;
    let half = Z95 * (centre * (1.0 - q)).sqrt();
    let (low, high) = ((centre - half).floor(), (centre + half).ceil() + 1.0);
    (low >= 1.0 && high <= n as f64).then_some((low as u64, high as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_smallest_sample_that_enough_do_not_exceed() {
        assert_eq!([1, 250, 500, 501, 750, 1_000].map(|q| rank(4, q)), [1, 1, 2, 3, 3, 4]);
        assert_eq!((rank(1, 10), rank(1, 999), rank(0, 500)), (1, 1, 0));
        // 0.99 * 100 is 99.000…01 in floats; here it is 99
        assert_eq!((rank(100, 990), rank(99, 990), rank(101, 990)), (99, 99, 100));
    }

    #[test]
    fn the_median_s_interval_is_the_textbook_s() {
        // n = 10, q = 1/2: P(B < 2) = 11/1024 = 1.07 %, P(B < 3) = 5.5 %: l = 2, and by symmetry
        // u = 9 with P(2 <= B < 9) = 97.9 %
        assert_eq!(ci95(10, 500), Some((2, 9)));
        // n = 6: P(B < 1) = 1/64 = 1.6 %: the extremes are the interval
        assert_eq!(ci95(6, 500), Some((1, 6)));
        assert_eq!(ci95(5, 500), None);
        assert_eq!(ci95(0, 500), None);
    }

    #[test]
    fn a_high_percentile_has_an_interval_only_once_its_upper_end_was_seen() {
        // 0.9^35 = 2.503 % > 2.5 %, 0.9^36 = 2.25 %
        assert_eq!(ci95(35, 900), None);
        assert_eq!(ci95(36, 900).map(|(_, high)| high), Some(36));
        // 0.99^367 = 2.50006 %, 0.99^368 = 2.475 %
        assert_eq!(ci95(367, 990), None);
        assert_eq!(ci95(368, 990).map(|(_, high)| high), Some(368));
    }

    #[test]
    fn the_approximation_takes_over_where_it_agrees() {
        for per_mille in [500, 900, 990] {
            let exact = binomial(EXACT_UP_TO, per_mille).unwrap();
            let approximate = normal(EXACT_UP_TO, per_mille).unwrap();
            assert!(exact.0.abs_diff(approximate.0) <= 2, "{exact:?} {approximate:?}");
            assert!(exact.1.abs_diff(approximate.1) <= 2, "{exact:?} {approximate:?}");
        }
    }
}
