use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn schedule(load: Value, seed: u64) -> Schedule {
    let mut load = load;
    for (name, value) in [
        ("duration_s", json!(3_600)),
        ("grace_s", json!(0.0)),
        ("max_concurrency", Value::Null),
        ("max_requests", Value::Null),
    ] {
        load.as_object_mut().unwrap().entry(name).or_insert(value);
    }
    Schedule::of(&serde_json::from_value(load).unwrap(), seed).unwrap()
}

/// Mean of the gaps in seconds, and their coefficient of variation, over `n` of them.
#[expect(clippy::cast_precision_loss, reason = "an hour has 2^32 microseconds")]
fn gaps(schedule: &Schedule, n: u32) -> (f64, f64) {
    let due: Vec<u64> = schedule.due().map(|(_, due_us)| due_us).take(n as usize + 1).collect();
    assert_eq!(due.len(), n as usize + 1);
    let gaps: Vec<f64> = due.windows(2).map(|two| (two[1] - two[0]) as f64 / 1e6).collect();
    let mean = gaps.iter().sum::<f64>() / f64::from(n);
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / f64::from(n);
    (mean, variance.sqrt() / mean)
}

fn shapes(rate: f64) -> [Value; 3] {
    [
        json!({"kind": "constant", "rate": rate}),
        json!({"kind": "poisson", "rate": rate}),
        json!({"kind": "gamma", "rate": rate, "cv": 2.5}),
    ]
}

#[test]
fn a_closed_loop_has_no_schedule() {
    let load = json!({"kind": "closed_loop", "users": 1, "spawn_rate": 1, "duration_s": 1,
        "wait_min_s": 0.0, "wait_max_s": 0.0, "grace_s": 0.0});
    assert!(Schedule::of(&serde_json::from_value(load).unwrap(), 1).is_none());
}

#[test]
fn a_schedule_ends_with_its_duration_or_its_requests() {
    let ten_a_second = |more: (&str, u32)| {
        let mut load = json!({"kind": "constant", "rate": 10.0, "duration_s": 30});
        load[more.0] = more.1.into();
        schedule(load, 1)
    };
    let by_time = ten_a_second(("duration_s", 30));
    assert_eq!((by_time.due().count(), by_time.sending_us()), (300, 30_000_000));
    assert_eq!(by_time.due().last(), Some((299, 29_900_000)));
    let by_count = ten_a_second(("max_requests", 50));
    assert_eq!((by_count.due().count(), by_count.sending_us()), (50, 5_000_000));
    let more_than_there_are = ten_a_second(("max_requests", 5_000));
    assert_eq!(more_than_there_are.sending_us(), 30_000_000);
}

/// The schedule of each open loop, of at most `requests`.
fn all_shapes(requests: u32, seed: u64) -> Vec<Schedule> {
    let stages = json!([
        {"target": 90.0, "duration_s": 2, "shape": "linear"},
        {"target": 300.0, "duration_s": 60, "shape": "step"},
    ]);
    let own = [
        json!({"kind": "staged", "of": "rate", "stages": stages}),
        json!({"kind": "all_at_once", "requests": requests}),
        a_trace(),
    ];
    let due: Arc<[Micros]> = (0..250).map(|nth: u64| nth * nth * 1_000).collect();
    let schedule = |mut shape: Value| {
        shape["max_requests"] = requests.into();
        schedule(shape, seed).replaying(Arc::clone(&due), None)
    };
    shapes(100.0).into_iter().chain(own).map(schedule).collect()
}

fn a_trace() -> Value {
    json!({"kind": "trace", "trace": "t.csv", "format": null, "speed": 1.0})
}

#[test]
fn a_trace_is_due_as_it_says_and_sending_is_over_with_it() {
    let replay = |due: &[Micros], beyond_us: Option<Micros>| {
        let mut load = a_trace();
        load["duration_s"] = 10.into();
        schedule(load, 1).replaying(due.into(), beyond_us)
    };
    let whole = replay(&[0, 5, 5, 7_000_000], None);
    assert_eq!(whole.due().collect::<Vec<_>>(), [(0, 0), (1, 5), (2, 5), (3, 7_000_000)]);
    assert_eq!(whole.sending_us(), 7_000_000);
    assert_eq!(replay(&[0, 5], Some(9_000_000)).sending_us(), 9_000_000, "one too many");
    assert_eq!(replay(&[0, 5], Some(12_000_000)).sending_us(), 10_000_000, "the duration ends it");
    assert!(!whole.is_a_burst());
}

#[test]
fn a_burst_is_due_at_the_start() {
    let burst = schedule(json!({"kind": "all_at_once", "requests": 5}), 1);
    assert!(burst.is_a_burst());
    assert_eq!(burst.due().map(|(_, due_us)| due_us).collect::<Vec<_>>(), [0; 5]);
}

#[test]
fn the_seed_decides_and_nothing_else() {
    for shape in &shapes(50.0)[1..] {
        let due = |seed| schedule(shape.clone(), seed).due().take(1_000).collect::<Vec<_>>();
        assert_eq!(due(7), due(7));
        assert_ne!(due(7), due(8));
        assert!(due(7).is_sorted());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_rate_is_met_on_average(seed: u64, rate in 10.0..2_000.0_f64) {
        const N: u32 = 20_000;
        for (shape, cv) in shapes(rate).into_iter().zip([0.0, 1.0, 2.5]) {
            let (mean, _) = gaps(&schedule(shape, seed), N);
            // seven standard deviations of a mean of N, and the rounding to microseconds
            let tolerance = 7.0 * cv / (f64::from(N)).sqrt() + 0.001;
            prop_assert!((mean * rate - 1.0).abs() < tolerance, "{mean} at {rate}");
        }
    }

    #[test]
    fn gaps_vary_as_they_were_asked_to(seed: u64, cv in 0.05..2.5_f64) {
        const N: u32 = 20_000;
        let shape = json!({"kind": "gamma", "rate": 20.0, "cv": cv});
        let (_, found) = gaps(&schedule(shape, seed), N);
        // eight standard deviations: a gamma distribution's excess kurtosis is 6 cv²
        let tolerance = 4.0 * ((6.0 * cv * cv + 2.0) / f64::from(N)).sqrt();
        prop_assert!((found / cv - 1.0).abs() < tolerance, "{found}, not {cv}");
        let (_, exponential) = gaps(&schedule(json!({"kind": "poisson", "rate": 20.0}), seed), N);
        prop_assert!((exponential - 1.0).abs() < 0.08, "{exponential}");
    }

    #[test]
    fn threads_share_a_schedule_without_gap_or_overlap(
        seed: u64, threads in 1..9_u32, requests in 1..300_u32,
    ) {
        for schedule in all_shapes(requests, seed) {
            let mut dealt: Vec<_> =
                (0..threads).flat_map(|thread| schedule.dealt_to(crate::arrival::Shard::WHOLE.slice(thread, threads))).collect();
            dealt.sort_unstable();
            let whole: Vec<_> = schedule.due().collect();
            prop_assert_eq!(&dealt, &whole);
            prop_assert!((1..=requests as usize).contains(&whole.len()));
            prop_assert!(whole.iter().map(|(nth, _)| *nth).eq(0..whole.len() as u64));
            prop_assert!(whole.is_sorted_by_key(|(_, due_us)| *due_us));
        }
        let due = |schedule: Schedule| schedule.due().collect::<Vec<_>>();
        for (one, same) in all_shapes(requests, seed).into_iter().zip(all_shapes(requests, seed)) {
            prop_assert_eq!(due(one), due(same));
        }
    }
}
