use proptest::prelude::*;

use super::*;
use crate::metrics::samples::ms;

fn open(requests_ms: &[(u64, u64)]) -> InFlight {
    let mut in_flight = InFlight::default();
    for (from, to) in requests_ms {
        in_flight.record(ms(*from), ms(*to));
    }
    in_flight
}

#[test]
fn concurrency_is_the_time_requests_were_open() {
    let in_flight = open(&[(0, 1_000), (500, 2_500), (990, 1_010)]);
    assert_eq!(in_flight.total_us(), ms(1_000 + 2_000 + 20));
    assert_eq!(in_flight.peaks(), (3, vec![3, 2, 1]));
}

#[test]
fn a_request_that_was_never_open_counts_for_nothing() {
    assert_eq!(open(&[(5, 5), (9, 3)]).peaks(), (0, vec![]));
}

#[test]
fn one_user_s_requests_in_a_row_are_never_two_at_once() {
    // each ends where the next begins, ten to a cell
    let in_flight = open(&(0..2_000).map(|i| (i, i + 1)).collect::<Vec<_>>());
    assert_eq!(in_flight.peaks().0, 1);
}

#[test]
fn steady_is_the_longest_run_of_seconds_at_the_plan() {
    // two users: both in seconds 1 and 2, one in 3, both in 4, 5 and 6, then none
    let in_flight = open(&[(0, 7_000), (1_000, 3_000), (4_000, 7_000)]);
    assert_eq!(in_flight.steady(2, ms(9_500)), Some(Steady { from_s: 4, to_s: 7 }));
    assert_eq!(in_flight.steady(1, ms(9_500)), Some(Steady { from_s: 0, to_s: 7 }));
    assert_eq!(in_flight.steady(3, ms(9_500)), None);
}

#[test]
fn the_first_of_two_equally_long_stretches_is_taken() {
    let in_flight = open(&[(0, 2_000), (3_000, 5_000)]);
    assert_eq!(in_flight.steady(1, ms(5_000)), Some(Steady { from_s: 0, to_s: 2 }));
}

#[test]
fn a_second_counts_by_its_mean_and_not_by_its_worst_moment() {
    // 40 ms without a request in each second: 96 % of the plan
    let enough: Vec<_> = (0..5).map(|s| (s * 1_000, s * 1_000 + 960)).collect();
    assert_eq!(open(&enough).steady(1, ms(5_000)), Some(Steady { from_s: 0, to_s: 5 }));
    // 60 ms: 94 %
    let short: Vec<_> = (0..5).map(|s| (s * 1_000, s * 1_000 + 940)).collect();
    assert_eq!(open(&short).steady(1, ms(5_000)), None);
}

#[test]
fn a_second_that_was_not_measured_whole_is_not_steady() {
    let in_flight = open(&[(0, 2_900)]);
    assert_eq!(in_flight.steady(1, ms(2_900)), Some(Steady { from_s: 0, to_s: 2 }));
    assert_eq!(open(&[(0, 900)]).steady(1, ms(900)), None);
}

#[test]
fn with_waits_steady_is_from_the_last_user_s_start_to_the_end_of_the_duration() {
    assert_eq!(
        Steady::by_plan(ms(1_500), ms(10_000), ms(12_000)),
        Some(Steady { from_s: 2, to_s: 10 })
    );
    assert_eq!(
        Steady::by_plan(ms(1_500), ms(10_000), ms(6_700)),
        Some(Steady { from_s: 2, to_s: 6 })
    );
    assert_eq!(Steady::by_plan(ms(9_500), ms(10_000), ms(12_000)), None);
}

proptest! {
    #[test]
    fn the_sweep_agrees_with_a_count_at_every_instant(
        requests in prop::collection::vec((0..400_u64, 1..300_u64), 1..40),
    ) {
        // in whole cells, so that every mean of a cell is a count
        let requests: Vec<_> =
            requests.iter().map(|(from, length)| (from * 10, (from + length) * 10)).collect();
        let in_flight = open(&requests);
        let open_at = |at| requests.iter().filter(|(from, to)| (*from..*to).contains(&at)).count();
        let most = (0..7_000).step_by(10).map(open_at).max().unwrap() as u64;
        prop_assert_eq!(in_flight.peaks().0, most);
        prop_assert_eq!(in_flight.total_us(), requests.iter().map(|(from, to)| ms(to - from)).sum::<u64>());
    }
}
