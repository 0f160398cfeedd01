//! A load that begins late says so, whoever drives it.

use std::time::{Duration, Instant};

use loadgen::{Control, Snapshot, prepare};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    DRIVERS, settings, short,
    simulated::{quick, simulate},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_the_load_that_begins_late_is_told() {
    for driver in DRIVERS {
        let spec = short(&simulate(quick()).await, json!({"max_tokens": 4}));
        let prepared = prepare(spec, None, &settings(driver)).await.expect("a target");
        // As of a process that stood still when it was to begin.
        let origin = Instant::now().checked_sub(Duration::from_millis(300)).expect("an instant");
        let snapshots = watch::Sender::new(Snapshot::default());
        let control = Control { stop: CancellationToken::new(), snapshots };
        let report = prepared.starting_at(origin).run(control).await.report;
        let late = report.validity.begun_late_ms.expect("it has begun");
        assert!(late >= 300.0, "{late} ms with {driver:?}");
        let told = format!("a part of the load began {late:.0} ms after the beginning");
        let reasons = &report.validity.reasons;
        assert!(reasons.iter().any(|reason| reason.starts_with(&told)), "{reasons:?}");
    }
}
