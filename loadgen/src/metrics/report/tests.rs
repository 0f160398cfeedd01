#![expect(clippy::float_cmp, reason = "values chosen so that every answer is exact")]

use shared::{
    Report, Slo, Timestamp,
    report::{
        Environment, FailureClass, FinishReasons, Rates, Requests, StampSource, TokenSource,
        Verdict,
    },
};

use crate::{
    failure::RequestFailure,
    metrics::{
        Instrument, Pacing, Plan, Recorder,
        counted::leaving_out,
        samples::{instrument, ms, overloaded, plan, sample},
        settle,
    },
    prompt::tokenizer_tests::words,
    sample::{ConnectionUse, Sample},
};

fn recorded(plan: Plan, samples: impl IntoIterator<Item = Sample>) -> Recorder {
    let mut recorder = Recorder::new(plan);
    for sample in samples {
        recorder.record(&sample.settled());
    }
    recorder
}

fn report(plan: Plan, samples: impl IntoIterator<Item = Sample>) -> Report {
    let recorder = recorded(plan, samples);
    let origin = Timestamp::from_unix_ms(1_000);
    recorder.report(&instrument(), Environment::default(), origin, recorder.last_end_us())
}

/// One user, a request a second: first token after 200 ms, the last after 990 ms.
fn one_a_second(seconds: u64) -> impl Iterator<Item = Sample> {
    (0..seconds).map(|s| {
        let from = s * 1_000;
        sample(from, &[from + 200, from + 500, from + 990]).counted(30, 3)
    })
}

#[test]
fn request_throughput_is_completed_requests_over_the_measured_time() {
    let report = report(
        plan(),
        [
            sample(0, &[100]).counted(1, 1).ended_at(1_000),
            sample(0, &[100]).counted(1, 1).ended_at(2_000),
            sample(0, &[100]).failed(overloaded()).ended_at(4_000),
        ],
    );
    assert_eq!(report.window.measured_s, 4.0);
    assert_eq!(report.throughput.requests_per_s, 0.5);
}

#[test]
fn token_throughput_is_by_the_instant_each_token_came() {
    let report = report(
        plan(),
        one_a_second(4).chain([sample(4_000, &[4_500]).counted(30, 9).ended_at(5_000)]),
    );
    let throughput = report.throughput;
    // 4 x 3 + 9 output tokens and 5 x 30 prompt tokens in 5 s
    assert_eq!(throughput.output_tokens_per_s, 21.0 / 5.0);
    assert_eq!(throughput.input_tokens_per_s, Some(30.0));
    assert_eq!(throughput.total_tokens_per_s, Some(34.2));
}

#[test]
fn the_steady_window_has_rates_of_its_own() {
    // two users, the second from second 2 on; the fifth second is not measured whole: [2, 4)
    let two = Plan { users: 2, spawn_rate: 1, ..plan() };
    let second_user = (2..5).map(|s| {
        let from = s * 1_000;
        sample(from, &[from + 100, from + 980]).counted(10, 2)
    });
    let report = report(two, one_a_second(5).chain(second_user));
    assert_eq!((report.window.steady_from_s, report.window.steady_s), (Some(2.0), Some(2.0)));
    assert_eq!(report.window.warmup_s, 1.0);
    assert_eq!(
        report.throughput.steady,
        Some(Rates {
            requests_per_s: 2.0,
            input_tokens_per_s: Some(40.0),
            output_tokens_per_s: 5.0,
            total_tokens_per_s: Some(45.0),
        })
    );
}

#[test]
fn a_steady_token_of_a_request_that_ended_later_counts_where_it_came() {
    // one request over all of 3.5 s, a token every 500 ms from 0.25 s on
    let events: Vec<u64> = (0..7).map(|i| 250 + i * 500).collect();
    let report = report(plan(), [sample(0, &events).counted(1, 7).ended_at(3_500)]);
    assert_eq!(report.window.steady_s, Some(3.0));
    let steady = report.throughput.steady.unwrap();
    assert_eq!((steady.output_tokens_per_s, steady.requests_per_s), (2.0, 0.0));
}

#[test]
fn with_waits_the_steady_window_is_the_plan_s() {
    let waiting = Plan { users: 3, spawn_rate: 2, duration_s: 4, think_time: true, ..plan() };
    let report = report(waiting, [sample(0, &[100]).ended_at(5_500)]);
    assert_eq!((report.window.steady_from_s, report.window.steady_s), (Some(1.0), Some(3.0)));
}

#[test]
fn without_a_steady_window_there_are_no_steady_rates() {
    let report = report(Plan { users: 5, ..plan() }, one_a_second(3));
    assert_eq!((report.window.steady_s, report.throughput.steady), (None, None));
    assert!(report.validity.reasons.iter().any(|reason| reason.contains("no steady window")));
}

#[test]
fn cancelled_requests_keep_their_tokens_and_nothing_else() {
    let report = report(
        plan(),
        [
            sample(0, &[100, 200]).counted(5, 2).ended_at(1_000),
            sample(0, &[100, 900, 1_900]).cancelled().ended_at(2_000),
        ],
    );
    assert_eq!(report.requests.cancelled, 1);
    assert_eq!(report.requests.error_rate, Some(0.0));
    assert_eq!(report.latency.e2e_ms.unwrap().n, 1);
    assert_eq!(report.throughput.output_tokens_per_s, 2.5);
    assert_eq!((report.tokens.output, report.throughput.requests_per_s), (2, 0.5));
}

#[test]
fn the_error_rate_is_failed_over_ended() {
    let report = report(
        plan(),
        [
            sample(0, &[10]).counted(1, 1),
            sample(0, &[10]).counted(1, 1),
            sample(0, &[10]).counted(1, 1),
            sample(0, &[]).failed(overloaded()),
            sample(0, &[]).cancelled(),
        ],
    );
    assert_eq!(
        report.requests,
        Requests {
            scheduled: 5,
            started: 5,
            completed: 3,
            failed: 1,
            cancelled: 1,
            dropped: 0,
            error_rate: Some(0.25),
        }
    );
}

#[test]
fn failures_are_counted_by_class_with_the_first_one_s_words() {
    let status = |status, excerpt: &str| RequestFailure::Status {
        status,
        excerpt: excerpt.to_owned(),
        retry_after: Some("7".to_owned()),
    };
    let failures = report(
        plan(),
        [
            sample(0, &[]).failed(RequestFailure::EmptyOutput),
            sample(0, &[]).failed(status(429, "first")),
            sample(0, &[]).failed(status(429, "second")),
            sample(0, &[]).failed(status(404, "no such model")),
        ],
    )
    .failures;
    let counted: Vec<_> = failures.iter().map(|failure| (failure.class, failure.count)).collect();
    // most frequent first; of equal ones the one that got less far
    assert_eq!(
        counted,
        [(FailureClass::Http429, 2), (FailureClass::Http4xx, 1), (FailureClass::EmptyOutput, 1)]
    );
    assert_eq!(failures[0].sample, "refused with HTTP 429 (Retry-After: 7): first");
}

#[test]
fn a_failure_s_words_are_kept_short() {
    let excerpt = "ü".repeat(10_000);
    let failure = RequestFailure::Status { status: 500, excerpt, retry_after: None };
    let told = report(plan(), [sample(0, &[]).failed(failure)]).failures.remove(0).sample;
    assert!(told.len() <= 3_072 && told.starts_with("refused with HTTP 500: üü"), "{}", told.len());
}

#[test]
fn finish_reasons_are_counted_of_completed_requests() {
    let with = |reason: Option<&str>| {
        let mut sample = sample(0, &[10]).counted(1, 1);
        sample.finish_reason = reason.map(str::to_owned);
        sample
    };
    let reasons = ["stop", "length", "length", "tool_calls", "content_filter", "abort"];
    let samples = reasons.map(Some).into_iter().chain([None]).map(with);
    let report = report(plan(), samples.chain([with(Some("stop")).failed(overloaded())]));
    assert_eq!(
        report.finish_reasons,
        FinishReasons {
            stop: 1,
            length: 2,
            tool_calls: 1,
            content_filter: 1,
            other: 1,
            missing: 1,
        }
    );
}

#[test]
fn tokens_are_summed_with_their_source() {
    let tokens = report(
        plan(),
        [
            sample(0, &[10, 20]).counted(30, 2),
            sample(0, &[10, 20]).counted(40, 9),
            sample(0, &[10, 20]).counted(40, 9).failed(overloaded()),
        ],
    )
    .tokens;
    assert_eq!(
        (tokens.input, tokens.output, tokens.source),
        (Some(70), 11, Some(TokenSource::Usage))
    );
    assert_eq!((tokens.asked_output, tokens.reached_ratio), (20, Some(0.55)));
    assert!(!tokens.estimated);
    assert_eq!((tokens.output_by_tokenizer, tokens.mismatched_share), (None, None));
}

#[test]
fn tokens_counted_by_events_are_an_estimate() {
    let report = report(plan(), [sample(0, &[10, 20])]);
    assert_eq!(report.tokens.source, Some(TokenSource::Events));
    assert!(report.tokens.estimated);
    assert_eq!((report.tokens.input, report.throughput.input_tokens_per_s), (None, None));
    assert_eq!(report.throughput.total_tokens_per_s, None);
    assert!(report.validity.verdict >= Verdict::Degraded);
}

#[test]
fn a_mixture_of_sources_is_named_and_partly_counted_input_is_no_sum() {
    let report = report(plan(), [sample(0, &[10]).counted(5, 1), sample(0, &[10, 20])]);
    assert_eq!((report.tokens.source, report.tokens.estimated), (Some(TokenSource::Mixed), true));
    assert_eq!(report.tokens.input, None);
    assert!(report.validity.reasons.iter().any(|reason| reason.contains("for only 1 of 2")));
}

#[test]
fn the_tokenizer_s_sum_stands_beside_usage() {
    let mut recorder = Recorder::new(plan());
    for counted in [2, 3, 9] {
        let mut sample = sample(0, &[10, 20]).counted(4, counted);
        sample.text = "hello world".to_owned();
        (sample.events[0].text_end, sample.events[1].text_end) = (5, 11);
        recorder.record(&settle(sample, Some(&words())));
    }
    let origin = Timestamp::from_unix_ms(0);
    let tokens = recorder.report(&instrument(), Environment::default(), origin, 0).tokens;
    assert_eq!((tokens.output, tokens.output_by_tokenizer), (14, Some(6)));
    assert_eq!(tokens.mismatched_share, Some(1.0 / 3.0));
}

#[test]
fn reasoning_tokens_are_kept_apart() {
    let mut thinking = sample(0, &[10, 20]).counted(1, 12);
    thinking.usage.as_mut().unwrap().reasoning_tokens = Some(10);
    let tokens = report(plan(), [thinking, sample(0, &[10, 20]).counted(1, 2)]).tokens;
    assert_eq!((tokens.output, tokens.reasoning), (14, Some(10)));
}

#[test]
fn concurrency_is_told_by_mean_and_peak() {
    let report =
        report(plan(), [sample(0, &[10]).ended_at(4_000), sample(1_000, &[1_010]).ended_at(2_000)]);
    assert_eq!((report.concurrency.mean, report.concurrency.peak), (1.25, 2));
}

#[test]
fn connections_and_reads_are_told_as_shares() {
    let mut opened = sample(0, &[10, 20]).counted(1, 2);
    opened.connection = Some(ConnectionUse::Opened { connect_us: 200, tls_us: None });
    (opened.token_reads, opened.coalesced_reads) = (2, 1);
    let mut unconnected = sample(0, &[]).failed(overloaded());
    (unconnected.connection, unconnected.sent_us) = (None, None);
    let reused = (0..3).map(|_| sample(0, &[10, 20]).counted(1, 2));
    let validity = report(plan(), reused.chain([opened, unconnected])).validity;
    assert_eq!((validity.connections_opened, validity.reused_share), (1, Some(0.75)));
    assert_eq!(validity.coalesced_share, Some(1.0 / 8.0));
}

#[test]
fn the_instrument_s_own_lags_are_in_the_validity() {
    let mut instrument = Instrument { stamp_source: StampSource::User, ..instrument() };
    instrument.loop_lag.record_us(80_000);
    instrument.stamp_lag.record_us(40);
    let recorder =
        recorded(plan(), (0..100).map(|_| sample(20, &[30, 40]).counted(1, 2).due_at(15)));
    let origin = Timestamp::from_unix_ms(0);
    let report = recorder.report(&instrument, Environment::default(), origin, 0);
    let validity = report.validity;
    assert_eq!(validity.stamp_source, StampSource::User);
    assert_eq!(validity.stamp_lag_ms.unwrap().max, 0.04);
    assert_eq!(validity.loop_lag_ms.unwrap().max, 80.0);
    assert_eq!(validity.schedule_lag_ms.unwrap().max, 5.0);
    assert_eq!(validity.cpu_share, Some(0.1));
    assert_eq!(validity.verdict, Verdict::Invalid, "{:?}", validity.reasons);
}

#[test]
fn a_live_report_s_time_is_now_and_the_last_one_s_is_the_last_request_s_end() {
    let recorder = recorded(plan(), one_a_second(2));
    let at = |now_us| {
        let origin = Timestamp::from_unix_ms(0);
        recorder.report(&instrument(), Environment::default(), origin, now_us).window.measured_s
    };
    assert_eq!(at(ms(5_000)), 5.0);
    assert_eq!(at(recorder.last_end_us()), 1.99);
    assert_eq!(at(0), 1.99);
}

#[test]
fn nothing_measured_is_nothing_and_not_zero() {
    let report = report(plan(), []);
    assert_eq!(report.validity.verdict, Verdict::Invalid);
    assert_eq!((report.requests.error_rate, report.tokens.source), (None, None));
    assert_eq!((report.latency.ttft_ms, report.tokens.reached_ratio), (None, None));
    assert_eq!((report.throughput.requests_per_s, report.concurrency.mean), (0.0, 0.0));
}

#[test]
fn what_is_left_out_is_in_the_counts_and_in_no_latency_rate_or_goodput() {
    // ten requests, one a second; the first 2 s and the last 3 s of 10 do not count: 5 are left
    let slo = Slo {
        preset: None,
        ttft_ms: Some(200.0.try_into().unwrap()),
        tpot_ms: None,
        itl_ms: None,
        e2e_ms: None,
    };
    let mut recorder = Recorder::new(plan()).counting(leaving_out(2, 3, 10)).judging_by(Some(slo));
    for sample in one_a_second(10).chain([
        sample(1_900, &[]).failed(overloaded()).ended_at(2_500),
        sample(6_900, &[]).failed(overloaded()).ended_at(7_500),
    ]) {
        recorder.record(&sample.settled());
    }
    let origin = Timestamp::from_unix_ms(0);
    let report = recorder.report(&instrument(), Environment::default(), origin, 0);
    assert_eq!((report.requests.scheduled, report.requests.failed), (12, 2));
    assert_eq!((report.latency.e2e_ms.unwrap().n, report.token_speed_per_s.unwrap().n), (5, 5));
    assert_eq!(report.latency.from_intent.ttft_ms.unwrap().failed, 1);
    assert_eq!(report.aliases.vllm_ttft_ms.unwrap().n, 5);
    assert_eq!(report.validity.early_stopping.unwrap().n, 5);
    let throughput = report.throughput;
    assert_eq!((throughput.requests_per_s, throughput.output_tokens_per_s), (1.0, 3.0));
    let goodput = report.goodput.unwrap();
    assert_eq!((goodput.met, goodput.scheduled, goodput.requests_per_s), (5, 6, 1.0));
    let window = report.window;
    assert_eq!((window.left_out_warmup_s, window.left_out_cooldown_s), (2.0, 3.0));
    assert_eq!((window.measured_s, window.counted_s), (9.99, Some(5.0)));
    assert_eq!((window.steady_from_s, window.steady_s), (Some(2.0), Some(5.0)));
}

#[test]
fn a_token_counts_where_it_came_though_its_request_was_sent_in_the_warm_up() {
    let mut recorder = Recorder::new(plan()).counting(leaving_out(2, 0, 10));
    recorder.record(&sample(1_000, &[1_500, 2_500, 3_500]).counted(9, 3).settled());
    let origin = Timestamp::from_unix_ms(0);
    let report = recorder.report(&instrument(), Environment::default(), origin, ms(4_000));
    assert_eq!(report.latency.ttft_ms, None);
    let throughput = report.throughput;
    assert_eq!((throughput.output_tokens_per_s, throughput.requests_per_s), (1.0, 0.5));
}

#[test]
fn without_objectives_there_is_no_goodput_and_nothing_is_left_out() {
    let report = report(plan(), one_a_second(3));
    assert_eq!((report.goodput, report.window.counted_s), (None, None));
    assert_eq!((report.window.left_out_warmup_s, report.window.left_out_cooldown_s), (0.0, 0.0));
}

#[test]
fn in_an_open_loop_all_of_the_sending_time_is_steady() {
    let open = |sending_ms| Plan {
        users: 50,
        spawn_rate: 0,
        pacing: Pacing::Schedule { sending_us: ms(sending_ms) },
        ..plan()
    };
    let window = report(open(3_500), one_a_second(6)).window;
    assert_eq!(window.warmup_s, 0.0);
    assert_eq!((window.steady_from_s, window.steady_s), (Some(0.0), Some(3.0)));
    assert_eq!(report(open(500), one_a_second(6)).window.steady_s, None);
}

#[test]
fn dropped_requests_were_scheduled_and_never_started() {
    let mut recorder = recorded(plan(), one_a_second(4));
    recorder.note_dropped(6);
    let requests = recorder.tally.requests();
    assert_eq!((requests.scheduled, requests.started, requests.dropped), (10, 4, 6));
}
