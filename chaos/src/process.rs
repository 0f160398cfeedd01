//! What the system says of a process.

use std::fs;

/// Memory that it has now, in KiB.
pub(crate) fn memory_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Files that it has open, connections among them.
pub(crate) fn files(process: u32) -> Option<u64> {
    entries(&format!("/proc/{process}/fd"))
}

pub(crate) fn threads(process: u32) -> Option<u64> {
    entries(&format!("/proc/{process}/task"))
}

fn entries(folder: &str) -> Option<u64> {
    u64::try_from(fs::read_dir(folder).ok()?.count()).ok()
}
