//! Clocks of runners that jump, and clocks that run too fast or too slow.

use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

use super::{Cycle, shards};
use crate::yard::RUNNERS;

/// What clocks are set to: as an offset to what they show, for libfaketime.
const JUMPS: [&str; 4] = ["+1h", "-1h", "+1s", "-1s"];
/// How fast clocks run: off by 500 ppm, as bad ones are; and by 2 %, as none is.
const RATES: [[(&str, &str); 2]; 2] = [
    [("+0 x1.0005", "500 ppm fast"), ("+0 x0.9995", "500 ppm slow")],
    [("+0 x1.02", "2 % fast"), ("+0 x0.98", "2 % slow")],
];

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

/// E8: the clock of each runner is wrong in a way of its own. Every other time all jump while they
/// run something, and back again; else they run too fast or too slow all along. Who holds what is
/// judged by the database's clock, and how long it is since by one that does not jump: nothing
/// happens, and runners that make a load together begin it together.
pub(super) async fn mislead(cycle: &mut Cycle<'_>, clocks: &FalseClocks) -> anyhow::Result<()> {
    cycle.yard.watch_arrivals();
    let jumps = cycle.nth.is_multiple_of(2);
    let first = usize::try_from(cycle.nth / 2)?;
    let rates = RATES[first % RATES.len()];
    let usual = cycle.yard.settings.clone();
    for runner in 0..RUNNERS {
        clocks.set(runner, if jumps { "+0" } else { rates[runner % rates.len()].0 })?;
        cycle.yard.settings = clocks.settings(runner, !jumps);
        if cycle.yard.runners.len() == runner {
            cycle.yard.hire(1).await;
        } else {
            cycle.yard.runners[runner].process.terminate();
            _ = cycle.yard.runners[runner].process.ended().await;
            cycle.yard.replace_runner(runner).await;
        }
    }
    cycle.yard.settings = usual;
    let together =
        json!({"runners": RUNNERS, "user": 6, "spawnrate": shards::AT_ONCE, "duration": 3});
    let mut ids = cycle.submit_to(&[0], &together).await?;
    ids.extend(cycle.submit(3, &json!({"duration": 3})).await?);
    let (wait, lasts) = (cycle.ms(200, 4_500), cycle.ms(200, 3_000));
    sleep(wait).await;
    if jumps {
        for runner in 0..RUNNERS {
            let jump = JUMPS[(first + runner) % JUMPS.len()];
            clocks.set(runner, jump)?;
            cycle.tally.count(format!("jumps of {jump}"));
        }
        sleep(lasts).await;
        for runner in 0..RUNNERS {
            clocks.set(runner, "+0")?;
        }
    } else {
        for runner in 0..RUNNERS {
            cycle.tally.count(rates[runner % rates.len()].1);
        }
    }
    cycle.complete(&ids, "clocks are wrong").await?;
    // What is read of the database's clock some seconds before the beginning is off by then.
    let is_far_off = !jumps && first % RATES.len() == 1;
    shards::begun_together(cycle, ids[0], !is_far_off);
    Ok(())
}
