//! What the target said of itself, brought onto the run's time axis.

use shared::{
    SecondRow,
    report::{Gauge, TargetMetrics},
};
use target::scrape::Gauges;

use crate::sample::Micros;

/// Readings of a target's own figures, in the order in which they were taken.
#[derive(Clone, Debug)]
pub struct TargetSide {
    server: String,
    readings: Vec<(Micros, Gauges)>,
    missed: u64,
}

impl TargetSide {
    /// None so far, of a server of that name.
    pub fn of(server: &str) -> Self {
        Self { server: server.to_owned(), readings: Vec::new(), missed: 0 }
    }

    /// Takes what the target said at `at_us`; none: it said nothing.
    pub fn note(&mut self, at_us: Micros, said: Option<Gauges>) {
        match said {
            Some(gauges) => self.readings.push((at_us, gauges)),
            None => self.missed += 1,
        }
    }

    /// Writes each reading beside what happened in its second; of several the last counts.
    pub fn fill(&self, rows: &mut [SecondRow]) {
        for (at_us, gauges) in &self.readings {
            let second = usize::try_from(at_us / 1_000_000).unwrap_or(usize::MAX);
            if let Some(row) = rows.get_mut(second) {
                row.target_queue = gauges.queue;
                row.target_running = gauges.running;
                row.target_kv_cache = gauges.kv_cache;
            }
        }
    }

    /// What the readings until `end_us` come to.
    pub fn summary(&self, end_us: Micros) -> TargetMetrics {
        let within: Vec<Gauges> =
            self.readings.iter().filter(|(at_us, _)| *at_us <= end_us).map(|(_, g)| *g).collect();
        let gauge = |of: fn(&Gauges) -> Option<f64>| gauge(within.iter().filter_map(of));
        TargetMetrics {
            server: self.server.clone(),
            readings: within.len() as u64,
            missed: self.missed,
            queue: gauge(|g| g.queue),
            running: gauge(|g| g.running),
            kv_cache: gauge(|g| g.kv_cache),
            prefix_hit_ratio: hits(&within).or_else(|| gauge(|g| g.hit_rate).map(|g| g.mean)),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of seconds")]
fn gauge(values: impl Iterator<Item = f64>) -> Option<Gauge> {
    let values: Vec<f64> = values.collect();
    let max = values.iter().copied().reduce(f64::max)?;
    Some(Gauge { mean: values.iter().sum::<f64>() / values.len() as f64, max })
}

/// Hits / queries from the first to the last reading; none: there were no queries, or the server
/// has begun anew.
fn hits(within: &[Gauges]) -> Option<f64> {
    let (first, last) = (within.first()?, within.last()?);
    let queries = last.prefix_queries? - first.prefix_queries?;
    let hits = last.prefix_hits? - first.prefix_hits?;
    (queries > 0.0 && (0.0..=queries).contains(&hits)).then(|| hits / queries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(queue: f64, running: f64, kv_cache: Option<f64>) -> Gauges {
        let (queue, running) = (Some(queue), Some(running));
        Gauges { queue, running, kv_cache, ..Gauges::default() }
    }

    #[test]
    fn readings_stand_in_the_row_of_their_second() {
        let mut side = TargetSide::of("vllm");
        side.note(500_000, Some(said(0.0, 4.0, Some(0.1))));
        side.note(1_100_000, Some(said(1.0, 5.0, None)));
        side.note(1_999_999, Some(said(2.0, 6.0, None)));
        side.note(9_000_000, Some(said(7.0, 7.0, None)));
        let mut rows = vec![SecondRow::default(); 3];
        side.fill(&mut rows);
        let of = |row: &SecondRow| (row.target_queue, row.target_running, row.target_kv_cache);
        assert_eq!(of(&rows[0]), (Some(0.0), Some(4.0), Some(0.1)));
        assert_eq!(of(&rows[1]), (Some(2.0), Some(6.0), None));
        assert_eq!(of(&rows[2]), (None, None, None));
    }

    #[test]
    fn the_summary_is_of_the_run_and_counts_what_was_missed() {
        let mut side = TargetSide::of("tgi");
        side.note(500_000, Some(said(0.0, 4.0, None)));
        side.note(1_500_000, None);
        side.note(2_500_000, Some(said(3.0, 8.0, None)));
        side.note(3_500_000, Some(said(100.0, 100.0, None)));
        let summary = side.summary(3_000_000);
        assert_eq!((summary.server.as_str(), summary.readings, summary.missed), ("tgi", 2, 1));
        assert_eq!(summary.queue, Some(Gauge { mean: 1.5, max: 3.0 }));
        assert_eq!(summary.running, Some(Gauge { mean: 6.0, max: 8.0 }));
        assert_eq!((summary.kv_cache, summary.prefix_hit_ratio), (None, None));
    }

    #[test]
    fn prefix_hits_are_those_of_the_run() {
        let counted = |hits: f64, queries: f64| {
            let (prefix_hits, prefix_queries) = (Some(hits), Some(queries));
            Some(Gauges { prefix_hits, prefix_queries, ..Gauges::default() })
        };
        let ratio = |readings: &[Option<Gauges>]| {
            let mut side = TargetSide::of("vllm");
            for reading in readings {
                side.note(0, *reading);
            }
            side.summary(1).prefix_hit_ratio
        };
        assert_eq!(ratio(&[counted(900.0, 1_000.0), counted(910.0, 1_040.0)]), Some(0.25));
        assert_eq!(ratio(&[counted(900.0, 1_000.0)]), None);
        assert_eq!(ratio(&[counted(900.0, 1_000.0), counted(0.0, 10.0)]), None, "a new server");
        let told = |rate| Some(Gauges { hit_rate: Some(rate), ..Gauges::default() });
        assert_eq!(ratio(&[told(0.5), told(0.75)]), Some(0.625));
    }
}
