//! Telling the database how a run or a shard ended, until it has heard.

use std::{fmt::Display, time::Duration};

use daemon::causes;
use shared::BenchmarkId;
use store::StoreError;
use tokio::time::{Instant, sleep};

use crate::{lease, measures};

/// How long an end is tried to be told.
const MOST_TELLING: Duration = Duration::from_mins(2);
/// Between two tries.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Whether the database has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard<T> {
    /// It has, and said this.
    Yes(T),
    /// It is of no use any more: the run is over, or was lost.
    TooLate,
    /// It was out of reach for too long.
    No,
}

/// Has `tell` tell the database of the end of `what`, which is or is part of the benchmark `id`,
/// and tries again as long as the database is out of reach.
pub(crate) async fn heard<T, Telling>(
    id: BenchmarkId,
    what: impl Display,
    tell: impl Fn() -> Telling,
) -> Heard<T>
where
    Telling: Future<Output = Result<T, StoreError>>,
{
    let give_up_at = Instant::now() + MOST_TELLING;
    loop {
        match tell().await {
            Ok(said) => return Heard::Yes(said),
            Err(lost @ StoreError::Lost(_)) => {
                measures::failed(&lost);
                lease::log_lost(id);
                return Heard::TooLate;
            }
            Err(error) if Instant::now() < give_up_at => {
                tracing::warn!(benchmark = %what, error = %causes(&error), "cannot tell the end; trying again");
                sleep(TELL_AGAIN_AFTER).await;
            }
            Err(error) => {
                tracing::error!(benchmark = %what, error = %causes(&error), "the end could not be told");
                return Heard::No;
            }
        }
    }
}
