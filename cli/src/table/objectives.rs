//! What was asked of the answers, how many kept it, and what was left out of the figures.

use shared::{
    Slo, SloMs,
    report::{Goodput, Report, Window},
};

use super::Facts;
use crate::figures::{count, decimal, measured, percent};

pub(super) fn objectives(facts: &mut Facts, report: &Report) {
    if let Some(told) = &report.goodput {
        facts.add("Goodput", goodput(told));
    }
    if let Some(told) = left_out(&report.window) {
        facts.add("Left out", told);
    }
}

fn goodput(goodput: &Goodput) -> String {
    let ratio = goodput.ratio.map(|ratio| format!("{} of ", percent(ratio))).unwrap_or_default();
    format!(
        "{} requests/s: {ratio}{} requests kept {}",
        measured(goodput.requests_per_s),
        count(goodput.scheduled),
        limits(&goodput.slo)
    )
}

/// `TTFT 450 ms, TPOT 40 ms (mlperf-llama2-70b-interactive)`.
fn limits(slo: &Slo) -> String {
    let limits = [
        ("TTFT", slo.ttft_ms),
        ("TPOT", slo.tpot_ms),
        ("every gap", slo.itl_ms),
        ("E2E", slo.e2e_ms),
    ];
    let limits: Vec<String> = limits
        .into_iter()
        .filter_map(|(name, limit): (_, Option<SloMs>)| Some(format!("{name} {} ms", limit?.get())))
        .collect();
    let preset = slo.preset.as_ref().map(|preset| format!(" ({preset})")).unwrap_or_default();
    format!("{}{preset}", limits.join(", "))
}

/// What rates are over.
pub(super) fn counted(window: &Window) -> String {
    match window.counted_s {
        Some(counted_s) => format!("counted {} s", decimal(counted_s, 1)),
        None => format!("all {} s", decimal(window.measured_s, 1)),
    }
}

fn left_out(window: &Window) -> Option<String> {
    let counted_s = window.counted_s?;
    let ends = [("first", window.left_out_warmup_s), ("last", window.left_out_cooldown_s)];
    let ends: Vec<String> = ends
        .into_iter()
        .filter(|(_, seconds)| *seconds > 0.0)
        .map(|(end, seconds)| format!("the {end} {} s", decimal(seconds, 0)))
        .collect();
    Some(format!("{} of sending; {} s count", ends.join(" and "), decimal(counted_s, 1)))
}
