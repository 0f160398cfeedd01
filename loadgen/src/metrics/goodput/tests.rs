use super::*;
use crate::{
    metrics::samples::{ms, overloaded, sample},
    sample::Sample,
};

fn limits(ttft: Option<f64>, tpot: Option<f64>, itl: Option<f64>, e2e: Option<f64>) -> Slo {
    let limit = |ms: Option<f64>| ms.map(|ms| ms.try_into().unwrap());
    Slo {
        preset: None,
        ttft_ms: limit(ttft),
        tpot_ms: limit(tpot),
        itl_ms: limit(itl),
        e2e_ms: limit(e2e),
    }
}

/// TTFT 200 ms, 4 tokens in 300 ms (TPOT 100 ms), longest gap 150 ms, E2E 500 ms.
fn answer() -> Sample {
    sample(1_000, &[1_200, 1_300, 1_350, 1_500]).counted(9, 4)
}

fn good(sample: Sample, slo: &Slo) -> bool {
    meets(&sample.settled(), slo)
}

#[test]
fn each_limit_is_kept_up_to_its_very_value() {
    for (kept, broken) in [
        (limits(Some(200.0), None, None, None), limits(Some(199.9), None, None, None)),
        (limits(None, Some(100.0), None, None), limits(None, Some(99.9), None, None)),
        (limits(None, None, Some(150.0), None), limits(None, None, Some(149.9), None)),
        (limits(None, None, None, Some(500.0)), limits(None, None, None, Some(499.9))),
    ] {
        assert!(good(answer(), &kept), "{kept:?}");
        assert!(!good(answer(), &broken), "{broken:?}");
    }
    let all_kept = limits(Some(200.0), Some(100.0), Some(150.0), Some(500.0));
    assert!(good(answer(), &all_kept));
    assert!(!good(answer(), &Slo { tpot_ms: Some(50.0.try_into().unwrap()), ..all_kept }));
}

#[test]
fn an_answer_of_one_token_has_no_gap_that_could_be_too_long() {
    let strict = limits(None, Some(0.001), Some(0.001), None);
    assert!(good(sample(0, &[900]).counted(1, 1), &strict));
    // three tokens in one event: no TPOT either
    assert!(good(sample(0, &[900]).counted(1, 3), &strict));
}

#[test]
fn what_failed_was_cut_off_or_dropped_counts_against_it() {
    let mut goodput = Goodput::new(limits(Some(200.0), None, None, None));
    let mut unsent = sample(0, &[]).failed(overloaded());
    unsent.sent_us = None;
    for sample in [
        answer(),
        answer(),
        answer(),
        sample(0, &[201]).counted(1, 1), // too late
        answer().failed(overloaded()),
        answer().cancelled(),
        unsent,
    ] {
        goodput.record(&sample.settled());
    }
    let figures = goodput.figures(ms(6_000), 1);
    assert_eq!((figures.met, figures.scheduled, figures.ratio), (3, 8, Some(0.375)));
    assert_eq!((figures.requests_per_s, figures.p99_shown), (0.5, false));
}

#[test]
fn nothing_scheduled_has_no_ratio() {
    let figures = Goodput::new(limits(Some(1.0), None, None, None)).figures(0, 0);
    assert_eq!((figures.ratio, figures.requests_per_s, figures.scheduled), (None, 0.0, 0));
}

#[test]
fn enough_good_requests_show_that_99_percent_are() {
    let mut goodput = Goodput::new(limits(Some(200.0), None, None, None));
    for nth in 1..=459 {
        goodput.record(&answer().settled());
        assert_eq!(goodput.figures(ms(1), 0).p99_shown, nth == 459, "{nth}");
    }
    goodput.record(&sample(0, &[201]).settled());
    assert!(!goodput.figures(ms(1), 0).p99_shown);
}
