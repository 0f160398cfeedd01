//! Which part of a load is whose: by the index of its users or requests alone, so that any number of
//! processes and threads send together just what one thread would, each request once.

/// One of several processes that make a load together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    of: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl Shard {
    /// All of a load.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Shard `index`, counted from 0, of `of`; none where there is no such shard.
    pub fn new(index: u32, of: u32) -> Option<Self> {
        (index < of).then_some(Self { index, of })
    }

    /// Which it is, from 0 on.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// What of `total` is its: the shares of all shards come to the total.
    pub fn share_of(self, total: u32) -> u32 {
        total / self.of + u32::from(self.index < total % self.of)
    }

    /// What load thread `thread` of its `threads` does of it.
    pub fn slice(self, thread: u32, threads: u32) -> Slice {
        Slice { shard: self, thread: thread.into(), threads: threads.max(1).into() }
    }
}

/// What one load thread does of a load.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    shard: Shard,
    thread: u64,
    threads: u64,
}

impl Slice {
    /// Whether the user or request of that index is its: shards take turns, and in each its threads,
    /// so that all of them have their share at every moment of a ramp.
    pub fn holds(self, nth: u64) -> bool {
        let (index, of) = (u64::from(self.shard.index), u64::from(self.shard.of));
        nth % of == index && nth / of % self.threads == self.thread
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shards(of: u32) -> impl Iterator<Item = Shard> {
        (0..of).map(move |index| Shard::new(index, of).unwrap())
    }

    #[test]
    fn there_are_no_more_shards_than_there_are() {
        assert_eq!((Shard::new(0, 0), Shard::new(2, 2)), (None, None));
        assert_eq!(Shard::new(0, 1), Some(Shard::WHOLE));
    }

    proptest! {
        #[test]
        fn every_index_is_dealt_to_exactly_one_thread_of_one_shard(
            threads in prop::collection::vec(1..5_u32, 1..65),
            far in 0..640_000_u64 * 3_600,
        ) {
            let of = u32::try_from(threads.len()).unwrap();
            for nth in (0..200).chain(far..far + 50) {
                let holders: usize = shards(of)
                    .zip(&threads)
                    .map(|(shard, threads)| {
                        let slices = (0..*threads).map(|thread| shard.slice(thread, *threads));
                        slices.filter(|slice| slice.holds(nth)).count()
                    })
                    .sum();
                prop_assert_eq!(holders, 1, "{}", nth);
            }
        }

        #[test]
        fn shares_come_to_the_total_and_differ_by_one_at_most(total in 0..=640_000_u32, of in 1..65_u32) {
            let shares: Vec<u32> = shards(of).map(|shard| shard.share_of(total)).collect();
            prop_assert_eq!(shares.iter().sum::<u32>(), total);
            prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }

        #[test]
        fn a_shard_has_as_many_users_as_its_share(total in 0..2_000_u32, of in 1..65_u32) {
            for shard in shards(of) {
                let slice = shard.slice(0, 1);
                let held = (0..total).filter(|user| slice.holds((*user).into())).count();
                prop_assert_eq!(held, shard.share_of(total) as usize);
            }
        }
    }
}
