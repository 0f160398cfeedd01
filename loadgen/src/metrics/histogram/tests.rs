#![expect(clippy::float_cmp, reason = "values chosen so that every answer is exact")]
#![expect(clippy::cast_precision_loss, reason = "hours in microseconds are exact floats")]

use proptest::prelude::*;

use shared::report::HistogramUnit;

use super::*;

fn of_ms(ms: &[u64]) -> Distribution {
    let mut histogram = Histogram::new();
    for ms in ms {
        histogram.record_us(ms * 1_000);
    }
    histogram.distribution().unwrap()
}

#[test]
fn mean_deviation_and_extremes_are_exact() {
    // deviations from 5: -3 -1 -1 -1 0 0 2 4, their squares sum to 32, 32 / 8 = 4
    let d = of_ms(&[2, 4, 4, 4, 5, 5, 7, 9]);
    assert_eq!((d.n, d.mean, d.sd, d.min, d.max), (8, 5.0, 2.0, 2.0, 9.0));
}

#[test]
fn no_samples_are_no_distribution() {
    assert_eq!(Histogram::new().distribution(), None);
    assert_eq!(Histogram::new().quantile(500), None);
}

#[test]
fn a_percentile_is_the_sample_of_its_rank() {
    // 1 ms and 2 ms are 1000 us and 2000 us: small enough to have a bucket of their own
    let d = of_ms(&[1, 1, 1, 2]);
    assert_eq!((d.p1, d.p50, d.p75, d.p90), (1.0, 1.0, 1.0, 2.0));
    let d = of_ms(&(1..=99).collect::<Vec<_>>());
    assert_eq!(d.p99, d.max, "with fewer than 100 samples p99 is the maximum");
}

#[test]
fn the_deviation_survives_a_large_mean() {
    // an hour, and one microsecond more: floats of squares would say 0 or nonsense
    let mut histogram = Histogram::new();
    histogram.record_us(3_600_000_000);
    histogram.record_us(3_600_000_001);
    assert_eq!(histogram.distribution().unwrap().sd, 0.0005);
}

#[test]
fn a_split_gap_is_as_many_samples_that_sum_to_it() {
    let mut histogram = Histogram::new();
    histogram.record_split(30_000, 3);
    histogram.record_split(50_000, 1);
    histogram.record_split(9_000, 0);
    let d = histogram.distribution().unwrap();
    assert_eq!((d.n, d.min, d.max, d.mean), (4, 10.0, 50.0, 20.0));
    assert!((d.p75 - 10.0).abs() <= 0.01, "{}", d.p75);
}

#[test]
fn a_rate_is_in_things_a_second() {
    let mut histogram = Histogram::new();
    histogram.record_rate(50, 500_000);
    histogram.record_rate(10, 0); // no time, no rate
    let d = histogram.distribution().unwrap();
    assert_eq!((d.n, d.min, d.max, d.p50), (1, 100.0, 100.0, 100.0));
}

#[test]
fn confidence_needs_enough_samples() {
    let d = of_ms(&[1, 1, 1, 1, 1]);
    assert_eq!(d.ci95, ConfidenceIntervals::default());
    // of ten samples the 2nd and the 9th bound the median (see ranks)
    let d = of_ms(&(1..=10).collect::<Vec<_>>());
    let [low, high] = d.ci95.p50.unwrap();
    assert!((low - 2.0).abs() < 0.002 && (high - 9.0).abs() < 0.009, "{low} {high}");
    assert_eq!((d.ci95.p90, d.ci95.p99), (None, None));
}

#[test]
fn the_interval_of_the_median_covers_it_nineteen_times_in_twenty() {
    // 400 runs of 50 draws from 0..=10 s, true median 5 s; 5 standard errors below 95 % are 89.5 %
    let mut state = 1_u64;
    let mut draw = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % 10_000_001
    };
    let covering = (0..400)
        .filter(|_| {
            let mut histogram = Histogram::new();
            (0..50).for_each(|_| histogram.record_us(draw()));
            let [low, high] = histogram.distribution().unwrap().ci95.p50.unwrap();
            (low..=high).contains(&5_000.0)
        })
        .count();
    assert!(covering >= 358, "{covering} of 400");
}

#[test]
fn a_stored_histogram_whose_parts_disagree_is_refused() {
    let mut histogram = Histogram::new();
    histogram.record_us(1_234);
    let stored = histogram.stored(HistogramUnit::Us).unwrap();
    assert!(stored.hdr_v2.starts_with("HISTF"), "how every compressed V2 begins in base64");
    assert_eq!((stored.sum.as_str(), stored.min), ("1234000", Some(1_234_000)));
    let broken = |change: fn(&mut shared::report::HistogramV2)| {
        let mut stored = stored.clone();
        change(&mut stored);
        Histogram::restored(&stored).unwrap_err().to_string()
    };
    assert_eq!(broken(|s| s.n = 2), "`n` says 2, and `hdr_v2` holds 1");
    assert_eq!(broken(|s| s.sum = "-1".to_owned()), "`sum` is not a whole number");
    assert_eq!(broken(|s| s.hdr_v2 = "HISTF".to_owned()), "`hdr_v2` is not base64");
    assert_eq!(broken(|s| s.hdr_v2 = "AAAA".to_owned()), "`hdr_v2` is not an HDR V2 histogram");
    assert_eq!(Histogram::new().stored(HistogramUnit::Us), None);
}

proptest! {
    #[test]
    fn percentiles_agree_with_the_sorted_samples(
        mut samples in prop::collection::vec(0..5_000_000_000_u64, 1..400),
    ) {
        let mut histogram = Histogram::new();
        for us in &samples {
            histogram.record_us(*us);
        }
        samples.sort_unstable();
        let d = histogram.distribution().unwrap();
        let of_rank = |per_mille| {
            let rank = ranks::rank(samples.len() as u64, per_mille);
            samples[usize::try_from(rank).unwrap() - 1] as f64 / 1e3
        };
        let told = [d.p1, d.p5, d.p10, d.p25, d.p50, d.p75, d.p90, d.p95, d.p99, d.p99_9];
        for (per_mille, told) in PER_MILLE.into_iter().zip(told) {
            let exact = of_rank(per_mille);
            prop_assert!((told - exact).abs() <= exact * 0.001 + 0.0005, "{told} for {exact}");
        }
        let n = samples.len() as f64;
        let mean = samples.iter().map(|us| *us as f64 / 1e3).sum::<f64>() / n;
        let sd = (samples.iter().map(|us| (*us as f64 / 1e3 - mean).powi(2)).sum::<f64>() / n).sqrt();
        prop_assert!((d.mean - mean).abs() <= mean * 1e-9);
        prop_assert!((d.sd - sd).abs() <= sd * 1e-6 + 1e-6);
        prop_assert_eq!(d.min, samples[0] as f64 / 1e3);
        prop_assert_eq!(d.max, samples[samples.len() - 1] as f64 / 1e3);
    }

    #[test]
    fn stored_parts_read_back_and_merged_are_the_whole(
        samples in prop::collection::vec((0..5_000_000_000_u64, 1..5_u64), 1..200),
        cut in 0..200_usize,
    ) {
        let (one, other) = samples.split_at(cut.min(samples.len()));
        let of = |samples: &[(u64, u64)]| {
            let mut histogram = Histogram::new();
            for (us, parts) in samples {
                histogram.record_split(*us, *parts);
            }
            histogram
        };
        let through_json = |histogram: &Histogram| {
            let Some(stored) = histogram.stored(HistogramUnit::Us) else { return Histogram::new() };
            let json = serde_json::to_string(&stored).unwrap();
            Histogram::restored(&serde_json::from_str(&json).unwrap()).unwrap()
        };
        let mut merged = through_json(&of(other));
        merged.merge(&through_json(&of(one)));
        prop_assert_eq!(merged.distribution(), of(&samples).distribution());
        prop_assert_eq!(merged.stored(HistogramUnit::Us).unwrap().sum_of_squares,
            of(&samples).stored(HistogramUnit::Us).unwrap().sum_of_squares);
    }

    #[test]
    fn parts_merge_to_the_whole(
        samples in prop::collection::vec(0..5_000_000_000_u64, 1..100),
        cut in 0..100_usize,
    ) {
        let (one, other) = samples.split_at(cut.min(samples.len()));
        let of = |samples: &[u64]| {
            let mut histogram = Histogram::new();
            for us in samples {
                histogram.record_us(*us);
            }
            histogram
        };
        let mut merged = of(other);
        merged.merge(&of(one));
        prop_assert_eq!(merged.distribution(), of(&samples).distribution());
    }
}
