//! The thread that turns samples into figures, apart from the threads that make them.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use shared::{
    MaxErrorRate, Phase, Progress, Report, SecondRow, Timestamp,
    report::{Environment, Recorded, StampSource, StoppedBy},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Live, Measured, Outcome, Prepared, Snapshot, load_thread::Crew, machine, onlooker::Said,
    scribe::Scribe,
};
use crate::{
    metrics::{Counted, Figures, Instrument, Lag, Overload, Plan, Recorder, Server, settle},
    prompt::Tokenizer,
    sample::{Micros, Sample},
};

/// How often a run tells how it goes.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How many of those words carry the figures so far.
const FIGURES_EVERY: u32 = 2;
/// How much of a run passes at least between two copies of what it measured: its size grows with
/// the run, and so does what it costs to send.
const SHARE_BETWEEN_COPIES: u32 = 60;
/// The same in a short run.
const COPY_EVERY: Duration = Duration::from_secs(5);
/// Share of reads without a kernel stamp from which on the stamps are not called the kernel's.
const MAX_UNSTAMPED_SHARE: f64 = 0.001;

pub(super) struct Analyst {
    recorder: Recorder,
    tokenizer: Option<Tokenizer>,
    environment: Environment,
    plan: Plan,
    crew: Crew,
    origin: Instant,
    started_at: Timestamp,
    live: Arc<Live>,
    stop: CancellationToken,
    max_error_rate: Option<f64>,
    /// None: overload stops nothing.
    overload: Option<Overload>,
    /// What the target says of itself; none: it says nothing.
    said: Option<Said>,
    process_cpu_before: Option<Duration>,
    scribe: Option<Scribe>,
    /// Whether others make the same load, and put what they measured together.
    is_shard: bool,
}

impl Analyst {
    pub(super) fn new(
        prepared: &Prepared,
        crew: Crew,
        origin: Instant,
        started_at: Timestamp,
        live: Arc<Live>,
        stop: CancellationToken,
    ) -> Self {
        let stops = prepared.spec.stops.unwrap_or_default();
        let open_loop = prepared.run.schedule.is_some();
        let warmup_s = prepared.spec.margins.warmup_s.get();
        let plan = Plan::of(&prepared.spec, prepared.run.schedule.as_ref());
        Self {
            recorder: Recorder::new(plan)
                .counting(Counted::of(&prepared.spec))
                .judging_by(prepared.spec.slo.clone())
                .telling_apart(prepared.run.targets.each().iter().map(Server::from)),
            tokenizer: prepared.tokenizer.clone(),
            environment: prepared.environment.clone(),
            plan,
            crew,
            origin,
            started_at,
            live,
            stop,
            max_error_rate: stops.max_error_rate.map(MaxErrorRate::get),
            overload: stops.on_overload.then(|| Overload::of(open_loop, warmup_s)),
            said: None,
            process_cpu_before: machine::process_cpu(),
            scribe: None,
            is_shard: prepared.shard.of() > 1,
        }
    }

    /// The same, with what the target says of itself.
    pub(super) fn hearing(self, said: Option<Said>) -> Self {
        Self { said, ..self }
    }

    /// The same, giving each request to `scribe` too.
    pub(super) fn telling(self, scribe: Option<Scribe>) -> Self {
        Self { scribe, ..self }
    }

    /// Takes samples until there can be no more, and tells about once a second.
    pub(super) fn work(
        mut self,
        samples: &Receiver<Vec<Sample>>,
        snapshots: &watch::Sender<Snapshot>,
    ) -> Outcome {
        let mut next_word = self.origin;
        let mut next_copy = self.origin + COPY_EVERY;
        for nth in 1_u32.. {
            next_word += TELL_EVERY;
            let more = self.take_until(next_word, samples);
            self.recorder.note_dropped(self.live.dropped());
            self.look_for_overload();
            if let Some(stopped) = self.live.brake().pulled() {
                self.recorder.note_stopped(stopped.clone());
            }
            if !more {
                break;
            }
            if let Some(scribe) = &mut self.scribe {
                scribe.pass_on();
            }
            let progress = self.progress();
            let figures =
                nth.is_multiple_of(FIGURES_EVERY).then(|| Arc::new((self.report(), self.series())));
            let copied = (self.is_shard && next_word >= next_copy).then(|| {
                let passed = self.origin.elapsed();
                next_copy = next_word + COPY_EVERY.max(passed / SHARE_BETWEEN_COPIES);
                Arc::new(self.measured(self.elapsed_us()))
            });
            snapshots.send_modify(|snapshot| {
                snapshot.progress = progress;
                if copied.is_some() {
                    snapshot.measured = copied;
                }
                if figures.is_some() {
                    snapshot.partial = figures;
                }
            });
        }
        let progress = Progress { phase: Phase::Finalizing, ..self.progress() };
        let measured = self.measured(self.recorder.last_end_us());
        let mut report = measured.report();
        if let Some(scribe) = self.scribe.take() {
            let recorded = scribe.finish();
            report.validity.reasons.extend(missing_rows(&recorded));
            report.recorded = Some(recorded);
        }
        Outcome {
            report,
            histograms: measured.histograms(),
            series: measured.series(),
            measured: Box::new(measured),
            progress,
            stopped: self.stop.is_cancelled(),
            max_error_rate: self.max_error_rate,
        }
    }

    /// Stops the run where the target no longer keeps up.
    fn look_for_overload(&mut self) {
        let at_us = self.elapsed_us();
        let Some(overload) = self.overload.as_mut().filter(|_| at_us < self.plan.sending_us())
        else {
            return;
        };
        let counts = self.live.counts(self.recorder.judged());
        if let Some(detail) = overload.look(at_us, counts) {
            self.live.brake().pull(StoppedBy::Overload, detail);
        }
    }

    fn elapsed_us(&self) -> Micros {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Takes samples until `deadline`; false when there can be no more.
    fn take_until(&mut self, deadline: Instant, samples: &Receiver<Vec<Sample>>) -> bool {
        loop {
            match samples.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(samples) => samples.into_iter().for_each(|sample| self.take(sample)),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
            if Instant::now() >= deadline {
                return true;
            }
        }
    }

    fn take(&mut self, sample: Sample) {
        let settled = settle(sample, self.tokenizer.as_ref());
        self.recorder.record(&settled);
        if let Some(scribe) = &mut self.scribe {
            scribe.note(&settled, self.recorder.counts(&settled.sample));
        }
    }

    fn progress(&self) -> Progress {
        let elapsed = self.origin.elapsed();
        let elapsed_s = elapsed.as_secs_f64();
        let sending = Duration::from_micros(self.plan.sending_us());
        let is_stopped = self.stop.is_cancelled() || self.live.brake().pulled().is_some();
        let phase = if elapsed >= sending || is_stopped {
            Phase::Draining
        } else if elapsed < Duration::from_micros(self.plan.warmup_us()) {
            Phase::Warmup
        } else {
            Phase::Measuring
        };
        Progress {
            phase,
            elapsed_s,
            requests: self.live.ended(),
            errors: self.live.failed(),
            in_flight: self.live.in_flight(),
            output_tokens: self.live.token_events(),
        }
    }

    fn measured(&self, until_us: Micros) -> Measured {
        let said = self.said.as_ref().map(|said| said.so_far().clone());
        let (recorder, instrument) = (self.recorder.clone(), self.instrument());
        Measured {
            figures: Figures { recorder, instrument, until_us },
            environment: self.environment.clone(),
            started_at: self.started_at,
            said,
        }
    }

    /// As [`Measured::report`], without a copy of all that was measured.
    fn report(&self) -> Report {
        let end_us = self.elapsed_us();
        let environment = self.environment.clone();
        let report = self.recorder.report(&self.instrument(), environment, self.started_at, end_us);
        let target_metrics = self.said.as_ref().map(|said| said.so_far().summary(end_us));
        Report { target_metrics, ..report }
    }

    fn series(&self) -> Vec<SecondRow> {
        let mut rows = self.recorder.series();
        if let Some(said) = &self.said {
            said.so_far().fill(&mut rows);
        }
        rows
    }

    /// How the instrument itself did.
    fn instrument(&self) -> Instrument {
        let elapsed = self.origin.elapsed().as_secs_f64().max(1e-3);
        let (mut loop_lag, mut stamp_lag) = (Lag::default(), Lag::default());
        let (mut reads, mut unstamped) = (0_u64, 0_u64);
        let (mut busiest, mut begun_late): (Option<Duration>, Option<Duration>) = (None, None);
        for duty in self.crew.each() {
            loop_lag.merge(&duty.loop_lag);
            stamp_lag.merge(&duty.reads.lag);
            reads += duty.reads.reads;
            unstamped += duty.reads.unstamped;
            busiest = busiest.max(duty.cpu);
            begun_late = begun_late.max(duty.begun_late);
        }
        let by_kernel = reads > 0 && share(unstamped, reads) <= MAX_UNSTAMPED_SHARE;
        let process = machine::process_cpu()
            .zip(self.process_cpu_before)
            .map(|(now, before)| now.saturating_sub(before).as_secs_f64());
        Instrument {
            stamp_source: if by_kernel { StampSource::Kernel } else { StampSource::User },
            stamp_lag,
            loop_lag,
            begun_late_ms: begun_late.map(|late| late.as_secs_f64() * 1e3),
            load_thread_cpu_share: busiest.map(|cpu| cpu.as_secs_f64() / elapsed),
            process_cpu_share: process.map(|cpu| cpu / elapsed / f64::from(machine::cores())),
        }
    }
}

/// What a reader of the report must know of the requests' rows.
fn missing_rows(recorded: &Recorded) -> Option<String> {
    let Recorded { rows, missing, error } = recorded;
    match error {
        Some(error) => Some(format!("the requests' rows were not kept: {error}")),
        None if *missing > 0 => Some(format!(
            "{missing} of {} requests have no row: the file was written too slowly",
            rows + missing
        )),
        None => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of counts")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
