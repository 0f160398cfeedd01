//! What this machine gives: open files, CPU time, its name.

use std::time::Duration;

use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        utsname::uname,
    },
    time::{ClockId, clock_gettime},
};

/// Files that are open beside one socket a user: database, epoll, logs, the rest of the process.
const FILES_BESIDE_SOCKETS: u64 = 128;

/// Raises the soft limit of open files to the hard one; the number of sockets that leaves room for.
pub fn socket_capacity() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    let raised = soft == hard || setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    (if raised { hard } else { soft }).saturating_sub(FILES_BESIDE_SOCKETS)
}

/// CPU time that the calling thread has used.
pub(crate) fn thread_cpu() -> Option<Duration> {
    cpu(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time that this process has used.
pub(crate) fn process_cpu() -> Option<Duration> {
    cpu(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

fn cpu(clock: ClockId) -> Option<Duration> {
    clock_gettime(clock).ok().map(Duration::from)
}

/// Cores this process may use.
pub(crate) fn cores() -> u32 {
    std::thread::available_parallelism()
        .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

/// Host name and kernel.
pub(crate) fn host_and_kernel() -> (String, String) {
    let Ok(name) = uname() else { return Default::default() };
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    (text(name.nodename()), format!("{} {}", text(name.sysname()), text(name.release())))
}
