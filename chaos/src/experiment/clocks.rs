//! Clocks of runners that jump, that run too fast or too slow, and a database's that is far away.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use shared::State;
use tempfile::TempDir;
use tokio::time::sleep;

use super::{Cycle, shards};
use crate::{
    checker::{Leeway, Record},
    proxy::Weather,
    yard::RUNNERS,
};

/// What clocks are set to: as an offset to what they show, for libfaketime.
const JUMPS: [&str; 4] = ["+1h", "-1h", "+1s", "-1s"];
/// How fast clocks run: off by 500 ppm, as bad ones are; and by 2 %, as none is.
const RATES: [[(&str, &str); 2]; 2] = [
    [("+0 x1.0005", "500 ppm fast"), ("+0 x0.9995", "500 ppm slow")],
    [("+0 x1.02", "2 % fast"), ("+0 x0.98", "2 % slow")],
];

/// How late everything is between a runner and a database that is too far away, each way.
const FAR: Duration = Duration::from_millis(60);

/// The library that tells lies about the time, and the files that tell it which.
pub(super) struct FalseClocks {
    library: String,
    folder: TempDir,
}

impl FalseClocks {
    /// None where libfaketime is not installed.
    pub(super) fn find() -> Option<Self> {
        let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
            .map(|machine| format!("/usr/lib/{machine}/faketime/libfaketimeMT.so.1"));
        let library = library.into_iter().find(|library| Path::new(library).exists())?;
        Some(Self { library, folder: tempfile::tempdir().ok()? })
    }

    /// What a runner of this number is started with. `is_monotonic`: the clock that only goes on is
    /// none the better.
    fn settings(&self, runner: usize, is_monotonic: bool) -> Vec<(String, String)> {
        let mut settings = vec![
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.file(runner).display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
        ];
        if !is_monotonic {
            settings.push(("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()));
            settings.push(("DONT_FAKE_MONOTONIC", "1".to_owned()));
        }
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn set(&self, runner: usize, lie: &str) -> std::io::Result<()> {
        std::fs::write(self.file(runner), format!("{lie}\n"))
    }

    fn file(&self, runner: usize) -> PathBuf {
        self.folder.path().join(format!("clock-{runner}"))
    }
}

/// What is wrong in a cycle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// Clocks jump while something runs, and back again.
    Jumps,
    /// They run too fast or too slow all along.
    Rate([(&'static str, &'static str); 2]),
    /// They are right, but who asks the database for its own hears of it too late to know it.
    Far,
}

impl Wrong {
    /// What it is in the cycle of this number, and the number among those of its kind.
    fn of(nth: u64) -> (Self, usize) {
        let which = usize::try_from(nth / 4).unwrap_or_default();
        match nth % 4 {
            1 => (Self::Rate(RATES[0]), which),
            2 => (Self::Far, which),
            3 => (Self::Rate(RATES[1]), which),
            _ => (Self::Jumps, which),
        }
    }
}

/// E8: the clock of each runner is wrong in a way of its own. Who holds what is judged by the
/// database's clock, and how long it is since by one that does not jump: nothing happens, and runners
/// that make a load together begin it together. Or not at all, where they cannot know when that is.
pub(super) async fn mislead(cycle: &mut Cycle<'_>, clocks: &FalseClocks) -> anyhow::Result<()> {
    cycle.yard.watch_arrivals();
    let (wrong, which) = Wrong::of(cycle.nth);
    let usual = cycle.yard.settings.clone();
    for runner in 0..RUNNERS {
        let lie = match wrong {
            Wrong::Rate(rates) => rates[runner % rates.len()].0,
            Wrong::Jumps | Wrong::Far => "+0",
        };
        clocks.set(runner, lie)?;
        cycle.yard.settings = clocks.settings(runner, matches!(wrong, Wrong::Rate(_)));
        if cycle.yard.runners.len() == runner {
            cycle.yard.hire(1).await;
        } else {
            cycle.yard.runners[runner].process.terminate();
            _ = cycle.yard.runners[runner].process.ended().await;
            cycle.yard.replace_runner(runner).await;
        }
        if let (Wrong::Far, Some(line)) = (wrong, &cycle.yard.runners[runner].line) {
            line.set(Weather::Late(FAR));
        }
    }
    cycle.yard.settings = usual;
    let together =
        json!({"runners": RUNNERS, "user": 6, "spawnrate": shards::AT_ONCE, "duration": 3});
    let together = cycle.submit_to(&[0], &together).await?;
    if wrong == Wrong::Far {
        return never_begun(cycle, &together).await;
    }
    let alone = cycle.submit(3, &json!({"duration": 3})).await?;
    let (wait, lasts) = (cycle.ms(200, 4_500), cycle.ms(200, 3_000));
    sleep(wait).await;
    if let Wrong::Rate(rates) = wrong {
        for runner in 0..RUNNERS {
            cycle.tally.count(rates[runner % rates.len()].1);
        }
    } else {
        for runner in 0..RUNNERS {
            let jump = JUMPS[(which + runner) % JUMPS.len()];
            clocks.set(runner, jump)?;
            cycle.tally.count(format!("jumps of {jump}"));
        }
        sleep(lasts).await;
        for runner in 0..RUNNERS {
            clocks.set(runner, "+0")?;
        }
    }
    cycle.complete(&alone, "clocks are wrong").await?;
    let found = cycle.complete(&together, "clocks are wrong").await?;
    // What is read of the database's clock some seconds before the beginning is off by then.
    let is_trusted = wrong != Wrong::Rate(RATES[1]);
    shards::begun_together(cycle, &found.records[0], is_trusted);
    Ok(())
}

/// Runners that do not know the database's clock to 50 ms do not begin `together`, and any load alone.
async fn never_begun(cycle: &mut Cycle<'_>, together: &[i64]) -> anyhow::Result<()> {
    cycle.tally.count("too far away");
    let found = cycle.settle(together, Leeway::default()).await?;
    let record = &found.records[0];
    let refused = record.reason.as_deref() == Some("gather_timeout");
    let sent: u64 = found.calls_of(record.id).map(|call| call.requests).sum();
    if record.status != State::Failed || !refused || sent > 0 {
        let Record { id, status, reason, .. } = record;
        let told = format!("benchmark {id} is {status}, {reason:?}, with {sent} requests");
        cycle.tally.violation(&told);
    }
    let alone = cycle.submit(3, &json!({"duration": 3})).await?;
    cycle.complete(&alone, "the database is far away").await?;
    for runner in &cycle.yard.runners {
        if let Some(line) = &runner.line {
            line.set(Weather::Clear);
        }
    }
    Ok(())
}
