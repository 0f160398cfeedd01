//! Lines between our processes that are cut or play dead.

use std::time::Duration;

use serde_json::json;

use super::Cycle;
use crate::{checker::Leeway, proxy::Weather};

/// E5: for some seconds the line of a runner to the database, of an API to the database, or of all
/// runners to a target is bad.
pub(super) async fn cut(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    let ids = cycle.submit(4, &json!({"duration": 4})).await?;
    let wait = cycle.ms(100, 1_500);
    tokio::time::sleep(wait).await;
    let weather = match cycle.below(6) {
        0 => Weather::Silent,
        1 => Weather::Mute,
        2 => Weather::Deaf,
        3 => Weather::Late(Duration::from_secs(2)),
        4 => Weather::Cut,
        _ => Weather::NoNotices,
    };
    let (which, lasts) = (cycle.below(3), cycle.ms(500, 8_000));
    let at = cycle.nth % 3;
    let (line, of) = match at {
        0 => (cycle.yard.runners[which].line.clone(), "runner to database"),
        1 => (cycle.yard.apis[which % 2].line.clone(), "API to database"),
        _ => (Some(cycle.yard.targets[which].clone()), "runners to target"),
    };
    cycle.tally.count(of);
    let line = line.ok_or_else(|| anyhow::anyhow!("there is no line to a file"))?;
    line.set(weather);
    tokio::time::sleep(lasts).await;
    line.set(Weather::Clear);
    // What is held on a line arrives at a target when it clears up: that is the line's doing.
    let way_is_cut = at == 2;
    let leeway = Leeway { way_is_cut, may_wake: way_is_cut, ..Leeway::default() };
    cycle.settle(&ids, leeway).await?;
    Ok(())
}
