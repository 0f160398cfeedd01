//! Runners that die, and runners that only seem to.

use serde_json::json;
use shared::State;

use super::{Cycle, now_ms, since};
use crate::checker::{Found, Leeway};

/// E1: a runner is killed at any time; another takes its place.
pub(super) async fn kill(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    let count = 3 + cycle.below(3);
    let ids = cycle.submit(count, &json!({})).await?;
    let (victim, wait) = (cycle.below(3), cycle.ms(0, 2_500));
    tokio::time::sleep(wait).await;
    let killed_at = now_ms();
    cycle.yard.runners[victim].process.kill();
    let pause = cycle.ms(0, 2_000);
    tokio::time::sleep(pause).await;
    cycle.yard.replace_runner(victim).await;
    let found = cycle.settle(&ids, Leeway::default()).await?;
    detected(cycle, &found, killed_at);
    Ok(())
}

/// How long it took until a dead runner was noticed, and how much it took with it.
fn detected(cycle: &mut Cycle<'_>, found: &Found, killed_at: i64) {
    for record in &found.records {
        let swept = record.events.iter().filter(|event| event.actor == "sweeper");
        for event in swept {
            cycle.tally.took("noticed", since(killed_at, event.at_ms));
        }
        if record.status != State::Lost {
            continue;
        }
        let Some(last_ms) = found.calls_of(record.id).map(|call| call.last_ms).max() else {
            continue;
        };
        let first_ms = found.calls_of(record.id).map(|call| call.first_ms).min();
        let measured_until = record.report.as_ref().and_then(|report| {
            let window = &report["window"];
            let began: jiff::Timestamp = window["started_at"].as_str()?.parse().ok()?;
            let seconds = window["warmup_s"].as_f64()? + window["measured_s"].as_f64()?;
            #[expect(clippy::cast_possible_truncation, reason = "some seconds")]
            Some(began.as_millisecond() + (seconds * 1e3) as i64)
        });
        let until = measured_until.or(first_ms.and_then(|ms| i64::try_from(ms).ok()));
        let last_ms = i64::try_from(last_ms).unwrap_or(i64::MAX);
        let lost = since(until.unwrap_or(last_ms), last_ms).max(0.0);
        cycle.tally.took("figures lost", lost);
        if lost > 5_000.0 {
            cycle.tally.violation(&format!("benchmark {} lost {lost} ms of figures", record.id));
        }
    }
}

/// E4: a runner stands still for a while, mostly for longer than its lease, and wakes as if nothing
/// had happened.
pub(super) async fn freeze(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    // Each runner has one, and behind each another waits for the target.
    // Every other time requests come due while it sleeps, whatever answers do.
    let mut longer = json!({"duration": 6, "user": 4});
    if cycle.nth.is_multiple_of(2) {
        longer["rate"] = json!(50);
    }
    let ids = cycle.submit_to(&[0, 1, 2, 0, 1, 2], &longer).await?;
    // Some briefly, most for longer than the lease, some for several of it.
    let asleep = match cycle.nth % 3 {
        0 => cycle.ms(4_000, 9_000),
        1 => cycle.ms(500, 4_000),
        _ => cycle.ms(9_000, 18_000),
    };
    let wait = cycle.ms(300, 1_500);
    tokio::time::sleep(wait).await;
    let victim = cycle.below(3);
    cycle.yard.runners[victim].process.pause();
    tokio::time::sleep(asleep).await;
    // Settled by now: whatever was on its way when it stopped has arrived.
    let before = cycle.yard.callers().await;
    let woke_at = now_ms();
    cycle.yard.runners[victim].process.resume();
    let leeway = Leeway { may_wake: true, ..Leeway::default() };
    let found = cycle.settle(&ids, leeway).await?;
    // It has had time to say what it has to say, and nothing of it may be heard.
    let after = crate::checker::records(cycle.yard, &ids).await?;
    for (record, later) in found.records.iter().zip(&after) {
        if record.report != later.report || record.events.len() != later.events.len() {
            let told = format!("I5: benchmark {} changed after its end", record.id);
            cycle.tally.violation(&told);
        }
        let taken = record.events.iter().find(|event| event.actor == "sweeper");
        let Some(taken) = taken.filter(|taken| taken.at_ms < woke_at) else { continue };
        let sent = |callers: &[simulator::Caller]| {
            let of_it = callers.iter().filter(|caller| {
                i64::try_from(caller.benchmark) == Ok(record.id)
                    && i64::try_from(caller.run).is_ok_and(|run| run < taken.fence)
            });
            of_it.map(|caller| caller.requests).sum::<u64>()
        };
        let late = sent(&found.callers) - sent(&before);
        cycle.tally.count("taken while asleep");
        for _ in 0..late {
            cycle.tally.count("requests after waking");
        }
        if late > 4 {
            let told =
                format!("benchmark {}: {late} requests after it was taken, 4 users", record.id);
            cycle.tally.violation(&told);
        }
    }
    Ok(())
}
