//! Requests say whose they are, to whoever runs the server.

use loadgen::{Control, Settings, Snapshot, prepare};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    DRIVERS, settings, short,
    simulated::{quick, simulate, stats},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_a_load_names_its_run_and_the_probe_does_not() {
    for driver in DRIVERS {
        for version in ["1.1", "2"] {
            let url = simulate(quick()).await;
            let label = "benchmark 42; run 3".to_owned();
            let settings = Settings { label, ..settings(driver) };
            let spec = short(&url, json!({"http_version": version, "max_requests": 5}));
            let prepared = prepare(spec, None, &settings).await.unwrap();
            assert_eq!(stats(&url).await.runs, [], "{driver:?} {version}: no load yet");
            let snapshots = watch::Sender::new(Snapshot::default());
            let control = Control { stop: CancellationToken::new(), snapshots };
            let outcome = prepared.run(control).await;
            let runs = stats(&url).await.runs;
            let seen: Vec<_> = runs.iter().map(|c| (c.benchmark, c.run, c.requests)).collect();
            let started = outcome.report.requests.started;
            assert_eq!(seen, [(42, 3, started)], "{driver:?} {version}");
            assert_eq!(started, 5);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_the_benchmark_gives_itself_stays() {
    for driver in DRIVERS {
        let url = simulate(quick()).await;
        let settings = Settings { label: "benchmark 42; run 3".to_owned(), ..settings(driver) };
        let own = json!({"max_requests": 3, "extra_headers": {"user-agent": "mine (benchmark 7; run 1)"}});
        let prepared = prepare(short(&url, own), None, &settings).await.unwrap();
        let snapshots = watch::Sender::new(Snapshot::default());
        prepared.run(Control { stop: CancellationToken::new(), snapshots }).await;
        let runs = stats(&url).await.runs;
        // its probe sends the same headers
        assert!(runs.len() == 1 && runs[0].benchmark == 7 && runs[0].requests >= 3, "{runs:?}");
    }
}
