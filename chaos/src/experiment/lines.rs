//! Lines between our processes that are cut or play dead.

use std::time::Duration;

use serde_json::json;

use super::{Cycle, limits::recovers, now_ms, since};
use crate::{
    checker::{Found, Leeway},
    loss,
    proxy::Weather,
};

/// In this order, so that in 21 cycles each line has had each.
const WEATHERS: [(Weather, &str); 7] = [
    (Weather::Lossy, "loses 30 % of its packets"),
    (Weather::Silent, "silent"),
    (Weather::Late(Duration::from_secs(2)), "2 s late"),
    (Weather::Mute, "nothing reaches the server"),
    (Weather::Deaf, "nothing comes back"),
    (Weather::Cut, "cut"),
    (Weather::NoNotices, "without notifications"),
];
/// The shortest time for which packets get lost.
const LOSSY: Duration = Duration::from_secs(4);

/// E5: for some seconds the line of a runner to the database, of an API to the database, or of all
/// runners to a target is bad.
pub(super) async fn cut(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    let ids = cycle.submit(4, &json!({"duration": 4})).await?;
    let wait = cycle.ms(100, 1_500);
    tokio::time::sleep(wait).await;
    let (weather, what) = WEATHERS[usize::try_from(cycle.nth)? % WEATHERS.len()];
    let (which, lasts) = (cycle.below(3), cycle.ms(500, 8_000));
    let at = cycle.nth % 3;
    let (line, of) = match at {
        0 => (cycle.yard.runners[which].line.clone(), "runner to database"),
        1 => (cycle.yard.apis[which % 2].line.clone(), "API to database"),
        _ => (Some(cycle.yard.targets[which].clone()), "runners to target"),
    };
    if weather == Weather::Lossy && !loss::is_possible().await {
        cycle.tally.count(format!("{of} {what}: not tried, this system filters no sockets"));
        return Ok(());
    }
    cycle.tally.count(format!("{of} {what}"));
    let line = line.ok_or_else(|| anyhow::anyhow!("there is no line to a file"))?;
    line.set(weather);
    let bad_at = now_ms();
    // Loss needs time to do harm: what gets lost is repeated.
    tokio::time::sleep(if weather == Weather::Lossy { lasts.max(LOSSY) } else { lasts }).await;
    line.set(Weather::Clear);
    // What is held on a line arrives at a target when it clears up: that is the line's doing.
    let way_is_cut = at == 2;
    let leeway = Leeway { way_is_cut, may_wake: way_is_cut, ..Leeway::default() };
    let found = cycle.settle(&ids, leeway).await?;
    silent_in_time(cycle, &found, bad_at);
    recovers(cycle).await?;
    // As they are, without a restart.
    let ids = cycle.submit_to(&[0, 1, 2], &json!({"duration": 1})).await?;
    cycle.complete(&ids, &format!("{of} clear again")).await.map(drop)
}

/// Of each run that was taken from its runner: how long before that it had sent its last request.
/// That it was before is I2.
fn silent_in_time(cycle: &mut Cycle<'_>, found: &Found, bad_at: i64) {
    for record in &found.records {
        let Some(taken) = record.events.iter().find(|event| event.actor == "sweeper") else {
            continue;
        };
        let calls = found
            .calls_of(record.id)
            .filter(|call| i64::try_from(call.run).is_ok_and(|run| run < taken.fence));
        let Some(last) = calls.map(|call| call.last_ms).max() else { continue };
        let last = i64::try_from(last).unwrap_or(i64::MAX);
        cycle.tally.took("sent on", since(bad_at, last));
        cycle.tally.took("silent before it was taken", since(last, taken.at_ms));
    }
}
