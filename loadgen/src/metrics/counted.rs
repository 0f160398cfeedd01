//! Which requests and which instants count: all, but for the margins that were asked to be left
//! out.

use serde::{Deserialize, Serialize};
use shared::{BenchmarkSpec, Margins};

use super::window::Steady;
use crate::sample::{Micros, Sample};

/// A stretch of the run, in whole seconds from the first user's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    margins: Margins,
    /// Where the cool-down begins; none: there is none, and it all counts to the very end.
    to_s: Option<u32>,
}

impl Counted {
    /// What `spec` leaves.
    pub fn of(spec: &BenchmarkSpec) -> Self {
        Self::between(spec.margins, spec.load.duration().get())
    }

    fn between(margins: Margins, duration_s: u32) -> Self {
        let cooldown_s = margins.cooldown_s.get();
        let to_s = (cooldown_s > 0).then(|| duration_s.saturating_sub(cooldown_s));
        Self { margins, to_s }
    }

    fn warmup_s(self) -> u32 {
        self.margins.warmup_s.get()
    }

    /// Whether `sample` counts: by when it was sent, or taken up where it was never sent.
    pub(super) fn holds(self, sample: &Sample) -> bool {
        let at_us = sample.sent_us.unwrap_or(sample.picked_up_us);
        at_us >= micros(self.warmup_s()) && self.to_s.is_none_or(|to_s| at_us < micros(to_s))
    }

    /// The seconds that count; none: all of them.
    pub(super) fn seconds(self) -> Option<Steady> {
        let all = self.warmup_s() == 0 && self.to_s.is_none();
        (!all).then(|| Steady { from_s: self.warmup_s(), to_s: self.to_s.unwrap_or(u32::MAX) })
    }

    /// How much of a run that has lasted `measured_us` counts.
    pub(super) fn length_us(self, measured_us: Micros) -> Micros {
        let end_us = self.to_s.map_or(measured_us, |to_s| micros(to_s).min(measured_us));
        end_us.saturating_sub(micros(self.warmup_s()))
    }

    /// What of `steady` counts.
    pub(super) fn cut(self, steady: Steady) -> Option<Steady> {
        let from_s = steady.from_s.max(self.warmup_s());
        let to_s = self.to_s.map_or(steady.to_s, |to_s| to_s.min(steady.to_s));
        (from_s < to_s).then_some(Steady { from_s, to_s })
    }

    /// Seconds left out at the beginning and at the end of the sending time.
    pub(super) fn left_out_s(self) -> (u32, u32) {
        (self.margins.warmup_s.get(), self.margins.cooldown_s.get())
    }
}

fn micros(seconds: u32) -> Micros {
    u64::from(seconds) * 1_000_000
}

#[cfg(test)]
pub(super) fn leaving_out(warmup_s: u32, cooldown_s: u32, duration_s: u32) -> Counted {
    let margin = |seconds: u32| seconds.try_into().expect("a margin within its limits");
    let margins = Margins { warmup_s: margin(warmup_s), cooldown_s: margin(cooldown_s) };
    Counted::between(margins, duration_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::samples::{ms, overloaded, sample};

    #[test]
    fn a_request_counts_by_when_it_was_sent() {
        let counted = leaving_out(2, 3, 10);
        let holds = |sent_ms| counted.holds(&sample(sent_ms, &[sent_ms + 5_000]));
        assert_eq!(
            [0, 1_999, 2_000, 6_999, 7_000, 9_999].map(holds),
            [false, false, true, true, false, false]
        );
        let mut unsent = sample(0, &[]).failed(overloaded());
        (unsent.sent_us, unsent.picked_up_us) = (None, ms(2_000));
        assert!(counted.holds(&unsent));
    }

    #[test]
    fn without_margins_everything_counts_to_the_very_end() {
        let counted = leaving_out(0, 0, 10);
        assert_eq!(counted, Counted::default());
        assert_eq!((counted.seconds(), counted.length_us(ms(12_345))), (None, ms(12_345)));
        assert!(counted.holds(&sample(0, &[1])) && counted.holds(&sample(11_000, &[11_001])));
    }

    #[test]
    fn what_counts_ends_where_the_cool_down_begins_or_where_the_run_stands() {
        assert_eq!(leaving_out(2, 3, 10).length_us(ms(30_000)), ms(5_000));
        assert_eq!(leaving_out(2, 3, 10).length_us(ms(4_500)), ms(2_500));
        assert_eq!(leaving_out(2, 3, 10).length_us(ms(1_000)), 0);
        // without a cool-down, what comes after the sending time counts too
        assert_eq!(leaving_out(2, 0, 10).length_us(ms(12_000)), ms(10_000));
    }

    #[test]
    fn of_a_steady_window_only_what_counts_is_left() {
        let cut = |from_s, to_s| leaving_out(2, 3, 10).cut(Steady { from_s, to_s });
        assert_eq!(cut(0, 10), Some(Steady { from_s: 2, to_s: 7 }));
        assert_eq!(cut(3, 5), Some(Steady { from_s: 3, to_s: 5 }));
        assert_eq!(cut(7, 9), None);
    }
}
