//! A closed loop: users that start one after another, and each wait for their answer.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shared::ClosedLoop;

use super::Slice;
use crate::sample::Micros;

/// Microseconds from the run's origin to the first request of user `user`, counted from 0.
///
/// Computed from the index, not from the user before, so rounding never adds up.
pub fn start_us(user: u32, spawn_rate: u32) -> Micros {
    u64::from(user) * 1_000_000 / u64::from(spawn_rate.max(1))
}

/// Those of `users` users that are in `slice`.
pub fn dealt_to(slice: Slice, users: u32) -> impl Iterator<Item = u32> {
    (0..users).filter(move |user| slice.holds((*user).into()))
}

/// How long users wait between an answer and their next request: uniform between two bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ThinkTime {
    min_s: f64,
    max_s: f64,
}

impl ThinkTime {
    /// The waits that `load` asks for; bounds in the wrong order are taken in the right one.
    pub fn of(load: &ClosedLoop) -> Self {
        let (one, other) = (load.wait_min_s.get(), load.wait_max_s.get());
        Self { min_s: one.min(other), max_s: one.max(other) }
    }

    /// Whether there is no wait at all.
    pub fn is_zero(self) -> bool {
        self.max_s <= 0.0
    }

    /// The wait of user `user` after its request `nth` (from 0), in microseconds.
    ///
    /// Depends on the three arguments alone: not on threads, nor on how many were drawn before.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "53 bits are an exact float, and a wait is a few hundred seconds at most"
    )]
    pub fn draw_us(self, seed: u64, user: u32, nth: u64) -> Micros {
        if self.is_zero() {
            return 0;
        }
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        chance.set_stream(u64::from(user));
        chance.set_word_pos(2 * u128::from(nth)); // one draw takes two words
        let unit = (chance.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        ((self.min_s + (self.max_s - self.min_s) * unit) * 1e6).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrival::Shard;

    fn waits(min_s: f64, max_s: f64) -> ThinkTime {
        ThinkTime { min_s, max_s }
    }

    #[test]
    fn users_start_by_their_index_without_adding_up_rounding() {
        assert_eq!([0, 1, 2, 3].map(|user| start_us(user, 2)), [0, 500_000, 1_000_000, 1_500_000]);
        // a third of a second cannot be written in microseconds, but three of them are one second
        assert_eq!(start_us(1, 3), 333_333);
        assert_eq!(start_us(9_999, 3), 3_333_000_000);
        assert_eq!(start_us(9_999, 10_000), 999_900);
    }

    #[test]
    fn threads_take_turns_with_users_and_so_do_shards() {
        let dealt = |shard: Option<Shard>, thread, threads| -> Vec<u32> {
            dealt_to(shard.unwrap().slice(thread, threads), 8).collect()
        };
        assert_eq!(dealt(Some(Shard::WHOLE), 1, 3), [1, 4, 7]);
        assert_eq!(dealt(Shard::new(1, 2), 0, 1), [1, 3, 5, 7]);
        assert_eq!(dealt(Shard::new(1, 2), 1, 2), [3, 7]);
    }

    #[test]
    fn a_wait_depends_on_seed_user_and_number_alone() {
        let wait = waits(0.5, 5.0);
        let in_order: Vec<_> = (0..50).map(|nth| wait.draw_us(7, 3, nth)).collect();
        let backwards: Vec<_> = (0..50).rev().map(|nth| wait.draw_us(7, 3, nth)).collect();
        assert!(in_order.iter().eq(backwards.iter().rev()));
        assert_ne!(wait.draw_us(7, 3, 0), wait.draw_us(7, 4, 0));
        assert_ne!(wait.draw_us(7, 3, 0), wait.draw_us(8, 3, 0));
        assert_ne!(wait.draw_us(7, 3, 0), wait.draw_us(7, 3, 1));
    }

    #[test]
    fn waits_fill_their_range_evenly() {
        let wait = waits(1.0, 3.0);
        let drawn: Vec<u64> =
            (0..2_000).map(|i| wait.draw_us(1, i % 40, u64::from(i / 40))).collect();
        assert!(drawn.iter().all(|us| (1_000_000..=3_000_000).contains(us)));
        let mean = drawn.iter().sum::<u64>() / 2_000;
        assert!((1_950_000..=2_050_000).contains(&mean), "{mean}");
    }

    #[test]
    fn no_wait_and_a_fixed_wait_are_what_they_say() {
        assert!(waits(0.0, 0.0).is_zero());
        assert_eq!(waits(0.0, 0.0).draw_us(1, 1, 1), 0);
        assert_eq!(waits(2.0, 2.0).draw_us(9, 1, 1), 2_000_000);
    }
}
