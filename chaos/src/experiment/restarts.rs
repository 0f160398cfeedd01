//! An upgrade: every process is asked to end and another takes its place, while clients go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use shared::State;

use super::Cycle;
use crate::{
    checker::Leeway,
    proxy::{Language, Proxy},
    yard::DRAIN,
};

/// E6: runners and APIs are restarted one after another. Clients come in by a balancer that is
/// told first, as they are; no request of theirs may fail.
pub(super) async fn roll(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    let ids = cycle.submit(4, &json!({"duration": 4})).await?;
    let front = Arc::new(Proxy::to(cycle.yard.api_addresses(), Language::Any).await);
    let url = format!("http://{}/api/v1/benchmarks/{}", front.address(), ids[0]);
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let asking = tokio::spawn({
        let (client, over, asked) = (cycle.yard.client.clone(), over.clone(), asked.clone());
        async move {
            let mut failed = Vec::new();
            while !over.load(Relaxed) {
                match client.get(&url).await {
                    Ok(said) if said.status == 200 => _ = asked.fetch_add(1, Relaxed),
                    Ok(said) => failed.push(format!("{}: {}", said.status, said.text)),
                    Err(error) => failed.push(format!("{error:#}")),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            failed
        }
    });
    let wait = cycle.ms(200, 2_000);
    tokio::time::sleep(wait).await;
    for at in 0..cycle.yard.runners.len() {
        cycle.yard.runners[at].process.terminate();
        ends(cycle, "runner", at).await?;
        cycle.yard.replace_runner(at).await;
    }
    for at in 0..cycle.yard.apis.len() {
        let mut others = cycle.yard.api_addresses();
        others.remove(at);
        front.lead_to(others);
        cycle.yard.apis[at].process.terminate();
        ends(cycle, "API", at).await?;
        cycle.yard.replace_api(at).await;
        front.lead_to(cycle.yard.api_addresses());
    }
    over.store(true, Relaxed);
    for failed in asking.await? {
        cycle.tally.violation(&format!("a client's request failed: {failed}"));
    }
    for _ in 0..asked.load(Relaxed) {
        cycle.tally.count("client requests");
    }
    let found = cycle.settle(&ids, Leeway::default()).await?;
    for record in &found.records {
        // Given back unstarted is not a second run; load by two claims is I2's matter.
        if record.status == State::Lost {
            cycle.tally.violation(&format!("benchmark {} was lost by an orderly stop", record.id));
        }
    }
    Ok(())
}

/// Waits until it has ended by itself.
async fn ends(cycle: &mut Cycle<'_>, what: &'static str, at: usize) -> anyhow::Result<()> {
    let asked = Instant::now();
    let member =
        if what == "runner" { &mut cycle.yard.runners[at] } else { &mut cycle.yard.apis[at] };
    let limit = DRAIN + Duration::from_secs(5);
    let ended = tokio::time::timeout(limit, member.process.ended()).await;
    let Ok(status) = ended else {
        cycle.tally.violation(&format!("a {what} did not end within {limit:?} of SIGTERM"));
        return Ok(());
    };
    if !status.success() {
        cycle.tally.violation(&format!("a {what} ended with {status}"));
    }
    let name = if what == "runner" { "runner's end" } else { "API's end" };
    cycle.tally.took(name, asked.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
