//! Endurance: many short runs one after another, and what the processes and the tables grow by.
//!
//! Time is scaled by the number of runs: 20,000 are what a day brings. What is thrown away after a
//! day is made a day older at each look.

use std::{fmt::Write as _, process::ExitCode, time::Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use testkit::{TestDatabase, process::get};
use tokio::time::{Duration, sleep};

use crate::{
    checker::ask,
    process::{files, memory_kib, threads},
    yard::{RUNNERS, Yard},
};

/// Runs that wait or run, at any time.
const IN_THE_QUEUE: i64 = 12;
/// Looks at everything, in all.
const LOOKS: u32 = 20;
/// The first of them, after which all that is kept for ever is there: pools, caches, arenas.
const WARM_UP: usize = 6;
/// Growth of a process that is let pass, in KiB for each 1,000 runs: 1 MiB an hour, where 20,000
/// runs are a day.
const MOST_KIB: f64 = 1_024.0 * 24.0 / 20.0;
/// Growth that is noise, whatever the number of runs: an allocator keeps that much or gives it back.
const NOISE_KIB: f64 = 6.0 * 1_024.0;
/// Files, threads and tasks that may come and go with connections.
const MORE_OR_LESS: u64 = 10;
/// Rows that each run leaves in a table, at most: for ever, and until they are thrown away.
const ROWS: [(&str, f64); 8] = [
    ("benchmark", 1.0),
    ("benchmark_target", 1.0),
    ("benchmark_event", 3.0),
    ("benchmark_series", 1.0),
    ("benchmark_histogram", 1.0),
    ("benchmark_artifact", 1.0),
    ("benchmark_secret", 0.0),
    ("benchmark_partial", 0.0),
];

/// One look at a process.
#[derive(Clone, Copy)]
struct Look {
    runs: f64,
    kib: f64,
    files: u64,
    threads: u64,
    /// Of its runtime.
    tasks: u64,
}

/// What of a look stays flat.
type Count = fn(&Look) -> u64;

pub(crate) async fn run(runs: u32, database: &str) -> ExitCode {
    match soak(runs, database).await {
        Ok(broken) if broken.is_empty() => ExitCode::SUCCESS,
        Ok(broken) => {
            for told in broken {
                println!("VIOLATION {told}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What grew by more than it may.
async fn soak(runs: u32, database: &str) -> anyhow::Result<Vec<String>> {
    let database = match database {
        "sqlite" => TestDatabase::sqlite().await,
        _ => TestDatabase::postgres().await.context("TEST_POSTGRES_URL is not set")?,
    };
    let mut yard = Yard::bare(database).await;
    yard.settings.push(("METRICS_ADDRESS".to_owned(), "127.0.0.1:0".to_owned()));
    yard.open(RUNNERS).await;
    let mut metrics: Vec<String> =
        yard.apis.iter().map(|api| format!("{}/metrics", api.url)).collect();
    for runner in &mut yard.runners {
        metrics.push(runner.process.url("telling metrics on").await);
    }
    let names: Vec<String> = (0..yard.apis.len())
        .map(|nth| format!("api {nth}"))
        .chain((0..yard.runners.len()).map(|nth| format!("runner {nth}")))
        .collect();
    let mut looks: Vec<Vec<Look>> = vec![Vec::new(); names.len()];
    let (begun, mut submitted, mut most_tickets) = (Instant::now(), 0, 0);
    println!("runs, then MiB/files/threads/tasks of {}, then tickets", names.join(", "));
    for nth in 1..=LOOKS {
        let until = i64::from(runs) * i64::from(nth) / i64::from(LOOKS);
        work_off(&yard, &mut submitted, until).await?;
        let mut line = format!("{until:>7}");
        let members = yard.apis.iter().chain(&yard.runners);
        for ((looks, member), metrics) in looks.iter_mut().zip(members).zip(&metrics) {
            let tasks = tasks(metrics).await.context("a process tells no tasks")?;
            let look = look(member.process.id(), until, tasks).context("a process has ended")?;
            let Look { kib, files, threads, tasks, .. } = look;
            write!(line, " {:>6.1}/{files}/{threads}/{tasks}", kib / 1024.0)?;
            looks.push(look);
        }
        let tickets = a_day_passes(&yard).await?;
        most_tickets = tickets.max(most_tickets);
        println!("{line} {tickets:>5}");
    }
    let took = begun.elapsed();
    println!("{runs} runs in {took:.0?}, {:.1} a second", f64::from(runs) / took.as_secs_f64());
    let mut broken = Vec::new();
    for (name, looks) in names.iter().zip(&looks) {
        broken.extend(grown(name, &looks[WARM_UP..]));
    }
    broken.extend(rows(&yard, runs).await?);
    // Those of two looks: one that has just been, and one that is not a day old.
    let most = 3 * i64::from(runs) / i64::from(LOOKS) * 2 + 100;
    if most_tickets > most {
        broken.push(format!("{most_tickets} tickets were kept at a time, {most} may be"));
    }
    Ok(broken)
}

/// Keeps the queue filled until so many runs are over.
async fn work_off(yard: &Yard, submitted: &mut i64, until: i64) -> anyhow::Result<()> {
    let apis = yard.api_urls();
    let open = "SELECT count(*) FROM benchmark WHERE finished_at_ms IS NULL";
    let begun = Instant::now();
    loop {
        let waiting: i64 = ask(yard, open).await?[0].try_get_by_index(0)?;
        if waiting == 0 && *submitted == until {
            return Ok(());
        }
        let more = (IN_THE_QUEUE - waiting).min(until - *submitted);
        for _ in 0..more {
            *submitted += 1;
            let (key, target) =
                (format!("soak-{submitted}"), yard.target(usize::try_from(*submitted)?));
            let fields = json!({"user": 1, "duration": 1, "max_requests": 2});
            yard.client.submit(&apis, &target, fields, &key).await?;
        }
        ensure!(begun.elapsed() < Duration::from_hours(6), "{waiting} runs do not end");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Tasks that live, as the process tells at this URL.
async fn tasks(metrics: &str) -> Option<u64> {
    let told = get(metrics).await?;
    told.lines().find_map(|line| line.strip_prefix("llm_bench_tasks "))?.parse().ok()
}

fn look(process: u32, runs: i64, tasks: u64) -> Option<Look> {
    #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
    Some(Look {
        runs: runs as f64,
        kib: memory_kib(process)? as f64,
        files: files(process)?,
        threads: threads(process)?,
        tasks,
    })
}

/// Makes tickets and keys a day older, and has everything thrown away that is old enough; how many
/// tickets there were.
async fn a_day_passes(yard: &Yard) -> anyhow::Result<i64> {
    let (jobs, older, waiting) = if yard.is_postgres() {
        (
            "apalis.jobs",
            "done_at = done_at - interval '25 hours'",
            "run_at = run_at - interval '25 hours'",
        )
    } else {
        ("Jobs", "done_at = done_at - 90000", "run_at = run_at - 90000")
    };
    let count = format!("SELECT count(*) FROM {jobs}");
    let tickets: i64 = ask(yard, &count).await?[0].try_get_by_index(0)?;
    ask(yard, &format!("UPDATE {jobs} SET {older} WHERE done_at IS NOT NULL")).await?;
    ask(yard, &format!("UPDATE {jobs} SET {waiting} WHERE done_at IS NULL")).await?;
    ask(yard, "UPDATE chore SET due_at_ms = 0").await?;
    let due = "SELECT count(*) FROM chore WHERE due_at_ms = 0";
    let begun = Instant::now();
    while ask(yard, due).await?[0].try_get_by_index::<i64>(0)? > 0 {
        ensure!(begun.elapsed() < Duration::from_secs(30), "nobody sweeps");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(tickets)
}

/// What of a process grows from look to look.
fn grown(name: &str, looks: &[Look]) -> Vec<String> {
    let mut broken = Vec::new();
    let kib = slope(looks) * 1_000.0;
    let runs = looks.last().map_or(0.0, |last| last.runs - looks[0].runs);
    println!("{name}: {kib:+.0} KiB each 1,000 runs");
    if kib > MOST_KIB && kib * runs / 1_000.0 > NOISE_KIB {
        broken.push(format!("{name} grows by {kib:.0} KiB each 1,000 runs, {MOST_KIB:.0} may be"));
    }
    let half = looks.len() / 2;
    let counted: [(&str, Count); 3] = [
        ("files", |look| look.files),
        ("threads", |look| look.threads),
        ("tasks", |look| look.tasks),
    ];
    for (what, of) in counted {
        let most = |looks: &[Look]| looks.iter().map(of).max().unwrap_or(0);
        let (before, after) = (most(&looks[..half]), most(&looks[half..]));
        if after > before + MORE_OR_LESS {
            broken.push(format!("{name} had {before} {what}, then {after}"));
        }
    }
    broken
}

/// Memory by runs: the line that fits the looks best.
fn slope(looks: &[Look]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "some twenty")]
    let count = looks.len() as f64;
    let mean = |of: fn(&Look) -> f64| looks.iter().map(of).sum::<f64>() / count;
    let (runs, kib) = (mean(|look| look.runs), mean(|look| look.kib));
    let both: f64 = looks.iter().map(|look| (look.runs - runs) * (look.kib - kib)).sum();
    let square: f64 = looks.iter().map(|look| (look.runs - runs).powi(2)).sum();
    both / square
}

/// Tables that have more than each run may leave.
async fn rows(yard: &Yard, runs: u32) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    for (table, each) in ROWS {
        let count = format!("SELECT count(*) FROM {table}");
        let rows: i64 = ask(yard, &count).await?[0].try_get_by_index(0)?;
        println!("{table}: {rows} rows");
        #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
        if rows as f64 > each * f64::from(runs) {
            broken.push(format!("{table} has {rows} rows after {runs} runs"));
        }
    }
    let unfinished = "SELECT count(*) FROM benchmark WHERE status <> 'completed'";
    let others: i64 = ask(yard, unfinished).await?[0].try_get_by_index(0)?;
    if others > 0 {
        broken.push(format!("{others} runs did not complete"));
    }
    Ok(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(kib: impl Fn(f64) -> f64) -> Vec<Look> {
        let runs = (1..=14).map(|nth| f64::from(nth) * 1_000.0);
        runs.map(|runs| Look { runs, kib: kib(runs), files: 20, threads: 4, tasks: 30 }).collect()
    }

    #[test]
    fn what_grows_is_told_and_what_goes_up_and_down_is_not() {
        assert!(grown("flat", &looks(|_| 50_000.0)).is_empty());
        assert!(grown("wavy", &looks(|runs| 50_000.0 + 3_000.0 * (runs / 700.0).sin())).is_empty());
        assert_eq!(grown("leak", &looks(|runs| 50_000.0 + 2.0 * runs)).len(), 1);
        let mut leaking = looks(|_| 50_000.0);
        for (nth, look) in (0..).zip(&mut leaking) {
            look.files += 3 * nth;
            look.threads += nth * 4;
            look.tasks += nth * 2;
        }
        assert_eq!(grown("files", &leaking).len(), 3);
    }
}
