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

use super::{Cycle, latency::loading};
use crate::{
    checker::Leeway,
    proxy::{Language, Proxy},
    yard::{DRAIN, RUNNERS},
};

/// What ends, in the words of the figures.
const RUNNER: &str = "runner's end";
const API: &str = "API's end";
/// How long a process may take to end beyond its time to drain.
const AFTER: Duration = Duration::from_secs(5);

/// E6: every other time all are restarted one after another; else runners drain that have less or
/// more time than their runs take.
pub(super) async fn restart(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    if cycle.nth.is_multiple_of(2) { roll(cycle).await } else { drain(cycle).await }
}

/// A run, how long the runner that has it may go on, and what comes of it. In seconds.
struct Drain {
    run: u64,
    timeout: u64,
    ends: State,
}

const DRAINS: [Drain; 2] = [
    Drain { run: 10, timeout: 30, ends: State::Completed },
    Drain { run: 120, timeout: 5, ends: State::Failed },
];

/// A runner that drains completes its run where there is time, and else stores what it has. In both
/// cases it has ended in time, and nobody begins its run again, though another waits for work.
async fn drain(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    // One at a time has work to take: so it is known whose run is whose.
    let others = std::mem::take(&mut cycle.yard.runners);
    for other in &others {
        other.process.terminate();
    }
    for mut other in others {
        _ = other.process.ended().await;
    }
    let usual = cycle.yard.settings.clone();
    let mut ids = Vec::new();
    for (at, drain) in DRAINS.iter().enumerate() {
        cycle.yard.settings =
            [usual.clone(), vec![("DRAIN_TIMEOUT_S".to_owned(), drain.timeout.to_string())]]
                .concat();
        cycle.yard.hire(1).await;
        ids.extend(cycle.submit_to(&[at], &json!({"duration": drain.run})).await?);
        loading(cycle, ids[at]).await?;
    }
    cycle.yard.settings = usual;
    let wait = cycle.ms(100, 2_000);
    tokio::time::sleep(wait).await;
    let asked = Instant::now();
    for runner in &cycle.yard.runners {
        runner.process.terminate();
    }
    // The one that takes over, had it anything to take.
    cycle.yard.hire(1).await;
    // The shorter one first.
    for (at, what) in [(1, "end of a runner with 120 s to go and 5 s"), (0, "with 10 s and 30 s")] {
        let limit = Duration::from_secs(DRAINS[at].timeout) + AFTER;
        ends(cycle, what, at, asked, limit).await?;
        cycle.yard.dismiss(at);
    }
    cycle.yard.hire(RUNNERS - 1).await;
    let found = cycle.settle(&ids, Leeway::default()).await?;
    for (drain, record) in DRAINS.iter().zip(&found.records) {
        let completed =
            record.report.as_ref().and_then(|report| report["requests"]["completed"].as_u64());
        let is_told = match drain.ends {
            State::Completed => record.reason.is_none(),
            _ => record.reason.as_deref() == Some("runner_shutdown"),
        };
        let claims = record.events.iter().filter(|event| event.to == State::Running).count();
        if record.status != drain.ends || !is_told || completed.unwrap_or(0) == 0 || claims != 1 {
            let told = format!(
                "a run of {} s with {} s to drain is {} ({:?}) with {completed:?} requests and {claims} claims",
                drain.run, drain.timeout, record.status, record.reason
            );
            cycle.tally.violation(&told);
        }
    }
    Ok(())
}

/// Runners and APIs are restarted one after another. Clients come in by a balancer that is
/// told first, as they are; no request of theirs may fail.
async fn roll(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
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
        ends(cycle, RUNNER, at, Instant::now(), DRAIN + AFTER).await?;
        cycle.yard.replace_runner(at).await;
    }
    for at in 0..cycle.yard.apis.len() {
        let mut others = cycle.yard.api_addresses();
        others.remove(at);
        front.lead_to(others);
        cycle.yard.apis[at].process.terminate();
        ends(cycle, API, at, Instant::now(), DRAIN + AFTER).await?;
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

/// Waits until it has ended by itself, within `limit` of when it was asked to.
async fn ends(
    cycle: &mut Cycle<'_>,
    what: &'static str,
    at: usize,
    asked: Instant,
    limit: Duration,
) -> anyhow::Result<()> {
    let member = if what == API { &mut cycle.yard.apis[at] } else { &mut cycle.yard.runners[at] };
    let left = limit.saturating_sub(asked.elapsed());
    let ended = tokio::time::timeout(left, member.process.ended()).await;
    let Ok(status) = ended else {
        cycle.tally.violation(&format!("{what} {at} did not end within {limit:?} of SIGTERM"));
        return Ok(());
    };
    if !status.success() {
        cycle.tally.violation(&format!("{what} {at} ended with {status}"));
    }
    cycle.tally.took(what, asked.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
