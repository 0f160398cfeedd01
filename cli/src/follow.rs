//! A benchmark on a server, followed to its end.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::{
    failure::Failure,
    server::{Read, Server},
    watch::Watch,
};

/// How long a server may be away while a benchmark runs on it.
const ABSENCE: Duration = Duration::from_secs(30);
/// How long a benchmark may take to end once it has been asked to.
const GOODBYE: Duration = Duration::from_mins(1);
/// Least time between two reads.
const BREATH: Duration = Duration::from_millis(250);

/// A benchmark that has ended, or was left.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) read: Read,
    /// Whether it was asked to end from here.
    pub(crate) interrupted: bool,
}

/// Follows `submitted` to its end and shows it on the way; when `stop` is cancelled, asks the
/// server to cancel it and waits for what has been measured until then.
pub(crate) async fn to_its_end(
    server: &Server,
    submitted: Read,
    mut watch: Watch,
    stop: &CancellationToken,
) -> Result<Followed, Failure> {
    let id = submitted.benchmark.id;
    let mut read = submitted;
    let mut seen = Instant::now();
    // When this end was asked for, and whether the server knows.
    let (mut interrupted, mut told) = (None::<Instant>, false);
    while !read.benchmark.status.is_terminal() {
        watch.show(&read.benchmark.progress);
        if interrupted.is_some_and(|at| at.elapsed() > GOODBYE) {
            watch.say(&format!("benchmark {id} is still {}", read.benchmark.status));
            break;
        }
        let asked = Instant::now();
        let answer = if interrupted.is_some() && !told {
            server.cancel(id).await
        } else {
            tokio::select! {
                answer = server.get(id, 1) => answer,
                () = stop.cancelled(), if interrupted.is_none() => {
                    interrupted = Some(Instant::now());
                    watch.say(&format!("cancelling benchmark {id}; Ctrl-C again leaves it"));
                    continue;
                }
            }
        };
        match answer {
            Ok(newer) => {
                seen = Instant::now();
                told = interrupted.is_some();
                read = newer;
            }
            Err(Failure::Unreachable { .. }) if seen.elapsed() < ABSENCE => {}
            // It ended before it could be cancelled; the next read says how.
            Err(Failure::Refused(problem)) if interrupted.is_some() && problem.status == 409 => {
                told = true;
            }
            Err(failure) => {
                watch.end();
                return Err(failure);
            }
        }
        if !read.benchmark.status.is_terminal() {
            tokio::time::sleep(BREATH.saturating_sub(asked.elapsed())).await;
        }
    }
    watch.end();
    Ok(Followed { read, interrupted: interrupted.is_some() })
}
