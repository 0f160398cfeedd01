//! The share of failed requests, as it is now: of those that ended last.

use std::collections::VecDeque;

/// Requests that ended last, over which the share is taken.
pub const LAST: usize = 100;
/// Requests that must have ended before it says anything: one failure of two is no 50 %.
pub const FEWEST: usize = 20;

/// How the requests that ended last have ended.
#[derive(Debug)]
pub struct ErrorWindow {
    most: f64,
    failed: VecDeque<bool>,
    failures: usize,
}

impl ErrorWindow {
    /// One that finds a share of failures above `most` too large.
    pub fn of(most: f64) -> Self {
        Self { most, failed: VecDeque::with_capacity(LAST), failures: 0 }
    }

    /// Takes a request that is over; the words, where the share is too large now.
    #[expect(clippy::cast_precision_loss, reason = "a hundred requests at most")]
    pub fn record(&mut self, failed: bool) -> Option<String> {
        if self.failed.len() == LAST {
            self.failures -= usize::from(self.failed.pop_front() == Some(true));
        }
        self.failed.push_back(failed);
        self.failures += usize::from(failed);
        let (failures, ended) = (self.failures, self.failed.len());
        let share = failures as f64 / ended as f64;
        (ended >= FEWEST && share > self.most).then(|| too_many(failures, ended, self.most))
    }
}

/// Says that `failures` of the last `ended` requests are more than `most`, a share.
#[expect(clippy::cast_precision_loss, reason = "counts of a run")]
fn too_many(failures: usize, ended: usize, most: f64) -> String {
    format!(
        "{failures} of the last {ended} requests failed ({:.1} %), above max_error_rate {} %",
        failures as f64 / ended as f64 * 100.0,
        most * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_too_many(most: f64, ends: impl IntoIterator<Item = bool>) -> Option<(usize, String)> {
        let mut window = ErrorWindow::of(most);
        ends.into_iter().enumerate().find_map(|(nth, failed)| Some((nth, window.record(failed)?)))
    }

    #[test]
    fn it_says_nothing_of_a_few_requests() {
        assert_eq!(first_too_many(0.0, [true; FEWEST - 1]), None);
        let (nth, words) = first_too_many(0.5, [true; FEWEST]).unwrap();
        assert_eq!(nth, FEWEST - 1);
        assert_eq!(words, "20 of the last 20 requests failed (100.0 %), above max_error_rate 50 %");
    }

    #[test]
    fn a_share_that_is_allowed_may_be_reached_and_not_passed() {
        let one_in = |n: usize| (0..1_000).map(move |nth| nth % n == n - 1);
        assert_eq!(first_too_many(0.25, one_in(4)), None);
        assert!(first_too_many(0.24, one_in(4)).is_some());
        assert_eq!(first_too_many(1.0, [true; 500]), None);
        assert_eq!(first_too_many(0.0, [false; 500]), None);
        let one_failure = (0..500).map(|nth| nth == 250);
        assert_eq!(first_too_many(0.0, one_failure).unwrap().0, 250);
    }

    #[test]
    fn what_ended_long_ago_no_longer_counts() {
        // a bad start, judged by the last hundred once it has passed
        let ends = (0..1_000).map(|nth| nth < 10 || (600..630).contains(&nth));
        let (nth, words) = first_too_many(0.5, ends).map_or((0, String::new()), |found| found);
        assert_eq!((nth, words.as_str()), (0, ""), "10 of 20 are half, and 30 of 100 are less");
        let ends = (0..1_000).map(|nth| nth < 10 || (600..700).contains(&nth));
        assert_eq!(first_too_many(0.5, ends).unwrap().0, 650);
    }
}
