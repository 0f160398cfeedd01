//! Whether there were enough requests to say something of a high percentile: MLPerf's early
//! stopping.
//!
//! Were the true share of values above some limit as large as 1 - q, t or fewer of n would be
//! above it with P(B <= t), B ~ Binomial(n, 1 - q). Where that is below 1 %, the q-quantile is not
//! above the limit, with 99 % confidence. Source: `loadgen/early_stopping.cc` and
//! `PerformanceSummary::EarlyStopping` in `loadgen/results.cc` of mlcommons/inference (tolerance 0,
//! confidence 0.99). Assumes independent values.

use shared::report::{EarlyStopping, SampleSize};

use super::histogram::Histogram;

/// MLPerf's.
pub const CONFIDENCE: f64 = 0.99;

/// Values that an estimate sets aside at the least, and so must be had: the estimate is the sample
/// below those that may be above the percentile, of which MLPerf wants at least one.
const FEWEST_ABOVE: u64 = 1;

/// Whether `over` of `n` values above a limit show that its quantile `per_mille / 1000` is not
/// above it: MLPerf's test of its Server scenario.
pub fn shows(n: u64, over: u64, per_mille: u64) -> bool {
    most_above(n, per_mille).is_some_and(|most| over <= most)
}

/// The most values above a limit with which `n` still show that the quantile is not above it;
/// none: not even without a single one.
#[expect(clippy::cast_precision_loss, reason = "counts of one run's requests")]
fn most_above(n: u64, per_mille: u64) -> Option<u64> {
    let above = (1_000 - per_mille.min(999)) as f64 / 1_000.0;
    let odds = (above / (1.0 - above)).ln();
    let mut ln_pmf = n as f64 * (1.0 - above).ln(); // of B = 0
    let mut at_most = 0.0; // P(B <= k)
    for k in 0..n {
        at_most += ln_pmf.exp();
        if at_most >= 1.0 - CONFIDENCE {
            return k.checked_sub(1);
        }
        ln_pmf += ((n - k) as f64 / (k + 1) as f64).ln() + odds;
    }
    None
}

/// The highest values that are set aside before the estimate of the quantile is taken, by MLPerf's
/// `SingleStream` and `MultiStream` scenarios; none: `n` values support no estimate.
pub fn discarded(n: u64, per_mille: u64) -> Option<u64> {
    most_above(n, per_mille)?.checked_sub(FEWEST_ABOVE)
}

/// The fewest values that support an estimate of the quantile.
pub fn needed(per_mille: u64) -> u64 {
    // what n supports, more support too: so it is found by doubling, then by halving
    let (mut too_few, mut enough) = (0, 1);
    while discarded(enough, per_mille).is_none() {
        (too_few, enough) = (enough, enough * 2);
    }
    while enough - too_few > 1 {
        let middle = u64::midpoint(too_few, enough);
        if discarded(middle, per_mille).is_some() {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    enough
}

/// The test for the figures of completed requests; `e2e` has one value of each, and `ttft` too where
/// answers are streamed.
pub(super) fn of(ttft: &Histogram, e2e: &Histogram) -> EarlyStopping {
    let n = e2e.n();
    let of = |per_mille| {
        let discarded = discarded(n, per_mille);
        let estimate =
            |histogram: &Histogram| discarded.and_then(|above| histogram.at_rank(n - above));
        SampleSize {
            supported: discarded.is_some(),
            needed_n: needed(per_mille),
            discarded,
            ttft_ms: estimate(ttft),
            e2e_ms: estimate(e2e),
        }
    };
    EarlyStopping { confidence: CONFIDENCE, n, p90: of(900), p99: of(990) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_needed_as_mlperf_says() {
        // "Processed at least 64 queries" (SingleStream, p90), 662 (MultiStream, p99; also
        // `*.MultiStream.min_query_count` in mlperf.conf)
        assert_eq!((needed(900), needed(990)), (64, 662));
        assert_eq!((discarded(63, 900), discarded(64, 900)), (None, Some(0)));
        assert_eq!((discarded(661, 990), discarded(662, 990)), (None, Some(0)));
        assert_eq!(discarded(0, 900), None);
    }

    #[test]
    fn as_many_are_set_aside_as_in_published_results() {
        // summaries of published runs: "Processed at least 64 queries (2048)", "Would discard 172
        // highest latency queries"
        assert_eq!(discarded(2_048, 900), Some(172));
        assert_eq!(discarded(2_116, 900), Some(178));
        assert_eq!(discarded(1_179_125, 990), Some(11_539));
    }

    #[test]
    fn a_limit_is_shown_to_hold_as_in_the_server_scenario() {
        // without one above: 0.99^458 = 1.002 %, 0.99^459 = 0.992 %; "Processed 21 queries. Would
        // need to run at least 438 more queries"
        assert!(!shows(458, 0, 990) && shows(459, 0, 990) && !shows(459, 1, 990));
        assert!(!shows(661, 1, 990) && shows(662, 1, 990));
        // 0.9^43 = 1.078 %, 0.9^44 = 0.970 %
        assert!(!shows(43, 0, 900) && shows(44, 0, 900));
        assert!(!shows(0, 0, 900));
    }

    #[test]
    fn more_values_never_show_less() {
        for per_mille in [900, 990] {
            let most: Vec<_> = (0..3_000).map(|n| most_above(n, per_mille)).collect();
            assert!(most.is_sorted());
        }
    }

    #[test]
    fn the_estimate_is_the_highest_value_that_is_not_set_aside() {
        let (mut ttft, mut e2e) = (Histogram::new(), Histogram::new());
        for value in 1..=100 {
            ttft.record_us(value);
            e2e.record_us(value + 100);
        }
        let told = of(&ttft, &e2e);
        assert_eq!((told.n, told.confidence), (100, 0.99));
        // P(B <= 3) = 0.78 %, P(B <= 4) = 2.4 % of 100 with 10 %: 3 may be above, 2 are set aside
        assert_eq!((told.p90.supported, told.p90.discarded), (true, Some(2)));
        assert_eq!((told.p90.ttft_ms, told.p90.e2e_ms), (Some(0.098), Some(0.198)));
        assert_eq!((told.p99.supported, told.p99.needed_n, told.p99.discarded), (false, 662, None));
        assert_eq!((told.p99.ttft_ms, told.p99.e2e_ms), (None, None));
    }
}
