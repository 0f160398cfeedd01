use super::*;
use crate::metrics::{early_stopping, histogram::Histogram};

fn requests(completed: u64, failed: u64) -> Requests {
    let ended = completed + failed;
    Requests {
        scheduled: ended,
        started: ended,
        completed,
        failed,
        error_rate: crate::metrics::latency::share(failed, ended),
        ..Requests::default()
    }
}

fn tokens() -> Tokens {
    Tokens {
        input: Some(10),
        output: 100,
        reasoning: None,
        source: Some(TokenSource::Usage),
        estimated: false,
        output_by_tokenizer: None,
        mismatched_share: None,
        asked_output: 100,
        reached_ratio: Some(1.0),
    }
}

fn of_requests(n: u64) -> EarlyStopping {
    let mut histogram = Histogram::new();
    (0..n).for_each(|us| histogram.record_us(us));
    early_stopping::of(&histogram, &histogram)
}

/// The verdict and the reasons after `change` to a run without a fault.
fn judged(
    change: impl FnOnce(&mut Requests, &mut Tokens, &mut Evidence<'_>),
) -> (Verdict, Vec<String>) {
    let (mut requests, mut tokens) = (requests(100, 0), tokens());
    let (blank_requests, blank_tokens) = (requests.clone(), tokens.clone());
    let mut evidence = Evidence {
        requests: &blank_requests,
        tokens: &blank_tokens,
        partly_counted_input: None,
        ignore_eos: false,
        users: 4,
        pacing: Pacing::Answers,
        sending_us: 10_000_000,
        stopped: None,
        taken_up_in_time: 100,
        steady: true,
        stamp_source: StampSource::Kernel,
        schedule_lag_p99_ms: Some(0.2),
        loop_lag_p99_ms: Some(0.2),
        begun_late_ms: Some(0.1),
        stamp_lag_p99_ms: Some(0.1),
        usual_ttft_ms: Some(200.0),
        usual_itl_ms: Some(20.0),
        cpu_share: Some(0.3),
        coalesced_share: Some(0.0),
        itl_raw_share: Some(0.0),
        early_stopping: of_requests(1_000),
    };
    change(&mut requests, &mut tokens, &mut evidence);
    judge(&Evidence { requests: &requests, tokens: &tokens, ..evidence })
}

/// The same, for a change that gives exactly one reason.
fn one(change: impl FnOnce(&mut Requests, &mut Tokens, &mut Evidence<'_>)) -> (Verdict, String) {
    let (verdict, mut reasons) = judged(change);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    (verdict, reasons.remove(0))
}

#[test]
fn a_run_without_a_fault_is_valid_and_has_nothing_to_say() {
    assert_eq!(judged(|_, _, _| {}), (Verdict::Valid, vec![]));
}

#[test]
fn late_requests_degrade_and_then_invalidate() {
    let lag = |ms| judged(|_, _, e| e.schedule_lag_p99_ms = Some(ms)).0;
    assert_eq!(
        [10.0, 10.1, 100.0, 100.1].map(lag),
        [Verdict::Valid, Verdict::Degraded, Verdict::Degraded, Verdict::Invalid]
    );
    assert_eq!(
        one(|_, _, e| e.schedule_lag_p99_ms = Some(12.34)).1,
        "requests were sent late: schedule lag p99 is 12.3 ms, above 10 ms"
    );
}

#[test]
fn a_part_of_the_load_that_begins_late_degrades() {
    let late = |ms| judged(|_, _, e| e.begun_late_ms = Some(ms)).0;
    assert_eq!([50.0, 50.1, 5_000.0].map(late), {
        use Verdict::{Degraded, Valid};
        [Valid, Degraded, Degraded]
    });
}

#[test]
fn stalled_threads_invalidate_only_stamps_of_their_own() {
    let lag = |ms, source| {
        judged(|_, _, e| {
            e.loop_lag_p99_ms = Some(ms);
            e.stamp_source = source;
            (e.usual_ttft_ms, e.usual_itl_ms) = (Some(2_000.0), Some(2_000.0));
        })
        .0
    };
    assert_eq!(
        [5.0, 5.1, 51.0].map(|ms| lag(ms, StampSource::Kernel)),
        [Verdict::Valid, Verdict::Degraded, Verdict::Degraded]
    );
    assert_eq!(
        [5.0, 5.1, 51.0].map(|ms| lag(ms, StampSource::User)),
        [Verdict::Valid, Verdict::Degraded, Verdict::Invalid]
    );
}

#[test]
fn a_client_out_of_cpu_is_the_bottleneck() {
    let share = |share| judged(|_, _, e| e.cpu_share = Some(share)).0;
    assert_eq!([0.8, 0.81, 0.96].map(share), [Verdict::Valid, Verdict::Degraded, Verdict::Invalid]);
    assert_eq!(judged(|_, _, e| e.cpu_share = None).0, Verdict::Valid);
    assert_eq!(
        one(|_, _, e| e.cpu_share = Some(0.9)).1,
        "the busiest load thread used 90 % of a core, above 80 %"
    );
}

#[test]
fn few_requests_support_little() {
    let completed = |completed| judged(|r, _, _| *r = requests(completed, 0));
    assert_eq!(completed(100), (Verdict::Valid, vec![]));
    assert_eq!((completed(99).0, completed(99).1.len()), (Verdict::Valid, 1));
    assert_eq!((completed(10).0, completed(9).0), (Verdict::Valid, Verdict::Degraded));
    let (verdict, reasons) = completed(0);
    assert_eq!((verdict, reasons[0].as_str()), (Verdict::Invalid, "no request completed"));
}

#[test]
fn too_few_requests_for_a_p99_are_noted_with_the_number_it_takes() {
    assert_eq!(judged(|_, _, e| e.early_stopping = of_requests(662)), (Verdict::Valid, vec![]));
    assert_eq!(
        one(|_, _, e| e.early_stopping = of_requests(661)),
        (
            Verdict::Valid,
            "661 requests are too few to tell a p99 with 99 % confidence: MLPerf's early stopping needs 662 (p90: 64)"
                .to_owned()
        )
    );
}

#[test]
fn estimated_tokens_degrade() {
    for source in [TokenSource::Events, TokenSource::Mixed] {
        assert_eq!(one(|_, t, _| t.source = Some(source)).0, Verdict::Degraded);
    }
    assert_eq!(judged(|_, t, _| t.source = Some(TokenSource::Tokenizer)).0, Verdict::Valid);
}

#[test]
fn short_answers_degrade_only_where_the_length_was_ordered() {
    let short = |ignore_eos| {
        one(|_, t, e| {
            t.reached_ratio = Some(0.949);
            e.ignore_eos = ignore_eos;
        })
    };
    let words = "answers reached 94.9 % of the asked length, below 95 %".to_owned();
    assert_eq!(short(true), (Verdict::Degraded, words.clone()));
    assert_eq!(short(false), (Verdict::Valid, words));
}

#[test]
fn dropped_requests_degrade() {
    let (verdict, words) = one(|r, _, _| (r.dropped, r.scheduled) = (3, 103));
    assert_eq!(verdict, Verdict::Degraded);
    assert_eq!(words, "3 of 103 requests were due and found no room: dropped");
}

#[test]
fn a_rate_that_was_not_achieved_degrades_an_open_loop() {
    let taken_up = |in_time: u64, sending_s: u64| {
        judged(|_, _, e| {
            e.pacing = Pacing::Schedule { sending_us: sending_s * 1_000_000 };
            e.sending_us = sending_s * 1_000_000;
            e.taken_up_in_time = in_time;
        })
    };
    assert_eq!(taken_up(95, 10), (Verdict::Valid, vec![]));
    let (verdict, reasons) = taken_up(94, 10);
    assert_eq!(verdict, Verdict::Degraded);
    assert_eq!(
        reasons,
        ["the planned rate was not achieved: 9.40 of 10.00 requests a second (94.0 %), below 95 %"]
    );
    assert_eq!(
        judged(|_, _, e| e.taken_up_in_time = 0).0,
        Verdict::Valid,
        "a closed loop has none"
    );
}

#[test]
fn a_burst_is_sent_as_fast_as_it_goes() {
    let (verdict, words) = one(|_, _, e| {
        e.pacing = Pacing::Burst;
        e.schedule_lag_p99_ms = Some(150.0);
    });
    assert_eq!(verdict, Verdict::Valid);
    assert!(words.contains("150.0 ms"), "{words}");
    let (_, words) = one(|_, _, e| (e.pacing, e.steady) = (Pacing::Burst, false));
    assert_eq!(words, "there is no steady window: all requests were due at once");
}

#[test]
fn the_target_s_errors_are_noted_and_do_not_discredit_the_instrument() {
    let (verdict, words) = one(|r, _, _| *r = requests(150, 50));
    assert_eq!(verdict, Verdict::Valid);
    assert_eq!(words, "50 of 200 requests failed (25.00 %); latencies are of the others");
}

#[test]
fn what_only_limits_a_figure_is_noted() {
    let noted = [
        one(|_, _, e| e.stamp_source = StampSource::User),
        one(|_, _, e| e.coalesced_share = Some(0.2)),
        one(|_, _, e| e.itl_raw_share = Some(0.2)),
        one(|_, _, e| e.steady = false),
        one(|_, _, e| e.partly_counted_input = Some(99)),
        one(|_, t, _| t.mismatched_share = Some(0.1)),
    ];
    assert!(noted.iter().all(|(verdict, _)| *verdict == Verdict::Valid), "{noted:?}");
}

#[test]
fn the_worst_reason_decides_and_stands_first() {
    let (verdict, reasons) = judged(|r, _, e| {
        *r = requests(150, 50);
        e.cpu_share = Some(0.9);
        e.schedule_lag_p99_ms = Some(500.0);
    });
    assert_eq!(verdict, Verdict::Invalid);
    assert!(
        reasons[0].contains("schedule lag") && reasons[1].contains("load thread"),
        "{reasons:?}"
    );
    assert!(reasons[2].contains("failed"));
}

#[test]
fn own_stamps_degrade_where_the_lag_shows_in_a_figure_and_the_kernels_never() {
    let lag = |source, ms, itl, ttft| {
        judged(|_, _, e| {
            e.stamp_source = source;
            e.loop_lag_p99_ms = Some(ms);
            (e.usual_itl_ms, e.usual_ttft_ms) = (itl, ttft);
        })
    };
    let user = |ms| lag(StampSource::User, ms, Some(20.0), Some(200.0)).0;
    assert_eq!(
        [1.0, 1.1, 4.9, 5.1].map(user),
        [Verdict::Valid, Verdict::Degraded, Verdict::Degraded, Verdict::Invalid]
    );
    let kernel = |ms| lag(StampSource::Kernel, ms, Some(20.0), Some(200.0)).0;
    assert_eq!([1.1, 4.9, 5.0].map(kernel), [Verdict::Valid; 3]);
    // answers of one token have no ITL, and a run without an answer neither
    assert_eq!(lag(StampSource::User, 4.0, None, Some(100.0)).0, Verdict::Valid);
    assert_eq!(lag(StampSource::User, 4.0, None, Some(50.0)).0, Verdict::Degraded);
    assert_eq!(lag(StampSource::User, 4.0, None, None).0, Verdict::Valid);
    let (_, reasons) = lag(StampSource::User, 2.0, Some(20.0), Some(200.0));
    assert_eq!(
        reasons[0],
        "receive stamps are this process's own, and this client's lag (p99 2.00 ms) is 10 % of the usual ITL of 20.0 ms, above 5 %"
    );
    // what reads tell counts as much as what the loop's ticks tell
    let read = judged(|_, _, e| {
        (e.stamp_source, e.stamp_lag_p99_ms) = (StampSource::User, Some(1.5));
    });
    assert_eq!(read.0, Verdict::Degraded);
}

#[test]
fn reads_of_several_events_degrade_where_the_thread_was_late() {
    let coalesced = |share, lag| {
        judged(|_, _, e| {
            (e.coalesced_share, e.loop_lag_p99_ms) = (Some(share), Some(lag));
        })
        .0
    };
    assert_eq!(coalesced(0.01, 4.0), Verdict::Valid);
    assert_eq!(coalesced(0.011, 4.0), Verdict::Degraded);
    // a server that writes several events at once is read at once
    assert_eq!(coalesced(1.0, 0.9), Verdict::Valid);
    assert_eq!(coalesced(1.0, 1.1), Verdict::Degraded);
}

/// A client's lag at each of many events, in ms.
fn lags() -> Vec<(&'static str, Vec<f64>)> {
    let of = |lag: fn(u32, f64) -> f64, most: f64| (0..10_000).map(|nth| lag(nth, most)).collect();
    // scattered, so that neighbours differ
    let scattered: fn(u32, f64) -> f64 = |nth, most| most * f64::from(nth * 7_919 % 10_000) / 1e4;
    let bursts: fn(u32, f64) -> f64 = |nth, most| if nth % 50 == 0 { most } else { 0.05 };
    let rare: fn(u32, f64) -> f64 = |nth, most| if nth % 400 == 0 { most } else { 0.05 };
    let often: fn(u32, f64) -> f64 = |nth, most| if nth % 3 == 0 { most } else { 0.1 };
    let steady: fn(u32, f64) -> f64 = |_, most| most;
    let mut all = Vec::new();
    for most in [0.1, 0.5, 0.9, 1.1, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0] {
        all.push(("scattered", of(scattered, most)));
        all.push(("bursts", of(bursts, most)));
        all.push(("rare", of(rare, most)));
        all.push(("often", of(often, most)));
        all.push(("steady", of(steady, most)));
    }
    all
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.max(1) - 1]
}

/// Truth: tokens 20 ms apart, the first after 200 ms or 30 ms. What user stamps make of it under
/// each lag is worked out, and the verdict asked.
#[test]
fn no_verdict_is_valid_where_a_figure_of_own_stamps_is_a_tenth_wrong() {
    let (mut wrong, mut right) = (0, 0);
    for (kind, lags) in lags() {
        for ttft in [200.0, 30.0] {
            let itl = 20.0;
            let ttfts: Vec<f64> = lags.iter().map(|lag| ttft + lag).collect();
            let itls: Vec<f64> =
                lags.windows(2).map(|ends| f64::max(itl + ends[1] - ends[0], 0.0)).collect();
            let off = [0.5, 0.99].iter().any(|share| {
                let of =
                    |values: &[f64], truth: f64| (quantile(values, *share) - truth).abs() / truth;
                of(&ttfts, ttft) > 0.1 || of(&itls, itl) > 0.1
            });
            let lag_p99 = quantile(&lags, 0.99);
            let verdict = judged(|_, _, e| {
                e.stamp_source = StampSource::User;
                e.stamp_lag_p99_ms = Some(lag_p99);
                e.usual_ttft_ms = Some(quantile(&ttfts, 0.5));
                e.usual_itl_ms = Some(quantile(&itls, 0.5));
            })
            .0;
            assert!(!off || verdict > Verdict::Valid, "{kind}, lag p99 {lag_p99}, TTFT {ttft}");
            wrong += u32::from(off);
            right += u32::from(verdict == Verdict::Valid);
        }
    }
    assert!(wrong > 20 && right > 20, "{wrong} are wrong and {right} are called valid");
}
