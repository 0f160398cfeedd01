//! The experiments: each does one cruel thing in a cycle, then everything must end well.

mod apis;
mod backup;
mod clocks;
mod database;
mod full;
mod latency;
mod limits;
mod lines;
mod restarts;
mod runners;
mod shards;
mod storm;
mod versions;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use shared::State;
use testkit::TestDatabase;

use crate::{
    checker::{Found, Leeway, Record, check},
    server::Server,
    tally::Tally,
    yard::{RUNNERS, Yard},
};

use self::{clocks::FalseClocks, limits::Disks};

/// Longest a cycle may take.
const PATIENCE: Duration = Duration::from_mins(3);
/// What a storm may take longer for each of its benchmarks.
const A_RUN: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Experiment {
    KilledRunner,
    KilledApi,
    KilledDatabase,
    FrozenRunner,
    CutLines,
    Restarts,
    Limits,
    Clocks,
    Storm,
    Cancel,
    PickUp,
    Versions,
    Backup,
    LostShard,
}

impl Experiment {
    pub(crate) const ALL: [Self; 14] = [
        Self::KilledRunner,
        Self::KilledApi,
        Self::KilledDatabase,
        Self::FrozenRunner,
        Self::CutLines,
        Self::Restarts,
        Self::Limits,
        Self::Clocks,
        Self::Storm,
        Self::Cancel,
        Self::PickUp,
        Self::Versions,
        Self::Backup,
        Self::LostShard,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KilledRunner => "E1",
            Self::KilledApi => "E2",
            Self::KilledDatabase => "E3",
            Self::FrozenRunner => "E4",
            Self::CutLines => "E5",
            Self::Restarts => "E6",
            Self::Limits => "E7",
            Self::Clocks => "E8",
            Self::Storm => "E11",
            Self::Cancel => "E13",
            Self::PickUp => "E14",
            Self::Versions => "E22",
            Self::Backup => "E23",
            Self::LostShard => "S1",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::KilledRunner => "kill -9 of a runner",
            Self::KilledApi => "kill -9 of an API while it is asked",
            Self::KilledDatabase => "kill -9, fast restart, terminated sessions of PostgreSQL",
            Self::FrozenRunner => "SIGSTOP and SIGCONT of a runner",
            Self::CutLines => "lines that lose packets, silent, one-way, late, cut",
            Self::Restarts => "SIGTERM of everything in turn under load",
            Self::Limits => "disks full or read-only, 256 files",
            Self::Clocks => {
                "clocks of runners jump, run too fast or slow, or are too far from the database's"
            }
            Self::Storm => "a long queue, 50 targets, 12 runners, clients who ask and follow",
            Self::Cancel => "cancel to last request",
            Self::PickUp => "accepted to first request",
            Self::Versions => "columns added and dropped under load, restarts in between",
            Self::Backup => "a backup brought back under living runners",
            Self::LostShard => "kill -9 or SIGSTOP of one of several runners of a load",
        }
    }

    /// Cycles where nobody says how many: all experiments together take less than five minutes. On
    /// SQLite one, which is the first kind of each.
    const fn few(self, is_postgres: bool) -> u64 {
        match self {
            // For people: minutes of a whole machine.
            Self::Storm => 0,
            _ if !is_postgres => 1,
            // Each kind of limit once.
            Self::Limits => 8,
            Self::KilledRunner
            | Self::KilledApi
            | Self::KilledDatabase
            | Self::CutLines
            | Self::Restarts => 2,
            Self::Clocks | Self::FrozenRunner | Self::Versions | Self::Backup | Self::LostShard => {
                1
            }
            Self::Cancel | Self::PickUp => 4,
        }
    }

    /// Whether it has no meaning where the database is a file: nobody is between it and a process,
    /// and its clock is each process's own.
    const fn needs_server(self) -> bool {
        matches!(self, Self::KilledDatabase | Self::CutLines | Self::Clocks | Self::Backup)
    }

    /// Some cycles of it, on this kind of database.
    pub(crate) async fn run(self, plan: &Plan, database: TestDatabase) -> Option<Tally> {
        let kind = if database.is_postgres() { "PostgreSQL" } else { "SQLite" };
        let server = Server::of_environment();
        if self.needs_server() && (!database.is_postgres() || server.is_none()) {
            return None;
        }
        let what = format!("{}, {kind}", self.what());
        let mut tally = Tally::new(self.name(), what, plan.seed);
        let few = self.few(database.is_postgres());
        let cycles = plan.cycles.unwrap_or(if plan.is_asked_for { few.max(1) } else { few });
        if cycles == 0 {
            return None;
        }
        let of_limits = server.as_ref().filter(|_| self == Self::Limits);
        let (cluster, database) = match full::moved(of_limits, database).await {
            Ok(moved) => moved,
            Err(error) => return not_tried(self, &format!("no server of its own: {error:#}")),
        };
        // Before anybody opens it; and dropped, as all disks, before what lies on them.
        let small = match self {
            Self::Limits => limits::under(&database),
            _ => None,
        };
        let mut yard = Yard::bare(database).await;
        let (mut disks, mut clocks) = (None, None);
        match self {
            Self::KilledApi => yard.open(0).await,
            Self::Limits => {
                disks = Disks::under(&yard, small);
                if disks.is_none() {
                    return not_tried(self, "only root mounts small disks");
                }
                yard.open(RUNNERS).await;
            }
            Self::Clocks => {
                yard.open(0).await;
                clocks = FalseClocks::find();
                if clocks.is_none() {
                    return not_tried(self, "libfaketime is not installed");
                }
            }
            Self::Storm => storm::prepare(&mut yard).await,
            _ => yard.open(RUNNERS).await,
        }
        let patience = match self {
            Self::Storm => PATIENCE + A_RUN * plan.runs,
            _ => PATIENCE,
        };
        for nth in plan.from..plan.from + cycles {
            tally.cycles = nth;
            let mut chance = ChaCha8Rng::seed_from_u64(plan.seed);
            chance.set_stream((nth << 8) | self as u64);
            let mut cycle = Cycle { yard: &mut yard, chance, tally: &mut tally, nth, asked: 0 };
            let done = tokio::time::timeout(patience, async {
                match self {
                    Self::KilledRunner => runners::kill(&mut cycle).await,
                    Self::KilledApi => apis::kill(&mut cycle).await,
                    Self::KilledDatabase => {
                        let server = server.as_ref().expect("looked for above");
                        database::kill(&mut cycle, server).await
                    }
                    Self::LostShard => shards::lose(&mut cycle).await,
                    Self::Backup => {
                        let server = server.as_ref().expect("looked for above");
                        backup::restore(&mut cycle, server).await
                    }
                    Self::Limits => {
                        let disks = disks.as_ref().expect("mounted above");
                        limits::exhaust(&mut cycle, disks, cluster.as_ref()).await
                    }
                    Self::Clocks => {
                        let clocks = clocks.as_ref().expect("looked for above");
                        clocks::mislead(&mut cycle, clocks).await
                    }
                    Self::Storm => {
                        let runs = usize::try_from(plan.runs).unwrap_or_default();
                        storm::pass(&mut cycle, runs, plan.clients).await
                    }
                    Self::Versions => versions::migrate(&mut cycle).await,
                    Self::FrozenRunner => runners::freeze(&mut cycle).await,
                    Self::CutLines => lines::cut(&mut cycle).await,
                    Self::Restarts => restarts::restart(&mut cycle).await,
                    Self::Cancel => latency::cancel(&mut cycle).await,
                    Self::PickUp => latency::pick_up(&mut cycle).await,
                }
            });
            match done.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tally.violation(&format!("{error:#}")),
                Err(_) => tally.violation(&format!("not over within {patience:?}")),
            }
        }
        tally.cycles = cycles;
        drop(disks);
        Some(tally)
    }
}

fn not_tried(experiment: Experiment, why: &str) -> Option<Tally> {
    println!("{:<4} not tried: {why}", experiment.name());
    None
}

/// How often, and derived from what.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// The first cycle's number.
    pub(crate) from: u64,
    pub(crate) cycles: Option<u64>,
    /// Whether somebody named this experiment.
    pub(crate) is_asked_for: bool,
    /// Benchmarks of a storm.
    pub(crate) runs: u32,
    /// Clients who ask for them meanwhile, once a second each.
    pub(crate) clients: u64,
}

/// One cycle of an experiment.
struct Cycle<'a> {
    yard: &'a mut Yard,
    chance: ChaCha8Rng,
    tally: &'a mut Tally,
    nth: u64,
    /// How often it has asked for benchmarks.
    asked: usize,
}

impl Cycle<'_> {
    fn below(&mut self, most: usize) -> usize {
        self.chance.random_range(0..most)
    }

    fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.chance.random_range(from..to))
    }

    /// A key that no other request of this experiment has.
    fn key(&self, which: usize) -> String {
        format!("{}-{}-{}-{which}", self.tally.name, self.nth, self.asked)
    }

    /// Asks for `count` benchmarks of any targets, of one to three seconds.
    async fn submit(&mut self, count: usize, fields: &Value) -> anyhow::Result<Vec<i64>> {
        let targets = (0..count).map(|_| self.below(3)).collect::<Vec<_>>();
        self.submit_to(&targets, fields).await
    }

    /// The same for these targets.
    async fn submit_to(&mut self, targets: &[usize], fields: &Value) -> anyhow::Result<Vec<i64>> {
        let apis = self.yard.api_urls();
        self.asked += 1;
        let mut ids = Vec::new();
        for (which, target) in targets.iter().copied().enumerate() {
            let user = 1 + self.below(4);
            let mut asked = json!({"user": user, "duration": 1 + self.below(3)});
            let more = fields.as_object().cloned().unwrap_or_default();
            asked.as_object_mut().expect("an object").extend(more);
            let (key, target) = (self.key(which), self.yard.target(target));
            ids.push(self.yard.client.submit(&apis, &target, asked, &key).await?.0);
        }
        self.tally.benchmarks += u64::try_from(ids.len())?;
        Ok(ids)
    }

    /// Waits until all of these are over, and holds everything against the promises.
    async fn settle(&mut self, ids: &[i64], leeway: Leeway) -> anyhow::Result<Found> {
        for id in ids {
            self.yard.client.ended(&self.yard.api_urls(), *id).await?;
        }
        let found = check(self.yard, ids, leeway).await?;
        if !found.broken.is_empty() {
            self.tally.violation(&found.broken.join("\n  "));
        }
        for record in &found.records {
            let why = record.reason.as_deref().map(|reason| format!(" ({reason})"));
            self.tally.count(format!("{}{}", record.status, why.unwrap_or_default()));
        }
        Ok(found)
    }

    /// The same of benchmarks that must all complete, `when` it is.
    async fn complete(&mut self, ids: &[i64], when: &str) -> anyhow::Result<Found> {
        let found = self.settle(ids, Leeway::default()).await?;
        for record in found.records.iter().filter(|record| record.status != State::Completed) {
            let Record { id, status, reason, .. } = record;
            self.tally.violation(&format!("{when}, and benchmark {id} is {status}, {reason:?}"));
        }
        Ok(found)
    }
}

/// Unix milliseconds; all clocks here are this machine's.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "differences of a few minutes")]
fn since(then_ms: i64, ms: i64) -> f64 {
    (ms - then_ms) as f64
}
