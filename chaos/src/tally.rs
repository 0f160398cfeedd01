//! What an experiment came to.

use std::{collections::BTreeMap, time::Instant};

/// Figures and faults of one experiment.
pub(crate) struct Tally {
    pub(crate) name: &'static str,
    pub(crate) what: String,
    pub(crate) seed: u64,
    pub(crate) cycles: u64,
    pub(crate) benchmarks: u64,
    pub(crate) violations: Vec<String>,
    began: Instant,
    milliseconds: BTreeMap<&'static str, Vec<f64>>,
    counts: BTreeMap<String, u64>,
    /// One of each cycle.
    figures: BTreeMap<&'static str, Vec<f64>>,
}

impl Tally {
    pub(crate) fn new(name: &'static str, what: String, seed: u64) -> Self {
        Self {
            name,
            what,
            seed,
            cycles: 0,
            benchmarks: 0,
            violations: Vec::new(),
            began: Instant::now(),
            milliseconds: BTreeMap::new(),
            counts: BTreeMap::new(),
            figures: BTreeMap::new(),
        }
    }

    pub(crate) fn took(&mut self, what: &'static str, ms: f64) {
        self.milliseconds.entry(what).or_default().push(ms);
    }

    pub(crate) fn figure(&mut self, what: &'static str, value: f64) {
        self.figures.entry(what).or_default().push(value);
    }

    pub(crate) fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    /// A promise that was broken; said at once, with what it takes to see it again.
    pub(crate) fn violation(&mut self, told: &str) {
        let (name, seed, cycle) = (self.name, self.seed, self.cycles);
        println!("VIOLATION {name} seed {seed} cycle {cycle}: {told}");
        println!("  again: scripts/chaos --seed {seed} --only {name} --from {cycle} --cycles 1");
        self.violations.push(format!("cycle {cycle}: {told}"));
    }

    fn figures(&self) -> String {
        let mut parts = Vec::new();
        for (what, times) in &self.milliseconds {
            let mut times = times.clone();
            times.sort_by(f64::total_cmp);
            let at = |share: f64| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a rank of a few thousand values"
                )]
                let rank = (share * times.len() as f64).ceil() as usize;
                times[rank.clamp(1, times.len()) - 1]
            };
            let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
            parts.push(format!(
                "{what} p50 {p50:.0} p99 {p99:.0} max {max:.0} ms (n {})",
                times.len()
            ));
        }
        parts.extend(self.figures.iter().map(|(what, values)| {
            let values: Vec<_> = values.iter().map(|value| format!("{value:.1}")).collect();
            format!("{what} {}", values.join(", "))
        }));
        parts.extend(self.counts.iter().map(|(what, times)| format!("{what} {times}")));
        parts.join("; ")
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "{:<4} {}: {} cycles, {} benchmarks, {} violations; {}; {:.1} s",
            self.name,
            self.what,
            self.cycles,
            self.benchmarks,
            self.violations.len(),
            self.figures(),
            self.began.elapsed().as_secs_f64()
        )
    }

    /// A row of the table in docs/durability.md.
    pub(crate) fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            self.name,
            self.what,
            self.seed,
            self.cycles,
            self.benchmarks,
            self.violations.len(),
            self.figures()
        )
    }
}
