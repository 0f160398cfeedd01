//! What one runner's part of a load may be: a load is as large as the runners that share it.

use super::{Load, Staged, StagesOf};

/// Most users, requests open at once, and requests a second that one runner makes.
pub const MOST_OF_A_RUNNER: u32 = 10_000;

/// A load of which one runner's part would be too large.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} must be at most {MOST_OF_A_RUNNER} for each runner, not {given} for {runners}")]
pub struct TooLargePart {
    /// The request field that says so much.
    pub field: &'static str,
    /// Users, requests open at once, or requests a second.
    pub given: f64,
    /// Who were to share it.
    pub runners: u32,
    /// How many it takes.
    pub takes: u32,
}

impl Load {
    /// The fewest runners that have room for what may be open at once.
    pub fn least_runners(&self) -> u32 {
        self.peak_users().get().div_ceil(MOST_OF_A_RUNNER)
    }

    /// Whether `runners` that share it evenly have parts that they can make.
    ///
    /// # Errors
    ///
    /// What is too much for one of them.
    pub fn is_shared_by(&self, runners: u32) -> Result<(), TooLargePart> {
        for (field, given) in self.amounts().into_iter().flatten() {
            let takes = least_for(given);
            if takes > runners {
                return Err(TooLargePart { field, given, runners, takes });
            }
        }
        Ok(())
    }

    /// Requests a second, and users or requests open at once, each with its field.
    fn amounts(&self) -> [Option<(&'static str, f64)>; 2] {
        let open = f64::from(self.peak_users().get());
        match self {
            Self::ClosedLoop(_) => [None, Some(("user", open))],
            Self::Staged(Staged { of: StagesOf::Users, .. }) => [None, Some(("stages", open))],
            Self::Staged(load) => {
                [Some(("stages", load.stages.peak())), Some(("max_concurrency", open))]
            }
            Self::Constant(load) => {
                [Some(("rate", load.rate.get())), Some(("max_concurrency", open))]
            }
            Self::Poisson(load) => {
                [Some(("rate", load.rate.get())), Some(("max_concurrency", open))]
            }
            Self::Gamma(load) => [Some(("rate", load.rate.get())), Some(("max_concurrency", open))],
            Self::AllAtOnce(_) | Self::Trace(_) => [None, Some(("max_concurrency", open))],
        }
    }
}

/// The fewest runners of whom none makes more than it may of `amount`; at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates, and none is negative"
)]
pub(super) fn least_for(amount: f64) -> u32 {
    Ord::max((amount / f64::from(MOST_OF_A_RUNNER)).ceil() as u32, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Runners, Users};

    #[test]
    fn the_largest_load_is_that_of_all_runners() {
        assert_eq!(Users::MAX, Runners::MAX * MOST_OF_A_RUNNER);
    }

    #[test]
    fn the_largest_share_of_the_fewest_is_within_its_limit() {
        for users in Users::MIN..=Users::MAX {
            let takes = least_for(users.into());
            assert!(takes <= Runners::MAX && users.div_ceil(takes) <= MOST_OF_A_RUNNER, "{users}");
            assert!(takes == 1 || users.div_ceil(takes - 1) > MOST_OF_A_RUNNER, "{users}");
        }
    }
}
