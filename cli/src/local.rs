//! A benchmark in this process: the instrument alone, no server, no database.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use loadgen::{Control, Prepared, Snapshot};
use shared::{
    Benchmark, BenchmarkId, Phase, Progress, Reason, ReasonCode, Report, Seed, State, Timestamp,
    Waiting,
    benchmark::{Configuration, Links, Results},
    request::{Fields, NewBenchmark},
};
use tokio::sync::watch::{Receiver, channel};
use tokio_util::sync::CancellationToken;

use crate::{
    failure::Failure, follow::Followed, requests::Output, server::Read, up::Service, watch::Watch,
};

/// Least time between two looks at a run.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs what is asked for, shows it on the way, and stops it when `stop` is cancelled.
///
/// A row for each request goes to `output`.
pub(crate) async fn run(
    asked: &Fields,
    stop: &CancellationToken,
    output: Option<Output>,
) -> Result<Followed, Failure> {
    let service = Service::of_environment()?;
    let seed = Seed::try_from(rand::random_range(Seed::MIN..=Seed::MAX));
    let seed = seed.map_err(|error| Failure::Usage(error.to_string()))?;
    let new =
        NewBenchmark::parse(asked, &service.api.defaults(), seed).map_err(Failure::Invalid)?;
    if new.waiting != Waiting::default() {
        let said =
            "priority, run_at, queue_timeout and labels are of a server's queue: --local has none";
        return Err(Failure::Usage(said.to_owned()));
    }
    // One process makes all of it, whatever `runners` says.
    if let Err(too_large) = new.spec.load.is_shared_by(1) {
        return Err(Failure::Usage(format!("{too_large}: --local is one runner")));
    }
    let data_dir = &service.database.data_dir;
    let settings = service.runner.instrument(Vec::new(), data_dir, "")?;

    let mut benchmark = Box::new(accepted(&new));
    let mut watch = Watch::new(benchmark.duration);
    watch.show(&Progress { phase: Phase::Preparing, ..Progress::default() });
    let prepared = tokio::select! {
        prepared = loadgen::prepare(new.spec.clone(), new.api_key.clone(), &settings) => {
            prepared.map_err(|error| (State::Failed, error.reason()))
        }
        () = stop.cancelled() => Err((State::Cancelled, asked_for())),
    };
    let ended = match prepared {
        Ok(prepared) => {
            prepared.model().clone_into(&mut benchmark.model);
            let prepared = match &output {
                Some(output) => prepared.recording_to(output.handle()?),
                None => prepared,
            };
            drive(prepared, &mut watch, stop).await
        }
        Err((state, reason)) => {
            Ended { state, reason: Some(reason), report: None, progress: Progress::default() }
        }
    };
    watch.end();
    if let (Some(output), Some(report)) = (output, &ended.report) {
        let error = report.recorded.as_ref().and_then(|recorded| recorded.error.clone());
        error.map_or_else(|| output.finish(), |error| Err(Failure::Other(anyhow!(error))))?;
    }
    finish(&mut benchmark, ended);
    let json = serde_json::to_string(&benchmark).map_err(|error| Failure::Other(error.into()))?;
    Ok(Followed { read: Read { benchmark, json }, interrupted: stop.is_cancelled() })
}

struct Ended {
    state: State,
    reason: Option<Reason>,
    report: Option<Report>,
    progress: Progress,
}

async fn drive(prepared: Prepared, watch: &mut Watch, stop: &CancellationToken) -> Ended {
    let (snapshots, watched) = channel(Snapshot::default());
    let run = prepared.run(Control { stop: stop.clone(), snapshots });
    let (outcome, ()) = tokio::join!(run, show(watched, watch));
    let (state, reason) = match outcome.failure() {
        _ if outcome.stopped => (State::Cancelled, Some(asked_for())),
        Some(reason) => (State::Failed, Some(reason)),
        None => (State::Completed, None),
    };
    Ended { state, reason, report: Some(outcome.report), progress: outcome.progress }
}

/// Shows snapshots until the run has let go of them.
async fn show(mut watched: Receiver<Snapshot>, watch: &mut Watch) {
    while watched.changed().await.is_ok() {
        let progress = watched.borrow_and_update().progress.clone();
        watch.show(&progress);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn asked_for() -> Reason {
    Reason::new(ReasonCode::CancelRequested, "cancelled from the command line")
}

/// The resource as the API would show it; its number is 0, for no database gave it one.
fn accepted(new: &NewBenchmark) -> Benchmark {
    let spec = &new.spec;
    let model = spec.model.as_ref().map(ToString::to_string).unwrap_or_default();
    let Configuration { user, spawnrate, model, tokenizer, url, duration, dataset } =
        Configuration::of(spec, &model);
    let now = now();
    Benchmark {
        id: BenchmarkId(0),
        url,
        user,
        spawnrate,
        duration,
        model,
        tokenizer,
        dataset,
        notes: new.notes.clone(),
        favorite: new.favorite,
        status: State::Running,
        reason: None,
        results: Results::of(State::Running, spec, "", None),
        progress: Progress::default(),
        priority: new.waiting.priority,
        run_at: None,
        queue_deadline: None,
        labels: shared::Labels::default(),
        created_at: now,
        queued_at: now,
        started_at: Some(now),
        finished_at: None,
        runner: None,
        spec: spec.clone(),
        report: None,
        links: Links::of(BenchmarkId(0)),
    }
}

fn finish(benchmark: &mut Benchmark, ended: Ended) {
    let Ended { state, reason, report, progress } = ended;
    benchmark.results = Results::of(state, &benchmark.spec, &benchmark.model, report.as_ref());
    benchmark.status = state;
    benchmark.reason = reason;
    benchmark.report = report;
    benchmark.progress = Progress { phase: Phase::Ended, ..progress };
    benchmark.finished_at = Some(now());
}

fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}
