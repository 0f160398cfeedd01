//! Whether the target still keeps up with the load.
//!
//! Judged about once a second by what happened in a window that ends now: at least so many seconds
//! long, and long enough to hold so many requests. What it takes is in docs/metrics.md.

use crate::sample::Micros;

/// Length of the window, at least.
pub const WINDOW_US: Micros = 5_000_000;
/// Length of the window in which the queue must have grown, at least.
pub const QUEUE_WINDOW_US: Micros = 10_000_000;
/// Requests in the window, at least.
pub const FEWEST: u64 = 20;
/// The largest share of requests that may be dropped, or be refused with 429 or 503; and by which
/// the queue may grow.
pub const MOST_SHARE: f64 = 0.1;
/// The smallest share of requests that must be good, where objectives say what that is.
pub const FEWEST_GOOD: f64 = 0.5;

/// A run's counts since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were sent.
    pub started: u64,
    /// Requests that were due and found no room.
    pub dropped: u64,
    /// Requests that are open and have no token yet.
    pub waiting: u64,
    /// Requests that have had a token, or are over without one.
    pub begun: u64,
    /// Requests that ended, well or not.
    pub ended: u64,
    /// Of them, those refused with 429 or 503.
    pub refused: u64,
    /// Of them, those held against the objectives.
    pub judged: u64,
    /// Of those, the good ones.
    pub good: u64,
}

/// A run's counts over time.
#[derive(Debug)]
pub struct Overload {
    open_loop: bool,
    /// When judging begins.
    from_us: Micros,
    looks: Vec<(Micros, Counts)>,
}

impl Overload {
    /// For a run whose first `warmup_s` seconds are left out.
    ///
    /// - `open_loop`: whether requests are due whatever becomes of the answers.
    pub fn of(open_loop: bool, warmup_s: u32) -> Self {
        Self { open_loop, from_us: Micros::from(warmup_s) * 1_000_000, looks: Vec::new() }
    }

    /// Takes the counts at `at_us`; the words, where the target no longer keeps up.
    pub fn look(&mut self, at_us: Micros, now: Counts) -> Option<String> {
        if self.looks.is_empty() {
            if at_us < self.from_us {
                return None;
            }
            if self.from_us == 0 {
                self.looks.push((0, Counts::default()));
            }
        }
        let found = self.rejected(at_us, &now).or_else(|| self.bad(at_us, &now));
        let found = found.or_else(|| self.queue(at_us, &now).filter(|_| self.open_loop));
        self.looks.push((at_us, now));
        found
    }

    /// Counts at the latest look that is at least `length_us` ago, and since which `counted` has
    /// grown by enough to say something.
    fn before(
        &self,
        at_us: Micros,
        length_us: Micros,
        now: &Counts,
        counted: impl Fn(&Counts) -> u64,
    ) -> Option<(f64, Counts)> {
        let enough = |then: &Counts| counted(now).saturating_sub(counted(then)) >= FEWEST;
        let (then_us, then) = *self
            .looks
            .iter()
            .rev()
            .find(|(then_us, then)| then_us + length_us <= at_us && enough(then))?;
        Some((seconds(at_us - then_us), then))
    }

    /// Requests that found no room, or no mercy.
    fn rejected(&self, at_us: Micros, now: &Counts) -> Option<String> {
        let due = |counts: &Counts| counts.started + counts.dropped;
        if let Some((window_s, then)) = self.before(at_us, WINDOW_US, now, due) {
            let (dropped, due) = (now.dropped - then.dropped, due(now) - due(&then));
            if share(dropped, due) > MOST_SHARE {
                return Some(format!(
                    "{dropped} of the {due} requests due in the last {window_s:.0} s found no room, above {:.0} %",
                    MOST_SHARE * 100.0
                ));
            }
        }
        let (window_s, then) = self.before(at_us, WINDOW_US, now, |counts| counts.ended)?;
        let (refused, ended) = (now.refused - then.refused, now.ended - then.ended);
        (share(refused, ended) > MOST_SHARE).then(|| {
            format!(
                "{refused} of the {ended} requests that ended in the last {window_s:.0} s were refused with 429 or 503, above {:.0} %",
                MOST_SHARE * 100.0
            )
        })
    }

    /// Answers that miss their objectives.
    fn bad(&self, at_us: Micros, now: &Counts) -> Option<String> {
        let (window_s, then) = self.before(at_us, WINDOW_US, now, |counts| counts.judged)?;
        let (good, judged) = (now.good - then.good, now.judged - then.judged);
        (share(good, judged) < FEWEST_GOOD).then(|| {
            format!(
                "{good} of the {judged} requests that ended in the last {window_s:.0} s met the objectives, below {:.0} %",
                FEWEST_GOOD * 100.0
            )
        })
    }

    /// A queue for the first token, so long that who joins it waits for the length of the window,
    /// and still growing.
    fn queue(&self, at_us: Micros, now: &Counts) -> Option<String> {
        let started = |counts: &Counts| counts.started;
        let (window_s, then) = self.before(at_us, QUEUE_WINDOW_US, now, started)?;
        let sent = now.started - then.started;
        let grown = now.waiting.saturating_sub(then.waiting);
        let is_long = now.waiting >= sent.max(FEWEST);
        (then.begun > 0 && is_long && share(grown, sent) > MOST_SHARE).then(|| {
            format!(
                "{} requests waited for their first token, as many as were sent in {window_s:.0} s, and {grown} more than {window_s:.0} s before",
                now.waiting
            )
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[expect(clippy::cast_precision_loss, reason = "a run has a few thousand seconds")]
fn seconds(us: Micros) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests;
