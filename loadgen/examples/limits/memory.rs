//! How much memory this process holds.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Resident memory of this process, in KiB.
pub fn resident_kib() -> anyhow::Result<u32> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or_else(|| anyhow::anyhow!("no VmRSS in /proc/self/status"))?.parse()?)
}

/// Watches for the most that is resident.
pub struct Peak {
    most: Arc<AtomicU32>,
    over: Arc<AtomicBool>,
    watcher: JoinHandle<()>,
}

impl Peak {
    /// Begins to look, ten times a second.
    pub fn watch() -> Self {
        let (most, over) = (Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
        let (seen, stop) = (Arc::clone(&most), Arc::clone(&over));
        let watcher = thread::spawn(move || {
            while !stop.load(Relaxed) {
                seen.fetch_max(resident_kib().unwrap_or_default(), Relaxed);
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self { most, over, watcher }
    }

    /// The most seen, in KiB.
    pub fn kib(self) -> u32 {
        self.over.store(true, Relaxed);
        let _ = self.watcher.join();
        self.most.load(Relaxed)
    }
}
