//! Chance that seed, user and number decide, and nothing else: not threads, nor what was drawn
//! before.

/// What a draw is for: draws for one thing say nothing of those for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Which of a list, which length.
    Choice,
    /// The text of one request alone.
    Text,
    /// The text of a beginning that requests share.
    Prefix,
    /// The text of a block of a trace.
    Block,
}

/// Draws, one after another.
#[derive(Clone, Debug)]
pub(super) struct Draws(u64);

impl Draws {
    /// Those of user `user`'s request `nth`.
    pub(super) fn of_request(purpose: Purpose, seed: u64, user: u32, nth: u64) -> Self {
        Self::of(purpose, tag(seed, user, nth))
    }

    /// Those of the thing `number` that all users have in common.
    pub(super) fn of_thing(purpose: Purpose, seed: u64, number: u64) -> Self {
        Self::of(purpose, mixed(mixed(seed) ^ mixed(number)))
    }

    fn of(purpose: Purpose, key: u64) -> Self {
        Self(mixed(key ^ mixed(purpose as u64)))
    }

    /// 64 bits. Source: splitmix64 (Steele, Lea and Flood, 2014).
    pub(super) fn bits(&mut self) -> u64 {
        let drawn = mixed(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        drawn
    }

    /// Evenly from 0 to `n` - 1; 0 where `n` is 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// Evenly from (0, 1].
    #[expect(clippy::cast_precision_loss, reason = "53 bits are an exact float")]
    pub(super) fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// From the normal distribution of mean 0 and standard deviation 1 (Box and Muller, 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

/// Distinct for distinct `(user, nth)` of one seed (as long as `nth` stays below 2^40): each step
/// is a bijection.
pub(super) fn tag(seed: u64, user: u32, nth: u64) -> u64 {
    mixed(mixed(seed) ^ ((u64::from(user) << 40) | (nth & ((1 << 40) - 1))))
}

/// A bijection that spreads every bit over all. Source: splitmix64's finalizer (Steele, Lea and
/// Flood, 2014; constants by Stafford, variant 13).
pub(super) fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
