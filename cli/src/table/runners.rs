//! Runners, one a line.

use comfy_table::ColumnConstraint;
use shared::{Runner, RunnerState};

use super::of_texts;
use crate::figures::count;

/// Every runner, with its labels below its name.
pub(crate) fn runners(runners: &[Runner]) -> String {
    let mut table = of_texts(["id", "name", "state", "runs", "users", "events/s"], 4);
    // It is there to be copied.
    if let Some(ids) = table.column_mut(0) {
        ids.set_constraint(ColumnConstraint::ContentWidth);
    }
    for runner in runners {
        let labels = runner.labels.to_string();
        let labels = labels.split(',').filter(|label| !label.is_empty());
        let named = format!("{} ({})", runner.name, runner.version);
        let named: Vec<&str> = [named.as_str()].into_iter().chain(labels).collect();
        table.add_row([
            runner.id.to_string(),
            named.join("\n"),
            state_of(runner).to_owned(),
            runner.benchmark.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            count(u64::from(runner.max_users)),
            runner.measured.map_or_else(|| "-".to_owned(), |of| count(u64::from(of.events_per_s))),
        ]);
    }
    table.to_string()
}

/// Whether it takes work, in a word.
pub(crate) fn state_of(runner: &Runner) -> &'static str {
    match runner.state {
        RunnerState::Active => "active",
        RunnerState::Draining => "draining",
        RunnerState::Gone => "gone",
    }
}
