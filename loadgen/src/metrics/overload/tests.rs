use super::*;

/// What is found when a run is looked at second by second, and when.
fn found(
    mut overload: Overload,
    seconds: u64,
    counts: impl Fn(u64) -> Counts,
) -> Option<(u64, String)> {
    (1..=seconds).find_map(|s| Some((s, overload.look(s * 1_000_000, counts(s))?)))
}

/// An open loop of `rate` requests a second, of which `served` a second get a token `ttft_s` after
/// they were sent, in order, and are over a second later.
fn queueing(rate: u64, served: u64, ttft_s: u64) -> impl Fn(u64) -> Counts {
    move |s| {
        let started = rate * s;
        let begun = (served.min(rate) * s.saturating_sub(ttft_s)).min(started);
        let ended = (served.min(rate) * s.saturating_sub(ttft_s + 1)).min(started);
        Counts { started, begun, waiting: started - begun, ended, ..Counts::default() }
    }
}

#[test]
fn who_keeps_up_is_not_overloaded_however_slowly_it_begins() {
    for ttft_s in [0, 1, 5, 20, 60] {
        let keeps_up = queueing(20, 20, ttft_s);
        assert_eq!(found(Overload::of(true, 0), 300, keeps_up), None, "{ttft_s} s");
    }
    let slowly = |s: u64| Counts { started: s / 10, begun: s / 10, ..Counts::default() };
    assert_eq!(found(Overload::of(true, 0), 600, slowly), None);
}

#[test]
fn a_queue_that_grows_without_end_is_told_once_it_is_ten_seconds_long() {
    // half of what is sent is served: after 20 s as many wait as are sent in 10 s
    let (at_s, words) = found(Overload::of(true, 0), 300, queueing(20, 10, 0)).unwrap();
    assert_eq!(at_s, 20);
    assert_eq!(
        words,
        "200 requests waited for their first token, as many as were sent in 10 s, and 100 more than 10 s before"
    );
    // 15 % more than is served: it takes longer, but it comes
    let (at_s, _) = found(Overload::of(true, 0), 300, queueing(100, 85, 0)).unwrap();
    assert!((60..=70).contains(&at_s), "{at_s}");
    // users who wait for their answers make no such queue
    assert_eq!(found(Overload::of(false, 0), 300, queueing(20, 10, 0)), None);
}

#[test]
fn dropped_requests_are_told_where_they_are_many() {
    let dropping = |in_ten: u64| {
        move |s: u64| Counts {
            started: (10 - in_ten) * s,
            dropped: in_ten * s,
            begun: 1,
            ..Counts::default()
        }
    };
    assert_eq!(found(Overload::of(true, 0), 60, dropping(1)), None);
    let (at_s, words) = found(Overload::of(true, 0), 60, dropping(2)).unwrap();
    assert_eq!(at_s, 5);
    assert_eq!(words, "10 of the 50 requests due in the last 5 s found no room, above 10 %");
}

#[test]
fn refused_requests_are_told_and_the_time_of_the_warm_up_is_not() {
    let refusing = |from_s: u64| {
        move |s: u64| Counts {
            started: 8 * s,
            ended: 8 * s,
            refused: 2 * s.saturating_sub(from_s),
            ..Counts::default()
        }
    };
    let (at_s, words) = found(Overload::of(false, 0), 60, refusing(0)).unwrap();
    assert_eq!(at_s, 5);
    assert_eq!(
        words,
        "10 of the 40 requests that ended in the last 5 s were refused with 429 or 503, above 10 %"
    );
    assert_eq!(found(Overload::of(false, 0), 60, refusing(30)).unwrap().0, 33);
    assert_eq!(found(Overload::of(false, 20), 60, refusing(0)).unwrap().0, 25);
}

#[test]
fn few_requests_make_the_window_longer() {
    // one in 2 s, all refused: 20 of them take 40 s
    let slowly = |s: u64| Counts { ended: s / 2, refused: s / 2, ..Counts::default() };
    assert_eq!(found(Overload::of(false, 0), 60, slowly).unwrap().0, 40);
}

#[test]
fn answers_that_miss_their_objectives_are_told_where_they_are_most() {
    let good = |in_ten: u64| {
        move |s: u64| Counts {
            ended: 10 * s,
            judged: 10 * s,
            good: in_ten * s,
            ..Counts::default()
        }
    };
    assert_eq!(found(Overload::of(false, 0), 60, good(5)), None);
    let (at_s, words) = found(Overload::of(false, 0), 60, good(4)).unwrap();
    assert_eq!(at_s, 5);
    assert_eq!(
        words,
        "20 of the 50 requests that ended in the last 5 s met the objectives, below 50 %"
    );
}
