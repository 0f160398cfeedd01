//! Every figure of a run, kept up to date request by request.

use serde::{Deserialize, Serialize};
use shared::{
    BenchmarkSpec, Load, Report, SecondRow, Slo, Timestamp,
    report::{Environment, HistogramUnit, Histograms, StampSource, Stopped},
};

use super::{
    aliases::Aliases,
    counted::Counted,
    goodput::Goodput,
    histogram::{Histogram, Lag},
    latency::Latencies,
    report,
    series::Series,
    settle::Settled,
    shares::{Server, Shares},
    tally::Tally,
    token_sums::TokenSums,
    window::InFlight,
};
use crate::{
    arrival::{Schedule, ThinkTime, micros, staged, start_us},
    sample::{ConnectionUse, Micros, Outcome, Sample},
};

/// A request that is taken up later than this after the end of the sending time missed it.
const PATIENCE_US: Micros = 100_000;

/// What the load was meant to be: the figures that depend on it are judged by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Virtual users; in an open loop, the most requests open at once.
    pub users: u32,
    /// Users started a second; 0 in an open loop.
    pub spawn_rate: u32,
    /// Seconds in which requests are sent.
    pub duration_s: u32,
    /// Whether users wait between an answer and their next request.
    pub think_time: bool,
    /// Whether each answer is asked to reach its longest length.
    pub ignore_eos: bool,
    /// What decides when a request is due.
    pub pacing: Pacing,
    /// When sending ended before its time; none: it did not.
    pub stopped_us: Option<Micros>,
}

/// What decides when a request is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pacing {
    /// Users, each free again when its answer has ended: a closed loop.
    Answers,
    /// The same, with more and fewer users over time.
    Stages {
        /// From the origin to when the most users are there.
        warmup_us: Micros,
    },
    /// A schedule, whatever becomes of the answers: an open loop.
    Schedule {
        /// From the origin to when no more requests are due.
        sending_us: Micros,
    },
    /// All are due at once.
    Burst,
}

impl Plan {
    /// The plan of `spec`, whose due times are in `schedule`; none: it is a closed loop.
    pub fn of(spec: &BenchmarkSpec, schedule: Option<&Schedule>) -> Self {
        let think_time = match &spec.load {
            Load::ClosedLoop(load) => !ThinkTime::of(load).is_zero(),
            _ => false,
        };
        Self {
            users: spec.load.peak_users().get(),
            spawn_rate: spec.load.spawn_rate(),
            duration_s: spec.load.duration().get(),
            think_time,
            ignore_eos: spec.output.ignore_eos,
            pacing: match (schedule, &spec.load) {
                (Some(schedule), _) if schedule.is_a_burst() => Pacing::Burst,
                (Some(schedule), _) => Pacing::Schedule { sending_us: schedule.sending_us() },
                (None, Load::Staged(load)) => {
                    Pacing::Stages { warmup_us: staged::warmup_us(&load.stages) }
                }
                (None, _) => Pacing::Answers,
            },
            stopped_us: None,
        }
    }

    /// From the first user's start to when all are there; 0 in an open loop.
    pub fn warmup_us(&self) -> Micros {
        match self.pacing {
            Pacing::Answers => start_us(self.users.saturating_sub(1), self.spawn_rate),
            Pacing::Stages { warmup_us } => warmup_us,
            Pacing::Schedule { .. } | Pacing::Burst => 0,
        }
    }

    /// From the origin to when no more requests are due.
    pub fn sending_us(&self) -> Micros {
        let planned_us = match self.pacing {
            Pacing::Schedule { sending_us } => sending_us,
            Pacing::Answers | Pacing::Stages { .. } | Pacing::Burst => {
                Micros::from(self.duration_s) * 1_000_000
            }
        };
        self.stopped_us.map_or(planned_us, |stopped_us| stopped_us.min(planned_us))
    }
}

/// What the load threads know of themselves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Instrument {
    /// Who took the receive stamps; `User` if any stream had none of the kernel's.
    pub stamp_source: StampSource,
    /// From the kernel's stamp to this process's.
    pub stamp_lag: Lag,
    /// By how much a load thread's timer was late.
    pub loop_lag: Lag,
    /// How long after the origin the last of the load threads began, in milliseconds.
    pub begun_late_ms: Option<f64>,
    /// Busiest load thread's CPU time / measured time.
    pub load_thread_cpu_share: Option<f64>,
    /// CPU time of the process / (measured time x cores).
    pub process_cpu_share: Option<f64>,
}

impl Instrument {
    /// Adds what the load threads of another process know of themselves.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.stamp_source == StampSource::User {
            self.stamp_source = StampSource::User;
        }
        self.stamp_lag.merge(&other.stamp_lag);
        self.loop_lag.merge(&other.loop_lag);
        let greater = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        self.load_thread_cpu_share =
            greater(self.load_thread_cpu_share, other.load_thread_cpu_share);
        self.process_cpu_share = greater(self.process_cpu_share, other.process_cpu_share);
        self.begun_late_ms = greater(self.begun_late_ms, other.begun_late_ms);
    }
}

/// Takes requests in any order, tells the figures at any time.
///
/// Its memory grows with the length of the run (some 20 KiB a second), not with its requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorder {
    pub(super) plan: Plan,
    pub(super) counted: Counted,
    pub(super) goodput: Option<Goodput>,
    pub(super) aliases: Aliases,
    pub(super) tally: Tally,
    pub(super) shares: Shares,
    pub(super) latencies: Latencies,
    pub(super) tokens: TokenSums,
    pub(super) series: Series,
    pub(super) in_flight: InFlight,
    pub(super) schedule_lag: Histogram,
    pub(super) taken_up_in_time: u64,
    pub(super) last_end_us: Micros,
    pub(super) stopped: Option<Stopped>,
}

impl Recorder {
    /// An empty one.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            counted: Counted::default(),
            goodput: None,
            aliases: Aliases::default(),
            tally: Tally::default(),
            shares: Shares::default(),
            latencies: Latencies::default(),
            tokens: TokenSums::default(),
            series: Series::default(),
            in_flight: InFlight::default(),
            schedule_lag: Histogram::new(),
            taken_up_in_time: 0,
            last_end_us: 0,
            stopped: None,
        }
    }

    /// The same for a run of whose ends something is left out.
    #[must_use]
    pub fn counting(self, counted: Counted) -> Self {
        Self { counted, ..self }
    }

    /// The same for a run that says what a good answer is.
    #[must_use]
    pub fn judging_by(self, slo: Option<Slo>) -> Self {
        Self { goodput: slo.map(Goodput::new), ..self }
    }

    /// The same for a run against `servers`; where they are several, each has figures of its own.
    #[must_use]
    pub fn telling_apart(self, servers: impl Iterator<Item = Server>) -> Self {
        Self { shares: Shares::among(servers), ..self }
    }

    /// Whether `sample` enters the latencies: it lies in no margin that is left out.
    pub fn counts(&self, sample: &Sample) -> bool {
        self.counted.holds(sample)
    }

    /// Takes a request that is over.
    pub fn record(&mut self, settled: &Settled) {
        let sample = &settled.sample;
        self.tally.record(settled);
        let counts = self.counted.holds(sample);
        self.shares.record(settled, counts);
        if counts {
            self.latencies.record(settled);
            self.aliases.record(settled);
            if let Some(goodput) = &mut self.goodput {
                goodput.record(settled);
            }
        }
        self.series.record(settled);
        if matches!(sample.outcome, Outcome::Completed) {
            self.tokens.record(settled);
        }
        if let Some(sent_us) = sample.sent_us {
            self.in_flight.record(sent_us, sample.end_us);
        }
        self.schedule_lag.record_us(schedule_lag_us(sample));
        let over_us = self.plan.sending_us() + PATIENCE_US;
        self.taken_up_in_time += u64::from(sample.picked_up_us <= over_us);
        self.last_end_us = self.last_end_us.max(sample.end_us);
    }

    /// Adds what `other` took of other requests of the same run. It does not matter who took which:
    /// the figures are those of one that took them all.
    pub(super) fn merge(&mut self, other: &Self) {
        if let (Some(mine), Some(others)) = (&mut self.goodput, &other.goodput) {
            mine.merge(others);
        }
        self.aliases.merge(&other.aliases);
        self.tally.merge(&other.tally);
        self.shares.merge(&other.shares);
        self.latencies.merge(&other.latencies);
        self.tokens.merge(&other.tokens);
        self.series.merge(&other.series);
        self.in_flight.merge(&other.in_flight);
        self.schedule_lag.merge(&other.schedule_lag);
        self.taken_up_in_time += other.taken_up_in_time;
        self.last_end_us = self.last_end_us.max(other.last_end_us);
        if let Some(theirs) = &other.stopped {
            let earlier = self.stopped.as_ref().is_none_or(|mine| theirs.at_s < mine.at_s);
            if earlier {
                self.note_stopped(theirs.clone());
            }
        }
    }

    /// Why sending ended before its time; none: it did not.
    pub fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_ref()
    }

    /// Takes when and why sending ended before its time.
    pub fn note_stopped(&mut self, stopped: Stopped) {
        self.plan.stopped_us = Some(micros(stopped.at_s));
        self.stopped = Some(stopped);
    }

    /// Requests held against the objectives so far, and those that met them.
    pub fn judged(&self) -> (u64, u64) {
        self.goodput.as_ref().map(Goodput::counts).unwrap_or_default()
    }

    /// Takes the number of requests that were due so far and found no room.
    pub fn note_dropped(&mut self, dropped: u64) {
        self.tally.dropped = dropped;
    }

    /// The figures so far.
    ///
    /// - `started_at`: the run's origin by the wall clock.
    /// - `now_us`: how long the run has lasted. For the last report give
    ///   [`last_end_us`](Self::last_end_us): measured time ends with the last request.
    pub fn report(
        &self,
        instrument: &Instrument,
        environment: Environment,
        started_at: Timestamp,
        now_us: Micros,
    ) -> Report {
        report::assemble(self, instrument, environment, started_at, now_us)
    }

    /// The histograms behind the figures so far, empty ones left out.
    pub fn histograms(&self, instrument: &Instrument) -> Histograms {
        let of_the_instrument = [
            ("schedule_lag_ms", HistogramUnit::Us, &self.schedule_lag),
            ("stamp_lag_ms", HistogramUnit::Us, &instrument.stamp_lag),
            ("loop_lag_ms", HistogramUnit::Us, &instrument.loop_lag),
        ];
        let all = self.latencies.histograms().into_iter().chain(of_the_instrument);
        all.filter_map(|(name, unit, histogram)| Some((name.to_owned(), histogram.stored(unit)?)))
            .collect()
    }

    /// What happened in each second so far. Tokens of requests still open are not in it yet.
    pub fn series(&self) -> Vec<SecondRow> {
        self.series.rows(&self.in_flight)
    }

    /// When the last of the requests so far ended.
    pub fn last_end_us(&self) -> Micros {
        self.last_end_us
    }
}

/// From due to sent, as far as it is this client's doing: where a connection had to be opened, to
/// the moment the request was taken up, for DNS, TCP and TLS are not.
fn schedule_lag_us(sample: &Sample) -> Micros {
    let began = match (sample.connection, sample.sent_us) {
        (Some(ConnectionUse::Reused), Some(sent_us)) => sent_us,
        _ => sample.picked_up_us,
    };
    began.saturating_sub(sample.intended_us)
}

#[cfg(test)]
mod tests;
