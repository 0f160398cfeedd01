use std::time::Duration;

use proptest::prelude::*;
use shared::report::StoppedBy;

use super::*;
use crate::metrics::{
    Figures,
    samples::{instrument, ms, overloaded, plan, sample},
};

fn of(plan: Plan, samples: impl IntoIterator<Item = Sample>) -> Recorder {
    let mut recorder = Recorder::new(plan);
    for sample in samples {
        recorder.record(&sample.settled());
    }
    recorder
}

fn figures(recorder: &Recorder) -> Report {
    let origin = Timestamp::from_unix_ms(0);
    recorder.report(&instrument(), Environment::default(), origin, recorder.last_end_us())
}

#[test]
fn the_schedule_lag_is_ours_and_not_the_time_a_connection_took() {
    let mut reused = sample(130, &[200]).due_at(100);
    reused.picked_up_us = ms(110);
    assert_eq!(schedule_lag_us(&reused), ms(30));
    let mut opened = sample(180, &[200]).due_at(100);
    opened.picked_up_us = ms(110);
    opened.connection = Some(ConnectionUse::Opened { connect_us: 60_000, tls_us: None });
    assert_eq!(schedule_lag_us(&opened), ms(10));
    let mut never_sent = sample(0, &[]).due_at(100).failed(overloaded());
    (never_sent.sent_us, never_sent.connection) = (None, None);
    never_sent.picked_up_us = ms(105);
    assert_eq!(schedule_lag_us(&never_sent), ms(5));
}

#[test]
fn a_plan_is_read_from_its_parts() {
    let plan = Plan { users: 9, spawn_rate: 2, ..plan() };
    assert_eq!(plan.warmup_us(), ms(4_000));
    assert_eq!(Plan { users: 1, ..plan }.warmup_us(), 0);
}

/// Requests completed, failed and cancelled, and output tokens of all.
fn totals(recorder: &Recorder) -> (u64, u64, u64, u64) {
    let requests = recorder.tally.requests();
    let output_tokens = recorder.series.served(None).output_tokens;
    (requests.completed, requests.failed, requests.cancelled, output_tokens)
}

#[test]
fn tokens_count_however_a_request_ended() {
    let recorder = of(
        plan(),
        [
            sample(0, &[10, 20]).counted(1, 2),
            sample(0, &[10]).failed(overloaded()),
            sample(0, &[10, 20, 30]).cancelled(),
        ],
    );
    assert_eq!(totals(&recorder), (1, 1, 1, 6));
    assert_eq!(recorder.last_end_us(), ms(30));
}

#[test]
fn a_request_that_never_got_a_connection_is_counted_all_the_same() {
    let mut refused = sample(0, &[]).ended_at(1_500).failed(overloaded());
    (refused.sent_us, refused.connection) = (None, None);
    refused.picked_up_us = ms(1_200);
    let recorder = of(plan(), [refused]);
    let rows = recorder.series();
    assert_eq!((rows[1].started, rows[1].failed, rows[1].in_flight), (1, 1, 0));
    assert_eq!(figures(&recorder).requests.started, 1);
}

/// Any request: when it was sent, its events' distances, its tokens, how it ended.
fn any_sample() -> impl Strategy<Value = Sample> {
    let events = prop::collection::vec(1..900_u64, 0..12);
    (0..20_000_u64, events, prop::option::of(1..40_u64), 0..4_u8).prop_map(
        |(sent, distances, counted, ending)| {
            let mut at = sent;
            let events: Vec<u64> = distances
                .iter()
                .map(|distance| {
                    at += distance;
                    at
                })
                .collect();
            let end = at + 5;
            let sample = match (sample(sent, &events), counted) {
                (sample, Some(counted)) => sample.counted(3, counted),
                (sample, None) => sample,
            };
            match ending {
                0 => sample.failed(overloaded()),
                1 => sample.cancelled(),
                _ => sample,
            }
            .ended_at(end)
        },
    )
}

fn copy(sample: &Sample) -> Sample {
    let Sample { events, bare_choices_us, usage, outcome, finish_reason, text, ask, .. } = sample;
    Sample {
        events: events.clone(),
        bare_choices_us: bare_choices_us.clone(),
        usage: *usage,
        finish_reason: finish_reason.clone(),
        text: text.clone(),
        ask: ask.clone(),
        outcome: match outcome {
            Outcome::Failed(_) => Outcome::Failed(overloaded()),
            Outcome::Completed => Outcome::Completed,
            Outcome::Cancelled => Outcome::Cancelled,
        },
        ..*sample
    }
}

/// One that also says what is good, and tells two servers apart.
fn with_everything() -> Recorder {
    let limit = 4_000.0.try_into().ok();
    let slo = Slo { preset: None, ttft_ms: None, tpot_ms: None, itl_ms: None, e2e_ms: limit };
    let server = |nth| Server {
        url: format!("http://{nth}.example").try_into().unwrap(),
        name: Some("a server".to_owned()),
    };
    Recorder::new(plan()).judging_by(Some(slo)).telling_apart((0..2).map(server))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_series_sums_to_the_totals(samples in prop::collection::vec(any_sample(), 0..40)) {
        let recorder = of(plan(), samples);
        let (completed, failed, cancelled, output_tokens) = totals(&recorder);
        let rows = recorder.series();
        let sum = |of: fn(&SecondRow) -> u64| rows.iter().map(of).sum::<u64>();
        prop_assert_eq!(sum(|row| row.started), completed + failed + cancelled);
        prop_assert_eq!(sum(|row| row.completed), completed);
        prop_assert_eq!(sum(|row| row.failed), failed);
        prop_assert_eq!(sum(|row| row.output_tokens), output_tokens);
        let report = figures(&recorder);
        let peak = rows.iter().map(|row| row.in_flight).max().unwrap_or_default();
        prop_assert_eq!(report.concurrency.peak, peak);
        prop_assert_eq!(report.requests.started, completed + failed + cancelled);
    }

    #[test]
    fn the_order_in_which_requests_end_changes_nothing(
        samples in prop::collection::vec(any_sample(), 1..20),
        from in 0..20_usize,
    ) {
        let mut turned: Vec<Sample> = samples.iter().map(copy).collect();
        let count = turned.len();
        turned.rotate_left(from % count);
        let (one, other) = (of(plan(), samples), of(plan(), turned));
        prop_assert_eq!(figures(&one), figures(&other));
        prop_assert_eq!(one.series(), other.series());
    }

    #[test]
    fn what_several_took_and_sent_to_one_is_what_one_would_have_taken(
        samples in prop::collection::vec((any_sample(), 0..2_u32, 0..4_usize), 0..60),
        stopped in prop::option::of(0..20_000_u64),
    ) {
        let (mut all, mut shards) = (with_everything(), vec![with_everything(); 4]);
        for (sample, target, shard) in &samples {
            let settled = || Sample { target: *target, ..copy(sample) }.settled();
            all.record(&settled());
            shards[*shard].record(&settled());
        }
        for (nth, shard) in shards.iter_mut().enumerate() {
            shard.note_dropped(nth as u64);
        }
        all.note_dropped(6);
        if let Some(ms) = stopped {
            let at_s = Duration::from_millis(ms).as_secs_f64();
            let detail = "too many failed".to_owned();
            let stopped = Stopped { by: StoppedBy::ErrorRate, at_s, detail };
            all.note_stopped(stopped.clone());
            shards[2].note_stopped(stopped);
        }
        let measured = |recorder: Recorder| {
            let until_us = recorder.last_end_us();
            Figures { recorder, instrument: instrument(), until_us }
        };
        let [mut one, others @ ..] = <[_; 4]>::try_from(shards).unwrap().map(measured);
        for other in others {
            one.merge(&Figures::from_bytes(&other.to_bytes().unwrap()).unwrap());
        }
        let all = measured(all);
        let report = |figures: &Figures| {
            figures.report(Environment::default(), Timestamp::from_unix_ms(0), None)
        };
        prop_assert_eq!(report(&one), report(&all));
        prop_assert_eq!(one.series(None), all.series(None));
        let read = |figures: &Figures| {
            let stored = figures.histograms();
            stored.into_iter().map(|(name, it)| (name, Histogram::restored(&it).unwrap().distribution())).collect::<Vec<_>>()
        };
        prop_assert_eq!(read(&one), read(&all));
    }
}

#[test]
fn figures_of_another_version_are_not_guessed_at() {
    let (recorder, instrument) = (of(plan(), [sample(0, &[10, 20])]), instrument());
    let bytes = Figures { recorder, instrument, until_us: 0 }.to_bytes().unwrap();
    let read = |bytes: &[u8]| Figures::from_bytes(bytes).unwrap_err().to_string();
    let newer: Vec<u8> =
        bytes.iter().enumerate().map(|(at, byte)| byte + u8::from(at == 0)).collect();
    assert!(read(&newer).starts_with("figures in form 3"), "{}", read(&newer));
    assert_eq!(read(&bytes[..bytes.len() / 2]), "broken figures");
    assert_eq!(
        read(&[]),
        "figures in form 0, and this runner reads form 2: runners of one version only"
    );
}
