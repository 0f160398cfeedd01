use super::*;
use crate::{
    metrics::samples::{overloaded, sample},
    sample::Sample,
};

fn of(samples: impl IntoIterator<Item = Sample>) -> (Series, Vec<SecondRow>) {
    let (mut series, mut in_flight) = (Series::default(), InFlight::default());
    for sample in samples {
        let settled = sample.settled();
        in_flight.record(settled.sample.sent_us.unwrap(), settled.sample.end_us);
        series.record(&settled);
    }
    let rows = series.rows(&in_flight);
    (series, rows)
}

#[test]
fn each_thing_counts_in_the_second_it_happened_in() {
    let (_, rows) = of([
        sample(900, &[1_100, 2_100]).counted(4, 2).ended_at(3_050),
        sample(950, &[]).failed(overloaded()).ended_at(1_950),
    ]);
    let counts: Vec<_> = rows
        .iter()
        .map(|row| {
            (row.t_s, row.started, row.completed, row.failed, row.in_flight, row.output_tokens)
        })
        .collect();
    assert_eq!(
        counts,
        [(0, 2, 0, 0, 2, 0), (1, 0, 0, 1, 2, 1), (2, 0, 0, 0, 1, 1), (3, 0, 1, 0, 1, 0)]
    );
}

#[test]
fn latencies_are_of_the_second_the_token_came_in() {
    let (_, rows) =
        of([sample(0, &[100, 1_100, 1_140]).counted(1, 3), sample(0, &[100]).failed(overloaded())]);
    let close = |told: Option<f64>, exact: f64| (told.unwrap() - exact).abs() <= exact * 0.01;
    assert!(close(rows[0].ttft_ms_p50, 100.0) && close(rows[0].ttft_ms_p99, 100.0));
    assert_eq!((rows[0].itl_ms_p50, rows[1].ttft_ms_p50), (None, None));
    assert!(close(rows[1].itl_ms_p50, 40.0), "{:?}", rows[1].itl_ms_p50);
    assert!(close(rows[1].itl_ms_p99, 1_000.0));
}

#[test]
fn a_window_is_the_sum_of_its_seconds() {
    let (series, _) =
        of((0..5).map(|s| sample(s * 1_000, &[s * 1_000 + 100, s * 1_000 + 200]).counted(3, 2)));
    let served = |window| series.served(window);
    assert_eq!(served(None), Served { completed: 5, input_tokens: 15, output_tokens: 10 });
    let window = Steady { from_s: 1, to_s: 4 };
    assert_eq!(served(Some(window)), Served { completed: 3, input_tokens: 9, output_tokens: 6 });
}

#[test]
fn memory_is_bounded_whatever_the_instants() {
    let (_, rows) = of([sample(0, &[10]).ended_at(u64::MAX / 1_000)]);
    assert_eq!(rows.len(), MOST_SECONDS);
    assert_eq!(rows.last().unwrap().completed, 1);
}
