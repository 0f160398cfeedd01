//! How a benchmark waits: before what, from when on, for how long, for which runners.
//!
//! It stands beside a spec and not in it: it decides nothing of what a run does, so two
//! benchmarks that differ in it alone measure the same.

use crate::{FieldError, Labels, Timestamp};

bounded! {
    /// Which benchmarks go first: those of the highest.
    Priority(i32) in -10..=10, "priority"
}

bounded! {
    /// Seconds that a benchmark may wait for a runner once it is due, up to 30 days.
    QueueTimeoutS(u32) in 1..=2_592_000, "queue_timeout"
}

impl Default for Priority {
    fn default() -> Self {
        Self::try_from(0).expect("zero is within the limits")
    }
}

/// How a benchmark waits in the queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waiting {
    /// Which go first.
    pub priority: Priority,
    /// Not to begin before; none: at once.
    pub run_at: Option<Timestamp>,
    /// How long it may wait from then on; none: for ever.
    pub queue_timeout_s: Option<QueueTimeoutS>,
    /// Labels that its runner must have; empty: any runner will do.
    pub labels: Labels,
}

impl Waiting {
    /// Days that [`Self::run_at`] may lie ahead.
    pub const MAX_DAYS_AHEAD: i64 = 30;

    /// When it is due, as of `now`: a time that has passed is now.
    ///
    /// # Errors
    ///
    /// A time that is too far ahead.
    pub fn due_at(&self, now: Timestamp) -> Result<Timestamp, FieldError> {
        let run_at = self.run_at.unwrap_or(now).max(now);
        let latest = now.unix_ms() + Self::MAX_DAYS_AHEAD * 86_400_000;
        if run_at.unix_ms() <= latest {
            return Ok(run_at);
        }
        let (days, latest) = (Self::MAX_DAYS_AHEAD, Timestamp::from_unix_ms(latest));
        let detail = format!("run_at must be at most {days} days ahead, {latest}, not {run_at}");
        Err(FieldError::new("run_at", detail))
    }

    /// Until when it may wait for a runner where it is due at `due_at`.
    pub fn deadline(&self, due_at: Timestamp) -> Option<Timestamp> {
        let seconds = i64::from(self.queue_timeout_s?.get());
        Some(Timestamp::from_unix_ms(due_at.unix_ms() + seconds * 1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_790_000_000_000);

    fn at(unix_ms: i64) -> Waiting {
        Waiting { run_at: Some(Timestamp::from_unix_ms(unix_ms)), ..Waiting::default() }
    }

    #[test]
    fn a_benchmark_is_due_now_or_when_it_says_but_not_in_the_past() {
        assert_eq!(Waiting::default().due_at(NOW), Ok(NOW));
        assert_eq!(at(NOW.unix_ms() - 1).due_at(NOW), Ok(NOW));
        let later = NOW.unix_ms() + 5_000;
        assert_eq!(at(later).due_at(NOW), Ok(Timestamp::from_unix_ms(later)));
    }

    #[test]
    fn thirty_days_ahead_is_the_latest() {
        let latest = NOW.unix_ms() + 30 * 86_400_000;
        assert!(at(latest).due_at(NOW).is_ok());
        assert_eq!(
            at(latest + 1).due_at(NOW).unwrap_err().detail,
            "run_at must be at most 30 days ahead, 2026-10-21T14:13:20.000Z, \
             not 2026-10-21T14:13:20.001Z"
        );
    }

    #[test]
    fn the_deadline_counts_from_when_it_is_due() {
        assert_eq!(Waiting::default().deadline(NOW), None);
        let ten = QueueTimeoutS::try_from(10).ok();
        let waiting = Waiting { queue_timeout_s: ten, ..Waiting::default() };
        let deadline = Timestamp::from_unix_ms(NOW.unix_ms() + 10_000);
        assert_eq!(waiting.deadline(NOW), Some(deadline));
    }
}
