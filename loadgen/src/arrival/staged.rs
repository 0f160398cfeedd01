//! Load that changes over its time: when users send, and when requests are due.

use shared::{Ramp, Stages};

use super::micros;
use crate::sample::Micros;

/// Due times where stages are of rates.
///
/// Each is computed from its index: request `i` is due when the rate's integral over time has come
/// to `i`.
pub(super) fn due_times(stages: &Stages) -> impl Iterator<Item = Micros> + use<> {
    let ramps: Vec<Ramp> = stages.ramps().collect();
    let mut before = 0.0;
    ramps.into_iter().flat_map(move |ramp| {
        let (from, to) = (before, before + ramp.area());
        before = to;
        (whole(from)..whole(to))
            .map(move |nth| micros(ramp.from_s + seconds_until(f64::from(nth) - from, &ramp)))
    })
}

/// The least whole number that is not below `number`, but for what rounding may have added.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most 10,000 a second for an hour"
)]
fn whole(number: f64) -> u32 {
    (number - 1e-6).ceil() as u32
}

/// Seconds from the start of `ramp` to its request `nth`, the root of
/// `first t + (last - first) t² / (2 length) = nth`.
fn seconds_until(nth: f64, ramp: &Ramp) -> f64 {
    if nth <= 0.0 {
        return 0.0;
    }
    let half_slope = (ramp.last - ramp.first) / (2.0 * ramp.length_s);
    let root = (ramp.first * ramp.first + 4.0 * half_slope * nth).max(0.0).sqrt();
    2.0 * nth / (ramp.first + root)
}

/// When user `user`, counted from 0, sends, where stages are of users: whenever there are more than
/// `user`. Stretches `[from, to)` in order, with time between them.
pub fn spells(stages: &Stages, user: u32) -> Vec<(Micros, Micros)> {
    let user = f64::from(user);
    let mut spells: Vec<(Micros, Micros)> = Vec::new();
    for ramp in stages.ramps() {
        let crossing = ramp.length_s * (user - ramp.first) / (ramp.last - ramp.first);
        let (from, to) = match (ramp.first > user, ramp.last > user) {
            (true, true) => (0.0, ramp.length_s),
            (true, false) => (0.0, crossing.min(ramp.length_s)),
            (false, true) => (crossing, ramp.length_s),
            (false, false) => continue,
        };
        let (from_us, to_us) = (micros(ramp.from_s + from), micros(ramp.from_s + to));
        match spells.last_mut() {
            Some(last) if last.1 == from_us => last.1 = to_us,
            _ => spells.push((from_us, to_us)),
        }
    }
    spells
}

/// From the origin to when the largest target is reached.
pub fn warmup_us(stages: &Stages) -> Micros {
    let peak = stages.peak();
    let reached = stages.ramps().find(|ramp| ramp.last >= peak);
    reached.map_or(0, |ramp| {
        let is_step = ramp.first >= peak;
        micros(if is_step { ramp.from_s } else { ramp.from_s + ramp.length_s })
    })
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "small whole numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stages(written: &str) -> Stages {
        Stages::try_from(written.to_owned()).unwrap()
    }

    const S: Micros = 1_000_000;

    #[test]
    fn steps_and_ramps_of_a_rate_are_due_by_their_integral() {
        let steps: Vec<_> = due_times(&stages("1:2,2:1,0:5,1:1")).collect();
        assert_eq!(steps, [0, S, 2 * S, 2 * S + S / 2, 8 * S]);
        // t² / 2: a request at 0, 2, and the square roots of 8, 12 and 16 seconds later
        let ramp: Vec<_> = due_times(&stages("4:8:linear")).collect();
        assert_eq!(ramp.len(), 16);
        assert_eq!((ramp[0], ramp[1], ramp[4], ramp[9]), (0, 2 * S, 4 * S, 6 * S));
        let down: Vec<_> = due_times(&stages("2:1,0:4:linear")).collect();
        assert_eq!(down.len(), 6, "2 in the step, 4 in the ramp");
        assert!(down.is_sorted() && *down.last().unwrap() < 5 * S);
    }

    #[test]
    fn users_send_while_a_stage_has_room_for_them() {
        let up_and_down = stages("4:4:linear,4:2,0:4:linear,2:3");
        assert_eq!(spells(&up_and_down, 0), [(0, 13 * S)]);
        assert_eq!(spells(&up_and_down, 1), [(S, 9 * S), (10 * S, 13 * S)]);
        assert_eq!(spells(&up_and_down, 3), [(3 * S, 7 * S)]);
        assert_eq!(spells(&up_and_down, 4), []);
        assert_eq!(warmup_us(&up_and_down), 4 * S);
        assert_eq!(warmup_us(&stages("1:5,7:5")), 5 * S);
    }

    fn any_stages() -> impl Strategy<Value = Stages> {
        let stage = (0..40_u32, 1..20_u32, any::<bool>());
        prop::collection::vec(stage, 1..8).prop_filter_map("a load", |stages| {
            let written: Vec<_> = stages
                .iter()
                .map(|(target, seconds, linear)| {
                    format!("{target}:{seconds}:{}", if *linear { "linear" } else { "step" })
                })
                .collect();
            Stages::try_from(written.join(",")).ok()
        })
    }

    proptest! {
        #[test]
        fn as_many_requests_are_due_as_the_rate_has_area(stages in any_stages()) {
            let area: f64 = stages.ramps().map(Ramp::area).sum();
            let due: Vec<_> = due_times(&stages).collect();
            prop_assert!((due.len() as f64 - area.ceil()).abs() < 0.5, "{} of {area}", due.len());
            prop_assert!(due.is_sorted());
            prop_assert!(due.iter().all(|due| *due <= Micros::from(stages.duration().get()) * S));
        }

        #[test]
        fn users_together_have_the_area_of_their_stages(stages in any_stages()) {
            let length = |(from, to): (Micros, Micros)| to - from;
            let user_us: Micros =
                (0..40).flat_map(|user| spells(&stages, user)).map(length).sum();
            // a user begins where the ramp crosses its number: half a user more on every ramp
            let more = |ramp: &Ramp| if ramp.first == ramp.last { 0.0 } else { 0.5 * ramp.length_s };
            let expected: f64 = stages.ramps().map(|ramp| ramp.area() + more(&ramp)).sum();
            prop_assert!((user_us as f64 / 1e6 - expected).abs() < 0.01, "{user_us} {expected}");
        }
    }
}
