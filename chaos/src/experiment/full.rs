//! A database whose disk is full: whoever asks is told to come again, nothing that was accepted is
//! lost, and it is itself again once there is room.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::json;
use tempfile::TempDir;
use testkit::TestDatabase;
use tokio::time::sleep;

use super::{Cycle, limits::recovers};
use crate::{
    checker::{Leeway, ask},
    client::Client,
    disk::{Filler, SmallDisk},
    server::Server,
    yard::Yard,
};

/// Between two requests of one client.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Has PostgreSQL begin another file of its log of changes, as much work would.
const ANOTHER_FILE: &str = "SELECT pg_switch_wal()::text FROM \
                            (SELECT pg_logical_emit_message(false, 'chaos', 'x')) AS written";

/// A PostgreSQL server of its own on small disks.
pub(super) struct Cluster {
    server: Server,
    /// Of its first database.
    url: String,
    tables: SmallDisk,
    changes: SmallDisk,
    #[expect(dead_code, reason = "the folders live as long as this does")]
    folders: [TempDir; 2],
}

impl Cluster {
    /// One that is run as `server` is; none without root.
    fn like(server: &Server) -> Option<anyhow::Result<Self>> {
        let folders = [tempfile::tempdir().ok()?, tempfile::tempdir().ok()?];
        let tables = SmallDisk::over(folders[0].path(), 128 * 1024)?;
        let changes = SmallDisk::over(folders[1].path(), 64 * 1024)?;
        let started = server.another(folders[0].path(), folders[1].path());
        Some(started.map(|(server, url)| Self { server, url, tables, changes, folders }))
    }

    fn starts_again(&self) -> anyhow::Result<()> {
        if self.server.is_running() { Ok(()) } else { self.server.start() }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.server.stop() {
            eprintln!("a PostgreSQL server stays behind: {error}");
        }
    }
}

/// Another database in the place of this one, of PostgreSQL, on small disks; this one, where there
/// is no server to run another like it.
pub(super) async fn moved(
    server: Option<&Server>,
    database: TestDatabase,
) -> anyhow::Result<(Option<Cluster>, TestDatabase)> {
    let server = server.filter(|_| database.is_postgres());
    let Some(cluster) = server.and_then(Cluster::like).transpose()? else {
        return Ok((None, database));
    };
    let database = TestDatabase::on(cluster.url.clone()).await;
    Ok((Some(cluster), database))
}

/// The disk of a database that is a file.
pub(super) async fn file(cycle: &mut Cycle<'_>, disk: &SmallDisk) -> anyhow::Result<()> {
    let full = async |_: &Yard, lasts| {
        let filler = disk.fill()?;
        sleep(lasts).await;
        drop(filler);
        Ok(())
    };
    without_room(cycle, "database full", full).await?;
    let checked = ask(cycle.yard, "PRAGMA integrity_check").await?;
    let said: String = checked[0].try_get_by_index(0)?;
    if said != "ok" {
        cycle.tally.violation(&format!("the database is broken: {said}"));
    }
    Ok(())
}

/// The disk of PostgreSQL's tables: statements fail that need another page.
pub(super) async fn tables(cycle: &mut Cycle<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let full = async |_: &Yard, lasts| {
        let filler = cluster.tables.fill()?;
        sleep(lasts).await;
        over(cluster, filler)
    };
    without_room(cycle, "database full", full).await?;
    is_whole(cycle, cluster).await
}

/// The disk of its log of changes: it stops, for it cannot promise anything more.
pub(super) async fn changes(cycle: &mut Cycle<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let gave_up = AtomicBool::new(false);
    let full = async |yard: &Yard, lasts| {
        let filler = cluster.changes.fill()?;
        let until = Instant::now() + lasts;
        while Instant::now() < until {
            // It answers nobody when it is down.
            _ = tokio::time::timeout(ASK_EVERY, ask(yard, ANOTHER_FILE)).await;
            sleep(ASK_EVERY / 5).await;
        }
        gave_up.store(!cluster.server.is_running(), Relaxed);
        over(cluster, filler)
    };
    without_room(cycle, "log of changes full", full).await?;
    if gave_up.load(Relaxed) {
        cycle.tally.count("PostgreSQL gave up");
    }
    is_whole(cycle, cluster).await
}

/// There is room again. Who runs the server starts it where it gave up.
fn over(cluster: &Cluster, filler: Filler) -> anyhow::Result<()> {
    drop(filler);
    cluster.starts_again()
}

async fn is_whole(cycle: &mut Cycle<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let url = cycle.yard.database.url().to_owned();
    if let Err(broken) = cluster.server.is_whole(&url).await {
        cycle.tally.violation(&format!("the database is broken: {broken:#}"));
    }
    Ok(())
}

/// Somebody asks each API again and again, as long as `full` lasts.
async fn without_room(
    cycle: &mut Cycle<'_>,
    what: &str,
    full: impl AsyncFnOnce(&Yard, Duration) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    cycle.tally.count(what);
    let ids = cycle.submit(2, &json!({"duration": 2})).await?;
    let (wait, lasts) = (cycle.ms(200, 1_500), cycle.ms(2_000, 6_000));
    sleep(wait).await;
    let key = cycle.key(100);
    let is_over = AtomicBool::new(false);
    let (yard, now_over, known) = (&*cycle.yard, &is_over, ids[0]);
    let asking =
        futures::future::join_all(yard.api_urls().into_iter().enumerate().map(|(nth, api)| {
            let key = format!("{key}-{nth}");
            async move { ask_again(yard, &api, &key, known, now_over).await }
        }));
    let (lasted, said) = tokio::join!(
        async {
            let lasted = full(yard, lasts).await;
            is_over.store(true, Relaxed);
            lasted
        },
        asking
    );
    lasted?;
    let mut late = Vec::new();
    for said in said {
        let said = said?;
        late.extend(said.accepted);
        for told in said.wrong {
            cycle.tally.violation(&format!("{what}: {told}"));
        }
        for _ in 0..said.refused {
            cycle.tally.count(format!("{what}: refused with 503"));
        }
        for took in said.took {
            cycle.tally.took("answered meanwhile", took);
        }
    }
    recovers(cycle).await?;
    cycle.tally.benchmarks += u64::try_from(late.len())?;
    let all = [ids, late].concat();
    cycle.settle(&all, Leeway::default()).await?;
    let ids = cycle.submit_to(&[0], &json!({"duration": 1})).await?;
    cycle.complete(&ids, &format!("{what} no more")).await.map(drop)
}

/// What one API said while there was no room.
#[derive(Default)]
struct Said {
    accepted: Vec<i64>,
    refused: u64,
    /// Answers that nobody should get.
    wrong: Vec<String>,
    /// Milliseconds of each answer.
    took: Vec<f64>,
}

async fn ask_again(
    yard: &Yard,
    api: &str,
    key: &str,
    known: i64,
    is_over: &AtomicBool,
) -> anyhow::Result<Said> {
    let client = Client::new();
    let mut all = Said::default();
    for nth in 0.. {
        if is_over.load(Relaxed) {
            break;
        }
        // Each time another one: the same again would be answered by what came of it.
        let key = format!("{key}-{nth}");
        // Long ones that nothing makes shorter need room soon.
        let notes = noise(nth, 4_000);
        let asked = json!({"url": yard.target(0), "user": 1, "duration": 1, "notes": notes});
        let url = format!("{api}/api/v1/benchmarks");
        let since = Instant::now();
        match client.post(&url, &asked, Some(&key)).await {
            Ok(said) => match said.status {
                // A page was left.
                202 => all.accepted.push(said.json()?["id"].as_i64().context("an id")?),
                503 if said.json()?["code"] == "unavailable" => all.refused += 1,
                other => all.wrong.push(format!("POST {other} {}", said.text)),
            },
            Err(error) => all.wrong.push(format!("POST {error:#}")),
        }
        all.took.push(since.elapsed().as_secs_f64() * 1e3);
        let since = Instant::now();
        match client.get(&format!("{api}/api/v1/benchmarks/{known}")).await {
            Ok(read) if matches!(read.status, 200 | 503) => {}
            Ok(read) => all.wrong.push(format!("GET {} {}", read.status, read.text)),
            Err(error) => all.wrong.push(format!("GET {error:#}")),
        }
        all.took.push(since.elapsed().as_secs_f64() * 1e3);
        sleep(ASK_EVERY).await;
    }
    if all.took.is_empty() {
        bail!("{api} was not asked");
    }
    Ok(all)
}

/// So many letters that follow no rule.
fn noise(seed: u64, letters: usize) -> String {
    use rand::{RngExt as _, SeedableRng as _};
    let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..letters).map(|_| char::from(chance.random_range(b'a'..=b'z'))).collect()
}
