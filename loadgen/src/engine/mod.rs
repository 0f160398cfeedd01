//! Starts load, bounds it, ends it.
//!
//! The only place that spawns. Load runs on threads of its own, each with a runtime that does
//! nothing else; a further thread, the analyst, counts tokens and makes the figures. Whoever calls
//! [`Prepared::run`] may sit on any runtime: what happens there does not touch the measurement.

mod analyst;
mod brake;
mod deadline;
mod handicap;
mod kept;
mod live;
mod load_thread;
mod machine;
mod measured;
mod onlooker;
mod open_loop;
mod prepare;
mod readiness;
mod room;
mod scribe;
mod sender;
mod shared_connections;
mod targets;
#[cfg(test)]
mod tests;
mod user;

use std::{
    fmt::Write,
    sync::{Arc, mpsc},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use shared::{
    Progress, Reason, ReasonCode, Report, SecondRow, Timestamp,
    report::{Histograms, Stopped, StoppedBy},
};
use target::client::Clock;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use self::deadline::Deadline;
pub use self::handicap::Handicap;
pub(crate) use self::live::Live;
pub(crate) use self::machine::cores;
pub use self::machine::socket_capacity;
pub use self::measured::Measured;
pub(crate) use self::prepare::load_threads;
pub use self::prepare::{Driver, PrepareError, Prepared, Settings, prepare};
pub(crate) use self::shared_connections::SharedConnections;
use self::{
    analyst::Analyst,
    brake::Brake,
    deadline::Permit,
    load_thread::{Crew, LoadThread},
    onlooker::Onlooker,
    room::{Budget, Room},
    scribe::Scribe,
};

use crate::metrics::Figures;

/// Between the threads' start and the first request, so that all of them are ready.
const RUN_UP: Duration = Duration::from_millis(30);

/// How a caller watches and stops a run.
pub struct Control {
    /// Cancelled: no further request leaves, open ones are cut off, the figures so far are kept.
    pub stop: CancellationToken,
    /// Where the run tells how it goes, about once a second.
    pub snapshots: watch::Sender<Snapshot>,
}

/// A run while it runs.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// How it goes.
    pub progress: Progress,
    /// The figures so far; none before the first.
    pub partial: Option<Arc<(Report, Vec<SecondRow>)>>,
    /// What they are made of, where others make the same load: it can be put together with theirs.
    pub measured: Option<Arc<Measured>>,
}

/// A run that is over.
#[derive(Debug)]
pub struct Outcome {
    /// The figures.
    pub report: Report,
    /// One row a second.
    pub series: Vec<SecondRow>,
    /// The samples behind the figures.
    pub histograms: Histograms,
    /// What all of these are made of.
    pub measured: Box<Measured>,
    /// The last word on how it went.
    pub progress: Progress,
    /// Whether its caller stopped it.
    pub stopped: bool,
    /// The largest share of failed requests that was allowed; none: any.
    pub max_error_rate: Option<f64>,
}

impl Outcome {
    /// The same with what others measured of the same run.
    pub fn join<'a>(&mut self, others: impl IntoIterator<Item = &'a Figures>) {
        self.measured.join(others);
        let recorded = self.report.recorded.take();
        self.report = Report { recorded, ..self.measured.report() };
        self.series = self.measured.series();
        self.histograms = self.measured.histograms();
    }

    /// Why this run is a failure, if it is one: not a single request was answered, or too many
    /// failed.
    pub fn failure(&self) -> Option<Reason> {
        if self.stopped {
            return None;
        }
        self.unanswered().or_else(|| self.too_many_failed())
    }

    fn too_many_failed(&self) -> Option<Reason> {
        let most = self.max_error_rate?;
        let stopped = self.report.stopped.as_ref();
        let stopped = stopped.filter(|stopped| stopped.by == StoppedBy::ErrorRate);
        let mut detail = if let Some(Stopped { at_s, detail, .. }) = stopped {
            format!("stopped after {at_s:.1} s: {detail}")
        } else {
            let requests = &self.report.requests;
            let rate = requests.error_rate.filter(|rate| *rate > most)?;
            let (failed, ended) = (requests.failed, requests.failed + requests.completed);
            let (rate, most) = (rate * 100.0, most * 100.0);
            format!(
                "{failed} of {ended} requests failed ({rate:.1} %), above max_error_rate {most} %"
            )
        };
        if let Some(most) = self.report.failures.first() {
            let _ = write!(detail, "; {} are `{}`: {}", most.count, most.class, most.sample);
        }
        Some(Reason::new(ReasonCode::ErrorRate, detail))
    }

    fn unanswered(&self) -> Option<Reason> {
        let requests = &self.report.requests;
        if requests.completed > 0 {
            return None;
        }
        let detail = match self.report.failures.first() {
            Some(most) => format!(
                "none of {} requests was answered; {} of {} failures are `{}`: {}",
                requests.started, most.count, requests.failed, most.class, most.sample
            ),
            None => format!(
                "none of {} requests was over when the run ended; allow more duration or grace",
                requests.started
            ),
        };
        Some(Reason::new(ReasonCode::AllRequestsFailed, detail))
    }
}

impl Prepared {
    /// The same with a handicap, for measuring the instrument itself.
    #[must_use]
    pub fn under(self, handicap: Handicap) -> Self {
        Self { handicap, ..self }
    }

    /// The same, as long as `deadline` lets requests leave.
    #[must_use]
    pub fn until(self, deadline: Deadline) -> Self {
        Self { deadline, ..self }
    }

    /// Drives the load to its end, or until it is stopped.
    ///
    /// # Panics
    ///
    /// Where the system starts no more threads.
    pub async fn run(mut self, control: Control) -> Outcome {
        let Control { stop, snapshots } = control;
        let load = &self.spec.load;
        let sending = Duration::from_secs(u64::from(load.duration().get()));
        let grace = Duration::from_secs_f64(load.grace().get());
        let share = |total| self.shard.share_of(total);
        let room = Room::for_at_most(share(load.peak_users().get()));
        let budget = Budget::of(load.max_requests().map(|most| share(most.get()).into()));

        let now = Instant::now();
        let origin = self.starts_at.unwrap_or(now + RUN_UP);
        let started_at = now_plus(origin.saturating_duration_since(now));
        // The caller's order to stop, and the deadline's.
        let stop = stop.child_token();
        let permit = Permit { deadline: self.deadline.clone(), stop: stop.clone() };
        let no_more = stop.child_token();
        let stops = self.spec.stops.unwrap_or_default();
        let live = Arc::new(Live::with(Brake::new(stops, origin, no_more.clone())));
        let cut_off = CancellationToken::new();
        let (samples, incoming) = mpsc::channel();
        let crew = Crew::new(self.load_threads);
        let clock = || {
            let clock = Clock::starting_at(origin);
            if self.handicap.user_stamps { clock.without_the_kernel() } else { clock }
        };
        let threads: Vec<oneshot::Receiver<()>> = (0..self.load_threads)
            .map(|index| {
                LoadThread {
                    index,
                    threads: self.load_threads,
                    shard: self.shard,
                    driver: self.driver,
                    load: load.clone(),
                    run: Arc::clone(&self.run),
                    clock: Arc::new(clock()),
                    handicap: self.handicap,
                    origin: origin.into(),
                    live: Arc::clone(&live),
                    room: Arc::clone(&room),
                    budget: Arc::clone(&budget),
                    permit: permit.clone(),
                    stop: no_more.clone(),
                    cut_off: cut_off.clone(),
                    samples: samples.clone(),
                    duty: crew.duty(index),
                }
                .start()
            })
            .collect();
        drop(samples);
        let (done, outcome) = oneshot::channel();
        let onlooker = self.scrape.clone().map(|scrape| Onlooker::start(scrape, origin));
        let said = onlooker.as_ref().map(Onlooker::said);
        let (records, checkpoints) = (self.records.take(), self.checkpoints.take());
        let scribe = records.map(|file| Scribe::start(file, checkpoints, &self, started_at));
        let analyst = Analyst::new(&self, crew, origin, started_at, live, stop.clone());
        let analyst = analyst.hearing(said).telling(scribe);
        std::thread::Builder::new()
            .name("analyst".to_owned())
            .spawn(move || {
                let _ = done.send(analyst.work(&incoming, &snapshots));
            })
            .expect("the system starts a thread");

        let all_done = async {
            for thread in threads {
                let _ = thread.await;
            }
        };
        // Stopped before its time: open requests get their grace from then on.
        let braked = async {
            no_more.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            () = all_done => {}
            () = stop.cancelled() => cut_off.cancel(),
            () = tokio::time::sleep_until((origin + sending + grace).into()) => cut_off.cancel(),
            () = braked => cut_off.cancel(),
        }
        outcome.await.expect("the analyst ends after the load threads")
    }
}

fn now_plus(ahead: Duration) -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + ahead;
    Timestamp::from_unix_ms(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}
