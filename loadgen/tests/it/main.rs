//! The instrument against servers whose truth is known.

mod bad_targets;
mod beginnings;
mod capacity;
mod connections;
mod deadlines;
mod dialogues;
mod endpoints;
mod ends;
mod http2;
mod named;
mod open_loops;
mod prompts;
mod recorded;
mod simulated;
mod stamps;
mod target_metrics;
mod traces;
mod urls;

use std::{path::PathBuf, time::Duration};

use loadgen::{Control, Driver, Handicap, Hub, Outcome, PrepareError, Settings, Snapshot, prepare};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::{
    BenchmarkSpec, Seed,
    report::{Failure, FailureClass},
    request::{Defaults, Fields, NewBenchmark},
};
use target::Egress;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A spec from flat fields, as a client would send them.
fn spec(fields: &Value) -> BenchmarkSpec {
    let fields: Fields = serde_json::from_value(fields.clone()).expect("an object");
    let seed = Seed::try_from(7).expect("a seed");
    NewBenchmark::parse(&fields, &Defaults::default(), seed).expect("a valid request").spec
}

/// A short load on one target: `extra` fields over few users and one second.
fn short(url: &str, extra: Value) -> BenchmarkSpec {
    let mut fields = json!({"url": url, "user": 2, "spawnrate": 100, "duration": 1, "grace": 2});
    let Value::Object(extra) = extra else { panic!("extra fields are an object") };
    fields.as_object_mut().expect("an object").extend(extra);
    spec(&fields)
}

/// Both drivers: one is the other's oracle.
const DRIVERS: [Driver; 2] = [Driver::Readiness, Driver::Hyper];

fn settings(driver: Driver) -> Settings {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let data_dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    Settings {
        egress: Egress::new(Egress::LOCAL, Vec::new()).expect("a policy"),
        hub: Hub::new(Hub::PUBLIC, None, &data_dir).expect("a hub"),
        data_dir,
        load_threads: Some(1),
        driver,
        runner: "test".to_owned(),
        shard: loadgen::Shard::WHOLE,
        label: String::new(),
    }
}

/// Drives a load to its end.
async fn drive(spec: BenchmarkSpec) -> Outcome {
    drive_by(Driver::default(), spec).await
}

async fn drive_by(driver: Driver, spec: BenchmarkSpec) -> Outcome {
    let run = run(driver, spec, None, CancellationToken::new());
    run.await.expect("the target can be used")
}

/// The same on `threads` load threads.
async fn drive_as(spec: BenchmarkSpec, threads: u32) -> Outcome {
    let settings = Settings { load_threads: Some(threads), ..settings(Driver::default()) };
    let prepared = prepare(spec, None, &settings).await.expect("the target can be used");
    let snapshots = watch::Sender::new(Snapshot::default());
    prepared.run(Control { stop: CancellationToken::new(), snapshots }).await
}

/// The same by an instrument with a handicap.
async fn drive_under(handicap: Handicap, driver: Driver, spec: BenchmarkSpec) -> Outcome {
    let prepared = prepare(spec, None, &settings(driver)).await.expect("the target can be used");
    let snapshots = watch::Sender::new(Snapshot::default());
    prepared.under(handicap).run(Control { stop: CancellationToken::new(), snapshots }).await
}

async fn drive_with(
    spec: BenchmarkSpec,
    key: Option<SecretString>,
    stop: CancellationToken,
) -> Result<Outcome, PrepareError> {
    run(Driver::default(), spec, key, stop).await
}

async fn run(
    driver: Driver,
    spec: BenchmarkSpec,
    key: Option<SecretString>,
    stop: CancellationToken,
) -> Result<Outcome, PrepareError> {
    let prepared = prepare(spec, key, &settings(driver)).await?;
    let control = Control { stop, snapshots: watch::Sender::new(Snapshot::default()) };
    Ok(prepared.run(control).await)
}

/// The only class of failures of a run in which nothing went well.
fn only_failure(outcome: &Outcome) -> &Failure {
    let report = &outcome.report;
    assert_eq!(report.requests.completed, 0, "{report:#?}");
    let [failure] = report.failures.as_slice() else {
        panic!("one class of failures, not {:?}", report.failures)
    };
    assert_eq!(failure.count, report.requests.failed);
    failure
}

fn assert_fails_as(outcome: &Outcome, class: FailureClass, words: &str) {
    let failure = only_failure(outcome);
    assert_eq!(failure.class, class, "{failure:?}");
    assert!(failure.sample.contains(words), "`{}` does not say `{words}`", failure.sample);
    let reason = outcome.failure().expect("a run without an answer is a failure");
    assert!(reason.detail.contains(class.as_str()), "{reason:?}");
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
