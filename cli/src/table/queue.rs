//! The queue, one target a line.

use shared::{QueueState, State};

use super::{Facts, of_texts};
use crate::figures::{count, span};

/// How the queue stands.
pub(crate) fn queue(state: &QueueState) -> String {
    let mut facts = Facts::new();
    facts.add("Queue", if state.paused { "paused: nothing is begun" } else { "open" });
    facts.add("Waiting", waiting(state));
    let [running, cancelling] = [State::Running, State::Cancelling].map(|of| state.count(of));
    let stopping = match cancelling {
        0 => String::new(),
        some => format!(", {} of them stopping", count(some)),
    };
    facts.add("Active", format!("{}{stopping}", count(running + cancelling)));
    let free = match (state.runners, state.free_runners) {
        (0, _) => "none that takes work".to_owned(),
        (runners, free) => format!("{}, {} free", count(runners), count(free)),
    };
    facts.add("Runners", free);
    for (nth, of) in state.unplaced.iter().enumerate() {
        let name = if nth == 0 { "Unplaced" } else { "" };
        facts.add(name, format!("{} for {}, which no runner has", count(of.queued), of.labels));
    }
    if state.too_large > 0 {
        let name = if state.unplaced.is_empty() { "Unplaced" } else { "" };
        let larger = count(state.too_large);
        facts.add(name, format!("{larger} with more users than any runner takes"));
    }
    if state.targets.is_empty() {
        return facts.written();
    }
    let mut table = of_texts(["target", "state", "queued", "active"], 2);
    for of in &state.targets {
        let word = if of.paused { "paused" } else { "open" };
        table.add_row([of.target.clone(), word.to_owned(), count(of.queued), count(of.active)]);
    }
    format!("{}\n{table}", facts.written())
}

/// `3: 2 are due, the oldest since 1 min 30 s; 1 is for later`.
fn waiting(state: &QueueState) -> String {
    let queued = state.count(State::Queued);
    let later = queued.saturating_sub(state.due);
    let due = match (state.due, state.oldest_due_s) {
        (0, _) => None,
        (due, None) => Some(format!("{} due", count(due))),
        (due, Some(oldest_s)) => {
            Some(format!("{} due, the oldest for {}", count(due), span(oldest_s)))
        }
    };
    let later = (later > 0).then(|| format!("{} for later", count(later)));
    let parts: Vec<String> = due.into_iter().chain(later).collect();
    match parts.as_slice() {
        [] => count(queued),
        parts => format!("{}: {}", count(queued), parts.join("; ")),
    }
}
