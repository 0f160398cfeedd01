//! A run as it goes: a bar on a terminal, a line now and then anywhere else. Always on stderr,
//! so that stdout holds the result and nothing else.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use shared::{Phase, Progress};

use crate::figures::{count, decimal};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_millis(1_900);

/// Shows one run.
#[derive(Debug)]
pub(crate) struct Watch {
    duration_s: u32,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines { last: Option<(Phase, Instant)> },
}

impl Watch {
    /// Of a run that sends requests for `duration_s` seconds.
    pub(crate) fn new(duration_s: u32) -> Self {
        let shown = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(u64::from(duration_s) * 10);
            let style = ProgressStyle::with_template("{spinner} {msg}\n  {wide_bar}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(120));
            Shown::Bar(bar)
        } else {
            Shown::Lines { last: None }
        };
        Self { duration_s, shown }
    }

    /// Shows where the run is now.
    pub(crate) fn show(&mut self, progress: &Progress) {
        let line = line(progress, self.duration_s);
        match &mut self.shown {
            Shown::Bar(bar) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "seconds of a run, 0 to a few thousand"
                )]
                let tenths = (progress.elapsed_s.max(0.0) * 10.0) as u64;
                bar.set_position(tenths.min(u64::from(self.duration_s) * 10));
                bar.set_message(line);
            }
            Shown::Lines { last } => {
                let due = last.is_none_or(|(phase, shown)| {
                    phase != progress.phase || shown.elapsed() >= LINE_EVERY
                });
                if due {
                    eprintln!("{line}");
                    *last = Some((progress.phase, Instant::now()));
                }
            }
        }
    }

    /// Says something once.
    pub(crate) fn say(&self, words: &str) {
        match &self.shown {
            Shown::Bar(bar) => bar.println(words),
            Shown::Lines { .. } => eprintln!("{words}"),
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(self) {
        if let Shown::Bar(bar) = self.shown {
            bar.finish_and_clear();
        }
    }
}

fn line(progress: &Progress, duration_s: u32) -> String {
    let phase = match progress.phase {
        Phase::Queued => return "waiting for a runner".to_owned(),
        Phase::Preparing => return "preparing: prompts, tokenizer, a first request".to_owned(),
        Phase::Gathering => return "waiting for the other runners".to_owned(),
        Phase::Finalizing | Phase::Ended => "computing",
        Phase::Warmup => "starting users",
        Phase::Measuring => "measuring",
        Phase::Draining => "waiting for the last answers",
    };
    format!(
        "{phase}: {} of {duration_s} s, {} done, {} failed, {} open, {} tokens",
        decimal(progress.elapsed_s, 1),
        count(progress.requests - progress.errors.min(progress.requests)),
        count(progress.errors),
        count(progress.in_flight),
        count(progress.output_tokens),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_80_columns_and_counts_failures_once() {
        let progress = Progress {
            phase: Phase::Measuring,
            elapsed_s: 5.24,
            requests: 1_234,
            errors: 34,
            in_flight: 100,
            output_tokens: 123_456,
        };
        let line = line(&progress, 60);
        assert_eq!(line, "measuring: 5.2 of 60 s, 1,200 done, 34 failed, 100 open, 123,456 tokens");
        assert!(line.len() < 78);
    }
}
