//! How long it takes until something happens, measured where it counts: at the target.

use std::time::Duration;

use serde_json::json;
use shared::State;

use super::{Cycle, now_ms, since};
use crate::{
    checker::{Leeway, ask},
    proxy::Weather,
};

/// E13: from the request to cancel to the last request that arrives, with PostgreSQL's
/// notifications and without.
pub(super) async fn cancel(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    let told = cycle.nth.is_multiple_of(2) && cycle.yard.is_postgres();
    for member in &cycle.yard.runners {
        if let Some(line) = &member.line {
            line.set(if told { Weather::Clear } else { Weather::NoNotices });
        }
    }
    let ids = cycle.submit(1, &json!({"duration": 30, "user": 4})).await?;
    loading(cycle, ids[0]).await?;
    let wait = cycle.ms(100, 900);
    tokio::time::sleep(wait).await;
    let url = format!("{}/api/v1/benchmarks/{}/cancel", cycle.yard.apis[0].url, ids[0]);
    let asked_at = now_ms();
    cycle.yard.client.post(&url, &json!({}), None).await?;
    let found = cycle.settle(&ids, Leeway::default()).await?;
    for member in &cycle.yard.runners {
        if let Some(line) = &member.line {
            line.set(Weather::Clear);
        }
    }
    let record = &found.records[0];
    let last = found.calls_of(ids[0]).map(|call| call.last_ms).max();
    let last = i64::try_from(last.unwrap_or_default())?;
    let took = since(asked_at, last).max(0.0);
    cycle.tally.took(if told { "told" } else { "not told" }, took);
    cycle.tally.took("shown", since(asked_at, record.finished_at_ms.unwrap_or_default()));
    if record.status != State::Cancelled || took > 1_000.0 {
        let told = format!("cancelled after {took} ms, {}", record.status);
        cycle.tally.violation(&told);
    }
    Ok(())
}

/// Waits until its target has had a request of it.
pub(super) async fn loading(cycle: &mut Cycle<'_>, id: i64) -> anyhow::Result<()> {
    for _ in 0..1_000 {
        let callers = cycle.yard.callers().await;
        if callers.iter().any(|caller| i64::try_from(caller.benchmark) == Ok(id)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("benchmark {id} never begins")
}

/// E14: from a client's request to the first request of its load, everybody idle. Every other time
/// its ticket gets lost.
pub(super) async fn pick_up(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    let loses = cycle.nth % 2 == 1;
    let asked_at = now_ms();
    let ids = cycle.submit(1, &json!({"duration": 1})).await?;
    if loses {
        let jobs = if cycle.yard.is_postgres() { "apalis.jobs" } else { "Jobs" };
        let _ = ask(cycle.yard, &format!("DELETE FROM {jobs} WHERE status = 'Pending'")).await?;
    }
    let found = cycle.settle(&ids, Leeway::default()).await?;
    let first = found.calls_of(ids[0]).map(|call| call.first_ms).min();
    let Some(first) = first else { anyhow::bail!("benchmark {} sent nothing", ids[0]) };
    let took = since(asked_at, i64::try_from(first)?);
    let record = &found.records[0];
    let claimed = record.events.iter().find(|event| event.to == State::Running);
    let claimed = claimed.map_or(took, |event| since(asked_at, event.at_ms));
    if loses {
        cycle.tally.took("claimed, ticket lost or just in time", claimed);
    } else {
        cycle.tally.took("claimed", claimed);
        cycle.tally.took("first request", took);
    }
    if took > 6_000.0 {
        cycle.tally.violation(&format!("picked up after {took} ms"));
    }
    Ok(())
}
