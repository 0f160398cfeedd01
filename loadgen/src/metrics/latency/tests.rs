use super::*;
use crate::{
    metrics::samples::{ms, overloaded, sample},
    sample::Sample,
};

fn of(samples: impl IntoIterator<Item = Sample>) -> Latencies {
    let mut latencies = Latencies::default();
    for sample in samples {
        latencies.record(&sample.settled());
    }
    latencies
}

/// Count, mean and maximum.
fn brief(distribution: Option<Distribution>) -> Option<(u64, f64, f64)> {
    distribution.map(|d| (d.n, d.mean, d.max))
}

#[test]
fn ttft_is_from_send_to_the_first_token_event() {
    let latency = of([sample(100, &[300, 310]), sample(0, &[400])]).latency();
    assert_eq!(brief(latency.ttft_ms), Some((2, 300.0, 400.0)));
}

#[test]
fn ttfa_is_to_the_first_event_that_is_no_reasoning_and_null_without_one() {
    let mut thinking = sample(0, &[100, 200, 300]);
    thinking.first_answer_us = Some(ms(300));
    let mut only_thinking = sample(0, &[100, 200]);
    only_thinking.first_answer_us = None;
    let latency = of([thinking, only_thinking]).latency();
    assert_eq!(brief(latency.ttfa_ms), Some((1, 300.0, 300.0)));
    assert_eq!(latency.ttft_ms.unwrap().n, 2);
}

#[test]
fn ttfe_is_to_the_first_event_of_any_kind() {
    let mut role_first = sample(0, &[100]);
    role_first.first_event_us = Some(ms(30));
    let latency = of([role_first]).latency();
    assert_eq!(brief(latency.ttfe_ms), Some((1, 30.0, 30.0)));
    assert_eq!(brief(latency.ttft_ms), Some((1, 100.0, 100.0)));
}

#[test]
fn e2e_is_to_the_last_token_event_and_not_to_the_end_of_the_stream() {
    let latency = of([sample(50, &[100, 250]).counted(1, 2).ended_at(900)]).latency();
    assert_eq!(brief(latency.e2e_ms), Some((1, 200.0, 200.0)));
    assert_eq!(brief(latency.tpot_ms), Some((1, 150.0, 150.0)));
}

#[test]
fn tpot_is_the_stream_over_its_tokens_but_one() {
    // 5 tokens in 2 events: (300 - 100) / 4
    let latency = of([sample(0, &[100, 300]).counted(1, 5)]).latency();
    assert_eq!(brief(latency.tpot_ms), Some((1, 50.0, 50.0)));
}

#[test]
fn tpot_is_null_and_not_zero_for_one_token_or_one_event() {
    let one_token = sample(0, &[100, 200]).counted(1, 1);
    let one_event = sample(0, &[100]).counted(1, 50);
    let latencies = of([one_token, one_event]);
    assert_eq!(latencies.latency().tpot_ms, None);
    assert_eq!(latencies.token_speed(), None);
    // beside others they are left out
    let latency = of([sample(0, &[100]).counted(1, 50), sample(0, &[100, 120]).counted(1, 2)]);
    assert_eq!(brief(latency.latency().tpot_ms), Some((1, 20.0, 20.0)));
}

#[test]
fn tpot_leaves_hidden_reasoning_out() {
    let mut hidden = sample(0, &[500, 510, 520]).counted(1, 103);
    hidden.usage.as_mut().unwrap().reasoning_tokens = Some(100);
    let latencies = of([hidden]);
    assert_eq!(brief(latencies.latency().tpot_ms), Some((1, 10.0, 10.0)));
    // … but the rate over the whole request counts them: 103 tokens in 520 ms
    let rate = latencies.output_token_rate().unwrap().mean;
    assert!((rate - 103.0 / 0.52).abs() < 0.001, "{rate}");
}

#[test]
fn itl_spreads_a_gap_over_the_tokens_that_came_after_it() {
    // 20 ms for 2 tokens, 30 ms for 3: five times 10 ms
    let latency = of([sample(0, &[10, 30, 60]).in_chunks_of(&[1, 2, 3])]).latency();
    assert_eq!(brief(latency.itl_ms), Some((5, 10.0, 10.0)));
    assert_eq!(latency.itl_raw_share, Some(0.0));
}

#[test]
fn itl_is_of_raw_gaps_and_says_so_where_k_is_unknown() {
    let known = sample(0, &[10, 20]).counted(1, 2);
    let unknown = sample(0, &[10, 60]).counted(1, 9);
    let one_event = sample(0, &[10]).counted(1, 9); // gives no gap, so it has no share
    let latency = of([known, unknown, one_event]).latency();
    assert_eq!(brief(latency.itl_ms), Some((2, 30.0, 50.0)));
    assert_eq!(latency.itl_raw_share, Some(0.5));
}

#[test]
fn icl_is_the_raw_gap_and_stall_the_longest_of_each_request() {
    let latency = of([
        sample(0, &[10, 30, 60]).in_chunks_of(&[1, 2, 3]),
        sample(0, &[10, 110]).counted(1, 2),
    ])
    .latency();
    assert_eq!(brief(latency.icl_ms), Some((3, 50.0, 100.0)));
    assert_eq!(brief(latency.stall_ms), Some((2, 65.0, 100.0)));
}

#[test]
fn token_speed_is_one_over_tpot_and_the_output_rate_is_over_e2e() {
    // TPOT 50 ms: 20 tokens/s; 5 tokens in 400 ms: 12.5 tokens/s
    let latencies = of([sample(0, &[200, 400]).counted(1, 5)]);
    assert_eq!(brief(latencies.token_speed()), Some((1, 20.0, 20.0)));
    assert_eq!(brief(latencies.output_token_rate()), Some((1, 12.5, 12.5)));
}

#[test]
fn from_intent_counts_the_wait_before_sending() {
    let latency = of([sample(300, &[500, 600]).due_at(100)]).latency();
    let from_intent = latency.from_intent;
    let close = |told: Option<f64>, exact: f64| (told.unwrap() - exact).abs() <= exact * 0.001;
    assert!(close(from_intent.ttft_ms.unwrap().p50, 400.0));
    assert!(close(from_intent.e2e_ms.unwrap().p50, 500.0));
    assert_eq!(brief(latency.ttft_ms), Some((1, 200.0, 200.0)));
}

#[test]
fn from_intent_a_failure_is_infinitely_late() {
    let completed = (1..=8).map(|i| sample(0, &[i * 100]));
    let failed = (0..2).map(|_| sample(0, &[50]).failed(overloaded()));
    let latency = of(completed.chain(failed)).latency();
    // of ten the fifth is 500 ms; the ninth and tenth failed
    let ttft = latency.from_intent.ttft_ms.unwrap();
    assert_eq!((ttft.n, ttft.failed), (10, 2));
    assert!((ttft.p50.unwrap() - 500.0).abs() < 0.5);
    assert_eq!((ttft.p90, ttft.p95, ttft.p99), (None, None, None));
    // … while the plain latency does not know them
    assert_eq!(latency.ttft_ms.unwrap().n, 8);
}

#[test]
fn failed_and_cancelled_requests_enter_no_latency() {
    let latencies = of([
        sample(0, &[10, 20]).counted(1, 2).failed(overloaded()),
        sample(0, &[10, 20]).counted(1, 2).cancelled(),
    ]);
    let only_intent = latencies.latency();
    assert_eq!(only_intent.from_intent.e2e_ms.as_ref().unwrap().n, 1, "cancelled is no failure");
    assert_eq!(Latency { from_intent: FromIntent::default(), ..only_intent }, Latency::default());
    assert_eq!((latencies.token_speed(), latencies.output_token_rate()), (None, None));
}

#[test]
fn connect_is_of_the_connections_that_were_opened() {
    let opened = |tls_us| {
        let mut opened = sample(0, &[10]);
        opened.connection = Some(ConnectionUse::Opened { connect_us: 3_000, tls_us });
        opened
    };
    let latency = of([opened(None), sample(0, &[10])]).latency();
    assert_eq!((brief(latency.connect_ms), latency.tls_ms), (Some((1, 3.0, 3.0)), None));
    // whatever became of the request
    let latency = of([opened(Some(7_000)).failed(overloaded())]).latency();
    assert_eq!(brief(latency.connect_ms), Some((1, 3.0, 3.0)));
    assert_eq!(brief(latency.tls_ms), Some((1, 7.0, 7.0)));
}

#[test]
fn send_is_first_to_last_byte_of_the_request_and_wait_is_from_there_to_the_head() {
    let mut sent = sample(100, &[150]);
    (sent.written_us, sent.head_us) = (Some(ms(102)), Some(ms(142)));
    let mut failed = sample(0, &[10]).failed(overloaded());
    (failed.written_us, failed.head_us) = (Some(ms(5)), Some(ms(9)));
    let latency = of([sent, failed]).latency();
    assert_eq!(brief(latency.send_ms), Some((1, 2.0, 2.0)));
    assert_eq!(brief(latency.wait_ms), Some((1, 40.0, 40.0)));
    // a server may answer before it has read the whole request
    let mut early = sample(0, &[10]);
    (early.written_us, early.head_us) = (Some(ms(8)), Some(ms(3)));
    assert_eq!(brief(of([early]).latency().wait_ms), Some((1, 0.0, 0.0)));
}

#[test]
fn an_answer_that_was_not_streamed_has_an_end_alone() {
    let mut embedded = sample(0, &[]).counted(9, 0);
    embedded.whole_us = Some(ms(100));
    let latencies = of([sample(100, &[300]).counted(1, 4).whole(), embedded]);
    let latency = latencies.latency();
    assert_eq!(brief(latency.e2e_ms), Some((2, 150.0, 200.0)));
    assert_eq!((latency.ttft_ms, latency.ttfe_ms, latency.tpot_ms), (None, None, None));
    assert_eq!(latency.from_intent.ttft_ms, None);
    assert_eq!(latency.from_intent.e2e_ms.unwrap().n, 2);
    // 4 tokens in 200 ms; what has no tokens has no rate
    assert_eq!(brief(latencies.output_token_rate()), Some((1, 20.0, 20.0)));
}
