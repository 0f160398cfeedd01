//! The database's clock beside this machine's: by it, runners on several machines begin at one
//! instant.

use std::time::{Duration, Instant};

use daemon::causes;
use store::{Store, StoreError};

/// How often it is read: the quickest answer tells most.
const READINGS: u32 = 8;
/// How far off it a runner may be that begins together with others.
const MOST_ERROR: Duration = Duration::from_millis(50);
/// Between two tries.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// What is not known even of an answer without delay: SQLite tells milliseconds.
const RESOLUTION: Duration = Duration::from_micros(500);

/// What the database's clock showed at an instant of this machine's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    at: Instant,
    /// Unix microseconds.
    showed_us: i64,
    /// By how much either may be off the other.
    pub(crate) error: Duration,
}

impl Clock {
    pub(crate) async fn read(store: &Store) -> Result<Self, StoreError> {
        let mut best = Self::read_once(store).await?;
        for _ in 1..READINGS {
            let next = Self::read_once(store).await?;
            if next.error < best.error {
                best = next;
            }
        }
        Ok(best)
    }

    /// The same, once it is known well enough to begin together with others.
    pub(crate) async fn certain(store: &Store) -> Self {
        loop {
            match Self::read(store).await {
                Ok(clock) if clock.error <= MOST_ERROR => return clock,
                Ok(clock) => {
                    tracing::warn!(error = ?clock.error, most = ?MOST_ERROR, "the database's clock is too far away");
                }
                Err(error) => {
                    tracing::warn!(error = %causes(&error), "cannot read the database's clock");
                }
            }
            tokio::time::sleep(READ_AGAIN_AFTER).await;
        }
    }

    async fn read_once(store: &Store) -> Result<Self, StoreError> {
        let asked_at = Instant::now();
        let showed_us = store.clock_us().await?;
        let half = asked_at.elapsed() / 2;
        Ok(Self { at: asked_at + half, showed_us, error: half + RESOLUTION })
    }

    /// When it will show `us`; none where that has been, or does not come.
    pub(crate) fn ahead(&self, us: i64) -> Option<Instant> {
        let after = Duration::from_micros(u64::try_from(us - self.showed_us).ok()?);
        self.at.checked_add(after).filter(|at| *at > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_is_not_ahead() {
        let clock =
            Clock { at: Instant::now(), showed_us: 1_000_000, error: Duration::from_millis(1) };
        let in_a_minute = clock.ahead(61_000_000).unwrap();
        assert_eq!(in_a_minute - clock.at, Duration::from_mins(1));
        assert_eq!((clock.ahead(1_000_000), clock.ahead(0)), (None, None));
    }
}
