//! Each of several servers, so that a bad one is seen.

use shared::report::{Report, TargetFigures};

use super::Facts;
use crate::figures::{count, measured, percent};

pub(super) fn targets(facts: &mut Facts, report: &Report) {
    for (nth, figures) in report.targets.iter().enumerate() {
        let name = if nth == 0 { "Servers" } else { "" };
        facts.add(name, words(figures));
    }
}

/// `http://b.example: 30 completed, 2 failed (6.2 %: 2 connect), TTFT p50 12.1, p99 20.3 ms`.
fn words(figures: &TargetFigures) -> String {
    let failed = match figures.error_rate.filter(|_| figures.failed > 0) {
        None => count(figures.failed) + " failed",
        Some(rate) => {
            let classes: Vec<String> = figures
                .failures
                .iter()
                .map(|failure| format!("{} {}", count(failure.count), failure.class))
                .collect();
            let (failed, rate) = (count(figures.failed), percent(rate));
            format!("{failed} failed ({rate}: {})", classes.join(", "))
        }
    };
    let latency = [("TTFT", &figures.ttft_ms), ("E2E", &figures.e2e_ms)];
    let latency = latency.into_iter().find_map(|(name, d)| Some((name, d.as_ref()?)));
    let latency = latency
        .map(|(name, d)| format!(", {name} p50 {}, p99 {} ms", measured(d.p50), measured(d.p99)));
    let completed = count(figures.completed);
    format!("{}: {completed} completed, {failed}{}", figures.url, latency.unwrap_or_default())
}
