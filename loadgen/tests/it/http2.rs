//! Targets that are spoken to in HTTP/2: the same figures over few connections.

use loadgen::{Driver, PrepareError};
use serde_json::{Value, json};
use shared::{
    HttpVersion, ReasonCode, Report,
    report::{Distribution, FailureClass, StampSource, Verdict},
};
use simulator::Settings;
use testkit::{Chat, ScriptedServer, TlsFront, run_again_trusting, trusted_ports};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    DRIVERS, assert_fails_as, drive, drive_by, drive_with, ms, short,
    simulated::{quick, simulate, stats},
    spec,
};

fn http2(url: &str, mut extra: Value) -> shared::BenchmarkSpec {
    extra["http_version"] = "2".into();
    short(url, extra)
}

fn assert_near(measured: Option<&Distribution>, truth_ms: f64) {
    let measured = measured.expect("it was measured");
    assert!(
        (measured.p50 - truth_ms).abs() < 0.1 * truth_ms + 3.0,
        "measured {:.2} ms, scheduled {truth_ms:.2} ms",
        measured.p50
    );
}

fn assert_all_went_well(report: &Report) {
    assert_eq!(report.requests.failed, 0, "{:?}", report.failures);
    assert!(report.requests.completed > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_what_the_server_scheduled_whatever_drives_other_loads() {
    let settings = Settings { ttft_ms: 80.0, itl_ms: 10.0, ..Settings::default() };
    let url = simulate(settings).await;
    for driver in DRIVERS {
        let load = json!({"user": 6, "max_tokens": 16, "ignore_eos": true, "grace": 5});
        let before = stats(&url).await;
        let report = drive_by(driver, http2(&url, load)).await.report;
        let after = stats(&url).await;
        assert_all_went_well(&report);
        assert_near(report.latency.ttft_ms.as_ref(), 80.0);
        assert_near(report.latency.itl_ms.as_ref(), 10.0);
        assert_near(report.latency.tpot_ms.as_ref(), 10.0);
        assert_near(report.latency.e2e_ms.as_ref(), 230.0);
        assert_eq!(report.tokens.output, 16 * report.requests.completed);
        let served = after.requests - before.requests;
        assert!((1..=2).contains(&(served - report.requests.started)), "beside the probe");
        let environment = &report.environment;
        assert_eq!(
            (environment.driver.as_str(), environment.http_version),
            ("hyper", HttpVersion::Http2)
        );
        assert_eq!(report.validity.stamp_source, StampSource::Kernel);
        assert_eq!(report.latency.send_ms.unwrap().n, report.requests.completed);
        assert_eq!(report.latency.wait_ms.unwrap().n, report.requests.completed);
        // the load's own, whatever the check and the probe had opened before
        assert_eq!(report.validity.connections_opened, 1);
        assert_eq!(report.latency.connect_ms.unwrap().n, 1);
        assert_ne!(report.validity.verdict, Verdict::Invalid, "{:?}", report.validity.reasons);
    }
    let report = drive_by(Driver::Readiness, short(&url, json!({"max_tokens": 4}))).await.report;
    let environment = report.environment;
    assert_eq!(
        (environment.driver.as_str(), environment.http_version),
        ("readiness", HttpVersion::Http1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_users_share_as_few_connections_as_the_server_allows() {
    for (allowed, connections) in [(100, 3), (40, 8)] {
        let settings =
            Settings { ttft_ms: 400.0, itl_ms: 5.0, http2_streams: allowed, ..Settings::default() };
        let url = simulate(settings).await;
        let load = json!({
            "user": 300, "spawnrate": 10_000, "duration": 1, "grace": 10, "max_tokens": 8,
            "ignore_eos": true, "scrape": false
        });
        let before = stats(&url).await.connections;
        let report = drive(http2(&url, load)).await.report;
        assert_all_went_well(&report);
        assert_eq!(report.concurrency.peak, 300);
        let opened = report.validity.connections_opened;
        let least = u64::from(300_u32.div_ceil(allowed));
        assert!((least..=connections).contains(&opened), "{opened} for {allowed} streams each");
        // beside those of the check, of the probe, and of the two questions for statistics
        let accepted = stats(&url).await.connections - before;
        assert!((opened + 2..=opened + 4).contains(&accepted), "{accepted} for {opened}");
        let got = report.requests.started;
        #[expect(clippy::cast_precision_loss, reason = "counts of connections and requests")]
        let reused = (got - opened) as f64 / got as f64;
        assert!((report.validity.reused_share.unwrap() - reused).abs() < 1e-9);
        assert!(report.latency.ttft_ms.unwrap().min >= 400.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_loop_shares_connections_too() {
    let url = simulate(Settings { ttft_ms: 300.0, itl_ms: 2.0, ..Settings::default() }).await;
    let load = json!({
        "url": url, "rate": 100, "duration": 2, "grace": 5, "max_tokens": 8, "ignore_eos": true,
        "http_version": "2"
    });
    let report = drive(spec(&load)).await.report;
    assert_all_went_well(&report);
    assert_eq!(report.requests.completed, 200);
    assert_eq!(report.validity.connections_opened, 1);
    assert_near(report.latency.ttft_ms.as_ref(), 300.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fresh_connections_carry_one_request_each() {
    let url = simulate(quick()).await;
    let load = json!({"user": 3, "max_tokens": 4, "fresh_connections": true});
    let report = drive(http2(&url, load)).await.report;
    assert_all_went_well(&report);
    let (validity, started) = (report.validity, report.requests.started);
    assert_eq!((validity.connections_opened, validity.reused_share), (started, Some(0.0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_reset_fails_alone() {
    let settings = Settings { fault_cut: 0.3, seed: 5, ..quick() };
    let url = simulate(settings).await;
    let load = json!({"user": 8, "max_tokens": 8, "grace": 5});
    let report = drive_once_probed(http2(&url, load)).await.report;
    let [failure] = report.failures.as_slice() else { panic!("{:?}", report.failures) };
    assert_eq!(failure.class, FailureClass::Truncated);
    assert!(failure.sample.contains("stream"), "{}", failure.sample);
    assert!(failure.count > 5 && report.requests.completed > failure.count);
    assert_eq!(report.validity.connections_opened, 1, "the connection lives on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_goodbye_gets_its_next_requests_on_a_new_connection() {
    let url = simulate(Settings { silent_close_every: 20, ..quick() }).await;
    let load = json!({"user": 4, "max_tokens": 8, "grace": 5});
    let report = drive(http2(&url, load)).await.report;
    assert_all_went_well(&report);
    assert!(report.requests.completed > 40);
    let (opened, goodbyes) = (report.validity.connections_opened, report.requests.completed / 20);
    assert!(opened > 1 && opened <= goodbyes + 2, "{opened} after {goodbyes} goodbyes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_and_the_end_of_a_run_close_streams_and_not_their_connection() {
    let slow = Settings { ttft_ms: 100.0, jitter: 0.8, ..quick() };
    let stalling = Settings { fault_stall: 0.4, ..quick() };
    for (settings, limits, class) in [
        (slow, json!({"timeout_first_token": 0.15}), FailureClass::TimeoutFirstToken),
        (stalling, json!({"timeout_idle": 0.2}), FailureClass::TimeoutIdle),
        (quick(), json!({"timeout_total": 0.3, "max_tokens": 300}), FailureClass::TimeoutTotal),
    ] {
        let url = simulate(settings).await;
        let mut load = json!({"user": 8, "max_tokens": 8, "ignore_eos": true, "grace": 5});
        let Value::Object(limits) = limits else { unreachable!() };
        load.as_object_mut().unwrap().extend(limits);
        let report = drive_once_probed(http2(&url, load)).await.report;
        let [failure] = report.failures.as_slice() else { panic!("{:?}", report.failures) };
        assert_eq!(failure.class, class);
        assert!(failure.count >= 4, "{failure:?}");
        assert_eq!(report.validity.connections_opened, 1);
        assert_eq!(report.requests.completed > 0, class != FailureClass::TimeoutTotal);
    }
    let url = simulate(Settings { itl_ms: 50.0, ..quick() }).await;
    let long = json!({"user": 6, "max_tokens": 600, "duration": 1, "grace": 0.3});
    let report = drive(http2(&url, long)).await.report;
    assert_eq!((report.requests.started, report.requests.cancelled), (6, 6));
    assert_eq!(report.validity.connections_opened, 1);
    assert!(report.throughput.output_tokens_per_s > 0.0);
    // what was given up is told to the server
    tokio::time::sleep(ms(300)).await;
    let after = stats(&url).await;
    assert_eq!(after.open, 0, "{after:?}");
}

/// Drives a load of a server whose faults may meet the probe too; then there is no load, and it is
/// tried again.
async fn drive_once_probed(spec: shared::BenchmarkSpec) -> loadgen::Outcome {
    loop {
        if let Ok(outcome) = drive_with(spec.clone(), None, CancellationToken::new()).await {
            return outcome;
        }
    }
}

#[tokio::test]
async fn a_target_without_http2_is_refused_by_the_fields_name_before_any_load() {
    let server = ScriptedServer::chat(&Chat::of(&["a"]).usage(4, 1));
    let refused = |error: PrepareError| {
        let reason = error.reason();
        assert_eq!(reason.code, ReasonCode::TargetUnusable, "{reason:?}");
        assert!(reason.detail.contains("http_version"), "{reason:?}");
    };
    let spec = http2(&server.url(), json!({"timeout_connect": 1}));
    refused(drive_with(spec, None, CancellationToken::new()).await.unwrap_err());
    assert!(server.requests_to("/v1/chat/completions").is_empty());

    // one that takes connections and never says a word
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let spec = http2(&url, json!({"timeout_connect": 0.4}));
    refused(drive_with(spec, None, CancellationToken::new()).await.unwrap_err());
}

#[tokio::test]
async fn a_server_that_is_gone_fails_each_request_of_those_that_wait_for_it() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(simulator::serve(quick(), listener, stop.clone()));
    let load = json!({"user": 30, "spawnrate": 10_000, "max_tokens": 4, "scrape": false});
    let settings = super::settings(Driver::default());
    let prepared = loadgen::prepare(http2(&url, load), None, &settings).await.unwrap();
    stop.cancel();
    serving.await.unwrap().unwrap();
    let snapshots = tokio::sync::watch::Sender::new(loadgen::Snapshot::default());
    let control = loadgen::Control { stop: CancellationToken::new(), snapshots };
    let outcome = prepared.run(control).await;
    assert_fails_as(&outcome, FailureClass::Connect, "refused");
    assert_eq!(outcome.report.requests.cancelled, 0);
    assert!(outcome.report.requests.failed >= 30);
}

/// Runs itself once more with the certificates in the trust store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_speaks_http2_where_alpn_agrees_on_it_and_else_is_refused() {
    if let Some(ports) = trusted_ports() {
        let [h2, http1, none]: [u16; 3] = ports.try_into().expect("three");
        let load = json!({"user": 20, "max_tokens": 16, "ignore_eos": true});
        let report = drive(http2(&format!("https://localhost:{h2}"), load)).await.report;
        assert_all_went_well(&report);
        assert_eq!(report.validity.connections_opened, 1);
        assert_eq!(report.validity.stamp_source, StampSource::Kernel);
        assert_eq!(report.latency.tls_ms.unwrap().n, 1);
        assert_eq!(report.tokens.output, 16 * report.requests.completed);
        assert!(report.latency.ttft_ms.unwrap().min >= 30.0);
        for port in [http1, none] {
            let spec = http2(&format!("https://localhost:{port}"), json!({}));
            let error = drive_with(spec, None, CancellationToken::new()).await.unwrap_err();
            assert!(error.to_string().contains("http_version"), "{error}");
        }
        return;
    }
    let url = simulate(quick()).await;
    let address = url["http://".len()..].parse().unwrap();
    let mut fronts = Vec::new();
    for protocols in [&["h2", "http/1.1"][..], &["http/1.1"], &[]] {
        fronts.push(TlsFront::speaking(protocols, address, &["localhost"]).await);
    }
    let name = "http2::https_speaks_http2_where_alpn_agrees_on_it_and_else_is_refused";
    run_again_trusting(&fronts, name).await;
}
