//! Disks that take no more, and processes that may open no more files.

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

use super::{
    Cycle,
    full::{self, Cluster},
};
use crate::{
    checker::{Found, Leeway},
    disk::{ReadOnly, SmallDisk},
    proxy::address_of,
    yard::Yard,
};

/// Files that a process may have open, its connections among them.
const FILES: u32 = 256;
/// Longest that anything may take until it is itself again.
const RECOVERS_IN: Duration = Duration::from_secs(10);

/// The small disks of the processes; dropped before what lies on them.
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

/// What there is too little of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lack {
    Database,
    /// Where PostgreSQL writes down its changes before it makes them: it gives up.
    Changes,
    Data,
    Artifacts,
    DataIsReadOnly,
    ArtifactsAreReadOnly,
    FilesOfApi,
    FilesOfRunners,
}

const LACKS: [Lack; 8] = [
    Lack::Database,
    Lack::Changes,
    Lack::Data,
    Lack::Artifacts,
    Lack::DataIsReadOnly,
    Lack::ArtifactsAreReadOnly,
    Lack::FilesOfApi,
    Lack::FilesOfRunners,
];

/// E7: a disk is full for a while, or only read, or files run out.
pub(super) async fn exhaust(
    cycle: &mut Cycle<'_>,
    disks: &Disks,
    cluster: Option<&Cluster>,
) -> anyhow::Result<()> {
    let (is_file, is_cluster) = (disks.database.is_some(), cluster.is_some());
    let possible = LACKS.into_iter().filter(|lack| match lack {
        Lack::Database => is_file || is_cluster,
        Lack::Changes => is_cluster,
        _ => true,
    });
    let possible: Vec<Lack> = possible.collect();
    let (data, artifacts) =
        (cycle.yard.data.path().to_owned(), cycle.yard.artifacts.path().to_owned());
    match possible[usize::try_from(cycle.nth)? % possible.len()] {
        Lack::Database => match (&disks.database, cluster) {
            (Some(file), _) => full::file(cycle, file).await,
            (None, Some(cluster)) => full::tables(cycle, cluster).await,
            (None, None) => Ok(()),
        },
        Lack::Changes => match cluster {
            Some(cluster) => full::changes(cycle, cluster).await,
            None => Ok(()),
        },
        Lack::Data => without_rows(cycle, "DATA_DIR full", || Ok(disks.data.fill()?)).await,
        Lack::Artifacts => {
            without_rows(cycle, "artifacts full", || Ok(disks.artifacts.fill()?)).await
        }
        Lack::DataIsReadOnly => {
            without_rows(cycle, "DATA_DIR read-only", || ReadOnly::over(&data)).await
        }
        Lack::ArtifactsAreReadOnly => {
            without_rows(cycle, "artifacts read-only", || ReadOnly::over(&artifacts)).await
        }
        Lack::FilesOfApi => api_without_files(cycle).await,
        Lack::FilesOfRunners => runners_without_files(cycle).await,
    }
}

/// The requests' rows cannot be kept for as long as what `bar` makes lives. The run is none the
/// worse, and says so.
async fn without_rows<Bar>(
    cycle: &mut Cycle<'_>,
    what: &str,
    bar: impl FnOnce() -> anyhow::Result<Bar>,
) -> anyhow::Result<()> {
    cycle.tally.count(what);
    let bar = bar()?;
    let ids = cycle.submit(2, &json!({"duration": 1})).await?;
    let barred = cycle.settle(&ids, Leeway::default()).await?;
    drop(bar);
    let ids = cycle.submit(1, &json!({"duration": 1})).await?;
    let freed = cycle.settle(&ids, Leeway::default()).await?;
    for (found, kept) in [(&barred, false), (&freed, true)] {
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
    cycle.complete(&ids, "after it").await.map(drop)
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
pub(super) async fn recovers(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
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
