//! Disks that are full, and processes that may open no more files.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use futures::future::join_all;
use serde_json::{Value, json};
use shared::State;
use testkit::TestDatabase;
use tokio::{net::TcpStream, time::sleep};

use super::Cycle;
use crate::{
    checker::{Found, Leeway, ask},
    disk::SmallDisk,
    proxy::address_of,
    yard::Yard,
};

/// Files that a process may have open, its connections among them.
const FILES: u32 = 256;
/// Longest that anything may take until it is itself again.
const RECOVERS_IN: Duration = Duration::from_secs(10);

/// The disks that are filled; dropped before what lies on them.
pub(super) struct Disks {
    data: SmallDisk,
    artifacts: SmallDisk,
    /// None: the database is a server.
    database: Option<SmallDisk>,
}

impl Disks {
    /// Under a yard where nobody has started yet, and under its database already; none without
    /// root.
    pub(super) fn under(yard: &Yard, database: Option<SmallDisk>) -> Option<Self> {
        if !yard.is_postgres() && database.is_none() {
            return None;
        }
        Some(Self {
            data: SmallDisk::over(yard.data.path(), 1024)?,
            artifacts: SmallDisk::over(yard.artifacts.path(), 1024)?,
            database,
        })
    }
}

/// A small disk under a database that is a file, before there is one.
pub(super) fn under(database: &TestDatabase) -> Option<SmallDisk> {
    SmallDisk::over(&folder_of(database)?, 48 * 1024)
}

fn folder_of(database: &TestDatabase) -> Option<PathBuf> {
    let file = database.url().strip_prefix("sqlite://")?;
    Some(PathBuf::from(file).parent()?.to_owned())
}

/// E7: a disk is full for a while, or files run out.
pub(super) async fn exhaust(cycle: &mut Cycle<'_>, disks: &Disks) -> anyhow::Result<()> {
    match (cycle.nth % 4, &disks.database) {
        (0, _) => without_room_for_rows(cycle, &disks.data, "DATA_DIR full").await,
        (1, _) => without_room_for_rows(cycle, &disks.artifacts, "artifacts full").await,
        (2, Some(database)) => without_room_for_anything(cycle, database).await,
        (2, None) => api_without_files(cycle).await,
        _ => runners_without_files(cycle).await,
    }
}

/// The requests' rows cannot be kept. The run is none the worse, and says so.
async fn without_room_for_rows(
    cycle: &mut Cycle<'_>,
    disk: &SmallDisk,
    what: &str,
) -> anyhow::Result<()> {
    cycle.tally.count(what);
    disk.fill()?;
    let ids = cycle.submit(2, &json!({"duration": 1})).await?;
    let full = cycle.settle(&ids, Leeway::default()).await?;
    disk.free()?;
    let ids = cycle.submit(1, &json!({"duration": 1})).await?;
    let freed = cycle.settle(&ids, Leeway::default()).await?;
    for (found, kept) in [(&full, false), (&freed, true)] {
        for (id, status, error) in outcomes(found) {
            if status != State::Completed || error.is_none() != kept {
                let told = format!("benchmark {id}, {what} {}: {status}, {error:?}", !kept);
                cycle.tally.violation(&told);
            }
        }
    }
    Ok(())
}

/// Each benchmark, how it ended, and why its requests' rows were not kept.
fn outcomes(found: &Found) -> Vec<(i64, State, Option<Value>)> {
    let error = |report: &Option<Value>| {
        let error = report.as_ref()?["recorded"]["error"].clone();
        Some(error).filter(|error| !error.is_null())
    };
    found.records.iter().map(|record| (record.id, record.status, error(&record.report))).collect()
}

/// The database cannot grow: whoever asks is told to come again, and nothing of it breaks.
async fn without_room_for_anything(
    cycle: &mut Cycle<'_>,
    database: &SmallDisk,
) -> anyhow::Result<()> {
    cycle.tally.count("database full");
    let ids = cycle.submit(2, &json!({"duration": 2})).await?;
    let (wait, lasts) = (cycle.ms(200, 1_500), cycle.ms(500, 5_000));
    sleep(wait).await;
    database.fill()?;
    let until = Instant::now() + lasts;
    let (mut nth, mut refused) = (0, 0);
    let mut late = Vec::new();
    while Instant::now() < until {
        // Each time another one: the same again would be answered by what came of it.
        let api = cycle.yard.apis[nth % 2].url.clone();
        let key = cycle.key(100 + nth);
        nth += 1;
        let asked = json!({"url": cycle.yard.target(0), "user": 1, "duration": 1, "notes": key});
        let url = format!("{api}/api/v1/benchmarks");
        let said = cycle.yard.client.post(&url, &asked, Some(&key)).await?;
        match said.status {
            // A page was left.
            202 => late.push(said.json()?["id"].as_i64().context("an id")?),
            503 if said.json()?["code"] == "unavailable" => refused += 1,
            _ => {
                cycle.tally.violation(&format!("database full: {} {}", said.status, said.text));
                refused += 1;
            }
        }
        let read = cycle.yard.client.get(&format!("{api}/api/v1/benchmarks/{}", ids[0])).await?;
        if !matches!(read.status, 200 | 503) {
            cycle.tally.violation(&format!("database full: GET {} {}", read.status, read.text));
        }
        sleep(Duration::from_millis(100)).await;
    }
    database.free()?;
    for _ in 0..refused {
        cycle.tally.count("refused with 503");
    }
    recovers(cycle).await?;
    cycle.tally.benchmarks += u64::try_from(late.len())?;
    let all = [ids, late].concat();
    cycle.settle(&all, Leeway::default()).await?;
    let checked = ask(cycle.yard, "PRAGMA integrity_check").await?;
    let said: String = checked[0].try_get_by_index(0)?;
    if said != "ok" {
        cycle.tally.violation(&format!("the database is broken: {said}"));
    }
    let ids = cycle.submit_to(&[0], &json!({"duration": 1})).await?;
    cycle.settle(&ids, Leeway::default()).await?;
    Ok(())
}

/// An API is held by more idle connections than it may have files: the other one answers, and it
/// does itself when they are gone.
async fn api_without_files(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    cycle.tally.count("API without files");
    let victim = cycle.below(2);
    bound_files(cycle.yard.apis[victim].process.id())?;
    let address = address_of(&cycle.yard.apis[victim].url);
    let held = join_all((0..FILES + 100).map(|_| TcpStream::connect(address))).await;
    let held: Vec<_> = held.into_iter().flatten().collect();
    let lasts = cycle.ms(500, 3_000);
    sleep(lasts).await;
    let other = format!("{}/readyz", cycle.yard.apis[1 - victim].url);
    let said = cycle.yard.client.get(&other).await?;
    if said.status != 200 {
        cycle.tally.violation(&format!("the other API says {} {}", said.status, said.text));
    }
    drop(held);
    recovers(cycle).await?;
    let ids = cycle.submit(2, &json!({"duration": 1})).await?;
    cycle.settle(&ids, Leeway::default()).await?;
    Ok(())
}

/// A runner cannot open a connection for each of its users: the run says which of its requests
/// failed, and the next one is as good as ever.
async fn runners_without_files(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    cycle.tally.count("runners without files");
    for runner in &cycle.yard.runners {
        bound_files(runner.process.id())?;
    }
    let crowd = json!({"duration": 2, "user": FILES + 150, "spawnrate": 10_000});
    let ids = cycle.submit_to(&[0], &crowd).await?;
    let leeway = Leeway { way_is_cut: true, ..Leeway::default() };
    let found = cycle.settle(&ids, leeway).await?;
    let record = &found.records[0];
    let failed = record.report.as_ref().and_then(|report| report["requests"]["failed"].as_u64());
    let told = match record.status {
        State::Completed => failed > Some(0),
        State::Failed => record.reason.is_some(),
        _ => false,
    };
    if !told {
        let told = format!("benchmark {} is {} with {failed:?} failed", record.id, record.status);
        cycle.tally.violation(&told);
    }
    let ids = cycle.submit_to(&[0, 1], &json!({"duration": 1})).await?;
    let found = cycle.settle(&ids, Leeway::default()).await?;
    for record in found.records.iter().filter(|record| record.status != State::Completed) {
        let told = format!("benchmark {} after it is {}", record.id, record.status);
        cycle.tally.violation(&told);
    }
    Ok(())
}

fn bound_files(process: u32) -> anyhow::Result<()> {
    ensure!(fs::exists(format!("/proc/{process}"))?, "process {process} has ended");
    let bound = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--nofile={FILES}:{FILES}")])
        .status()
        .context("prlimit")?;
    ensure!(bound.success(), "prlimit: {bound}");
    Ok(())
}

/// Waits until every API says that it is ready.
async fn recovers(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    let begun = Instant::now();
    for api in cycle.yard.api_urls() {
        let url = format!("{api}/readyz");
        while cycle.yard.client.get(&url).await.map_or(0, |said| said.status) != 200 {
            if begun.elapsed() > RECOVERS_IN {
                bail!("{url} is not back within {RECOVERS_IN:?}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    let took = begun.elapsed().as_secs_f64() * 1e3;
    cycle.tally.took("ready again", took);
    Ok(())
}
