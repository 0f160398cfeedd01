//! Clocks of runners that jump.

use std::path::{Path, PathBuf};

use serde_json::json;
use shared::State;

use super::Cycle;
use crate::{checker::Leeway, yard::Yard};

/// What a clock is set to: as an offset to what it shows, for libfaketime.
const JUMPS: [&str; 4] = ["+1h", "-1h", "+1s", "-1s"];

/// The file that tells the runners' clocks how far off they are.
pub(super) struct FalseClocks {
    offset: PathBuf,
}

impl FalseClocks {
    /// For all who start in `yard` from now on; none where libfaketime is not installed.
    pub(super) fn on(yard: &mut Yard) -> Option<Self> {
        let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
            .map(|machine| format!("/usr/lib/{machine}/faketime/libfaketimeMT.so.1"));
        let library = library.into_iter().find(|library| Path::new(library).exists())?;
        let clocks = Self { offset: yard.data.path().join("clock") };
        clocks.set("+0").ok()?;
        let settings = [
            ("LD_PRELOAD", library),
            ("FAKETIME_TIMESTAMP_FILE", clocks.offset.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        yard.settings.extend(settings.map(|(name, value)| (name.to_owned(), value)));
        Some(clocks)
    }

    fn set(&self, offset: &str) -> std::io::Result<()> {
        std::fs::write(&self.offset, format!("{offset}\n"))
    }
}

/// E8: the runners' clocks jump while they run something, and back again. Who holds what is judged
/// by the database's clock, and how long it is since by one that does not jump: nothing happens.
pub(super) async fn jump(cycle: &mut Cycle<'_>, clocks: &FalseClocks) -> anyhow::Result<()> {
    let ids = cycle.submit(4, &json!({"duration": 3})).await?;
    let (wait, lasts) = (cycle.ms(200, 2_500), cycle.ms(200, 3_000));
    let jump = JUMPS[usize::try_from(cycle.nth)? % JUMPS.len()];
    tokio::time::sleep(wait).await;
    clocks.set(jump)?;
    tokio::time::sleep(lasts).await;
    clocks.set("+0")?;
    cycle.tally.count(jump);
    let found = cycle.settle(&ids, Leeway::default()).await?;
    for record in found.records.iter().filter(|record| record.status != State::Completed) {
        let told = format!("benchmark {} is {} after {jump}", record.id, record.status);
        cycle.tally.violation(&told);
    }
    Ok(())
}
