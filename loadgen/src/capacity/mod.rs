//! What this machine can bear: a short load on a server of our own that costs next to nothing.
//!
//! The CPU time of an event hardly depends on how many there are (docs/limits.md). So a light load
//! tells what a heavy one would take, and disturbs nothing else that this machine does.

pub mod null_target;

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use serde_json::json;
use shared::{
    BenchmarkSpec, Capacity, FieldError, Report, Seed,
    request::{Defaults, Fields, NewBenchmark},
};
use target::Egress;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::null_target::Rhythm;
use crate::{Control, PrepareError, Settings, Snapshot, engine, prepare, socket_capacity};

/// Streams of the load, where open files allow as many.
const STREAMS: u32 = 500;
/// Events of each.
const EVENTS: u32 = 40;
/// When they come: 25,000 a second in all, for 0.8 s.
const RHYTHM: Rhythm = Rhythm { first: Duration::from_millis(20), each: Duration::from_millis(20) };
/// How long it may take where the machine is busy with something else.
const LONGEST: Duration = Duration::from_secs(10);

/// Share of its core that a load thread may use: above, its clock begins to be late.
const MOST_CPU: f64 = 0.6;
/// What a stream is taken to bring: servers that answer thousands at once write no faster.
const EVENTS_OF_A_STREAM_PER_S: f64 = 10.0;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum CapacityError {
    /// There is no server to measure against.
    #[error("a server of our own cannot be started")]
    Server(#[source] std::io::Error),
    /// The load is refused.
    #[error("the load is refused: {}", .0.iter().map(|e| e.detail.as_str()).collect::<Vec<_>>().join("; "))]
    Refused(Vec<FieldError>),
    /// The load could not begin.
    #[error("the load cannot begin")]
    Prepare(#[from] PrepareError),
    /// The machine is busy with something else.
    #[error("not done after {LONGEST:?}")]
    TooSlow,
    /// Streams broke off.
    #[error("{0} of {1} streams were answered")]
    Unanswered(u64, u32),
    /// The system does not tell.
    #[error("the system does not tell the CPU time of a thread")]
    NoCpuTime,
}

/// Measures what this machine bears with `settings`' threads, in about a second. One thread is
/// loaded, to some 20 %, and all are taken to be like it: they share nothing.
///
/// # Panics
///
/// If the policy that allows this machine, which is written in the code, could not be read.
pub async fn measure(settings: &Settings) -> Result<Capacity, CapacityError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(CapacityError::Server)?;
    let address = listener.local_addr().map_err(CapacityError::Server)?;
    let stop = CancellationToken::new();
    // Whoever drops this future ends both.
    let _over = stop.clone().drop_guard();
    let until = stop.clone();
    std::thread::Builder::new()
        .name("null-target".to_owned())
        .spawn(move || {
            if let Err(error) = null_target::serve(listener, RHYTHM, &until) {
                tracing::warn!(%error, "the self-test's server has ended");
            }
        })
        .map_err(CapacityError::Server)?;

    let threads = engine::load_threads(settings.load_threads).min(engine::cores());
    // Both ends of a stream are in this process.
    let streams = u32::try_from(socket_capacity() / 2).unwrap_or(STREAMS).clamp(1, STREAMS);
    let settings = Settings {
        egress: Egress::new(Egress::LOCAL, Vec::new()).expect("its own words are valid"),
        load_threads: Some(1),
        label: "self-test".to_owned(),
        ..settings.clone()
    };
    let driven = async {
        let prepared = prepare(load(address, streams)?, None, &settings).await?;
        let snapshots = watch::Sender::new(Snapshot::default());
        let control = Control { stop: stop.clone(), snapshots };
        Ok::<_, CapacityError>(prepared.run(control).await.report)
    };
    let report = tokio::time::timeout(LONGEST, Box::pin(driven)).await;
    let report = report.map_err(|_| CapacityError::TooSlow)??;
    if report.requests.completed != u64::from(streams) {
        return Err(CapacityError::Unanswered(report.requests.completed, streams));
    }
    let cpu_us_per_event = cpu_us_per_event(&report).ok_or(CapacityError::NoCpuTime)?;
    Ok(capacity(cpu_us_per_event, threads))
}

/// All streams at once, each a single answer.
fn load(target: SocketAddr, streams: u32) -> Result<BenchmarkSpec, CapacityError> {
    let asked = json!({
        "url": format!("http://{target}"), "arrival": "all_at_once", "max_requests": streams,
        "max_tokens": EVENTS, "min_tokens": 0, "duration": LONGEST.as_secs(), "grace": 0,
        "scrape": false,
    });
    let fields = asked.as_object().into_iter().flatten();
    let fields: Fields = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    let seed = Seed::try_from(1).expect("one is within the limits");
    let new = NewBenchmark::parse(&fields, &Defaults::default(), seed);
    new.map(|new| new.spec).map_err(CapacityError::Refused)
}

/// CPU time of the load thread for each event.
#[expect(clippy::cast_precision_loss, reason = "a count of events")]
fn cpu_us_per_event(report: &Report) -> Option<f64> {
    let cpu_s = report.validity.cpu_share? * report.window.measured_s;
    Some(cpu_s * 1e6 / report.tokens.output as f64).filter(|us| us.is_finite() && *us > 0.0)
}

/// What `threads` bear to which an event costs so much.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both are positive, and what is too large is the largest"
)]
fn capacity(cpu_us_per_event: f64, threads: u32) -> Capacity {
    let events_per_s = f64::from(threads) * MOST_CPU * 1e6 / cpu_us_per_event;
    Capacity {
        streams: (events_per_s / EVENTS_OF_A_STREAM_PER_S).max(1.0) as u32,
        events_per_s: events_per_s as u32,
        cpu_us_per_event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_threads_bear_twice_as_much_and_twice_the_cost_half() {
        let one = capacity(6.0, 1);
        assert_eq!((one.events_per_s, one.streams), (100_000, 10_000));
        assert_eq!(capacity(6.0, 2).streams, 20_000);
        assert_eq!(capacity(12.0, 1).streams, 5_000);
    }
}
