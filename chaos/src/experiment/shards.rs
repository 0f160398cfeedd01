//! Loads that several runners make together, and one of them dies or stands still.

use serde_json::json;
use shared::State;

use super::Cycle;
use crate::checker::{Leeway, Record};

/// Users a second: more than there are.
pub(super) const AT_ONCE: u32 = 10_000;

/// By how much the first requests of shards that begin at one instant may arrive apart: connecting
/// takes time on a busy machine.
const APART_ON_THE_WAY_MS: f64 = 250.0;

/// S1: of the runners that make a load together one is killed or frozen at any time, be it that which
/// holds the run or another.
pub(super) async fn lose(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    cycle.yard.watch_arrivals();
    let open = cycle.below(2) == 0;
    let runners = 2 + cycle.below(2);
    // All users at once, so that the first requests of the shards are due at one instant.
    let mut fields = json!({"runners": runners, "duration": 4, "user": 6, "spawnrate": AT_ONCE});
    if open {
        fields["rate"] = json!(60);
    }
    let ids = cycle.submit_to(&[0, 0, 1], &fields).await?;
    let (victim, wait) = (cycle.below(3), cycle.ms(0, 9_000));
    tokio::time::sleep(wait).await;
    let freezes = cycle.below(2) == 0;
    if freezes {
        cycle.yard.runners[victim].process.pause();
        let asleep = cycle.ms(500, 6_000);
        tokio::time::sleep(asleep).await;
        cycle.yard.runners[victim].process.resume();
    } else {
        cycle.yard.runners[victim].process.kill();
        cycle.yard.replace_runner(victim).await;
    }
    let leeway = Leeway { may_wake: freezes, ..Leeway::default() };
    let found = cycle.settle(&ids, leeway).await?;
    for record in &found.records {
        let made_by = record
            .report
            .as_ref()
            .and_then(|report| report["environment"]["shards"].as_array().map(Vec::len));
        if made_by == Some(runners) {
            cycle.tally.count("made together");
            // A schedule's first requests are due at different times.
            if !open {
                begun_together(cycle, record, true);
            }
        }
    }
    Ok(())
}

/// Notes how far apart the runners of this load began it, as its target sees it.
///
/// - `is_trusted`: whether their clocks are good enough for the figure to mean something.
pub(super) fn begun_together(cycle: &mut Cycle<'_>, record: &Record, is_trusted: bool) {
    let Some(apart) = cycle.yard.begun_apart_ms(record.id) else { return };
    if !is_trusted {
        cycle.tally.took("shards with clocks 4 % apart began apart", apart);
        return;
    }
    cycle.tally.took("shards began apart", apart);
    if apart > 20.0 {
        cycle.tally.count("shards began more than 20 ms apart");
    }
    let late =
        record.report.as_ref().and_then(|report| report["validity"]["begun_late_ms"].as_f64());
    // What a request needs on its way differs by some.
    if record.status == State::Completed && late.unwrap_or_default() < apart - APART_ON_THE_WAY_MS {
        let id = record.id;
        let told = format!("benchmark {id}: shards began {apart} ms apart, and {late:?} is told");
        cycle.tally.violation(&told);
    }
}
