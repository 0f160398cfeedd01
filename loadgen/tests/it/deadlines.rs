//! No request leaves after the deadline, whoever drives and whatever the load's shape.

use std::time::{Duration, Instant};

use loadgen::{Control, Deadline, Driver, Outcome, Snapshot, prepare};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    DRIVERS, settings,
    simulated::{quick, simulate, stats},
    spec,
};

fn shapes() -> [Value; 2] {
    [json!({"user": 8, "spawnrate": 100}), json!({"rate": 100})]
}

async fn drive_until(
    url: &str,
    shape: Value,
    driver: Driver,
    after: Duration,
) -> (Outcome, Deadline) {
    let mut fields = json!({"url": url, "duration": 20, "max_tokens": 4});
    let Value::Object(shape) = shape else { panic!("a shape is an object") };
    fields.as_object_mut().expect("an object").extend(shape);
    let prepared = prepare(spec(&fields), None, &settings(driver)).await.expect("a target");
    let deadline = Deadline::at(Instant::now() + after);
    let snapshots = watch::Sender::new(Snapshot::default());
    let control = Control { stop: CancellationToken::new(), snapshots };
    let outcome = prepared.until(deadline.clone()).run(control).await;
    (outcome, deadline)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_where_it_has_passed_already() {
    for driver in DRIVERS {
        for shape in shapes() {
            let url = simulate(quick()).await;
            let begun = Instant::now();
            let (outcome, deadline) =
                drive_until(&url, shape.clone(), driver, Duration::ZERO).await;
            let requests = &outcome.report.requests;
            assert_eq!((requests.started, requests.completed), (0, 0), "{driver:?} {shape}");
            assert!(outcome.stopped && deadline.is_missed(), "{driver:?} {shape}");
            assert_eq!(stats(&url).await.requests, 1, "the probe alone: {driver:?} {shape}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{driver:?} {shape}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_ends_when_it_passes_and_keeps_its_figures() {
    for driver in DRIVERS {
        for shape in shapes() {
            let url = simulate(quick()).await;
            let (outcome, deadline) =
                drive_until(&url, shape.clone(), driver, Duration::from_secs(1)).await;
            let requests = &outcome.report.requests;
            assert!(outcome.stopped && deadline.is_missed(), "{driver:?} {shape}");
            assert!(requests.completed > 10, "{requests:?} {driver:?} {shape}");
            assert!(outcome.report.window.measured_s < 2.0, "{driver:?} {shape}");
            let sent = stats(&url).await.requests;
            // What was cut off between being picked up and its first byte has not left.
            let left = requests.started - requests.cancelled..=requests.started;
            assert!(
                left.contains(&(sent - 1)),
                "{requests:?}, {sent} with the probe: {driver:?} {shape}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(stats(&url).await.requests, sent, "{driver:?} {shape}");
        }
    }
}
