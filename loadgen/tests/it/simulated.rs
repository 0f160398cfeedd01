//! Sums against the simulator's own count, and what a load does over its time.

use serde_json::{Value, json};
use shared::report::{StampSource, TokenSource};
use simulator::{Settings, Stats};
use testkit::{TlsFront, run_again_trusting, trusted_ports};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{DRIVERS, drive, drive_by, drive_with, ms, short, spec};

/// A simulator on a free port, gone with its test's runtime.
pub(super) async fn simulate(settings: Settings) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(simulator::serve(settings, listener, CancellationToken::new()));
    url
}

pub(super) async fn stats(url: &str) -> Stats {
    let text = reqwest_get(&format!("{url}/stats")).await;
    serde_json::from_str(&text).expect("stats")
}

async fn reqwest_get(url: &str) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::get(url).await.expect("an answer").text().await.expect("a text")
}

pub(super) fn quick() -> Settings {
    Settings { ttft_ms: 30.0, itl_ms: 2.0, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_sums_are_the_servers_own() {
    let url = simulate(quick()).await;
    let probed = {
        // What the probe costs is measured by a run that is stopped before its first request.
        let stopped = CancellationToken::new();
        stopped.cancel();
        let spec = short(&url, json!({"max_tokens": 16, "ignore_eos": true}));
        let outcome = drive_with(spec, None, stopped).await.unwrap();
        assert_eq!(outcome.report.requests.started, 0);
        stats(&url).await
    };
    let outcome =
        drive(short(&url, json!({"user": 8, "max_tokens": 16, "ignore_eos": true}))).await;
    let report = &outcome.report;
    let after = stats(&url).await;
    // the second probe costs what the first did
    let counted = after.completed_tokens - 2 * probed.completed_tokens;
    assert_eq!(report.requests.failed + report.requests.cancelled, 0);
    assert_eq!(report.tokens.output, counted);
    assert_eq!(report.tokens.output, 16 * report.requests.completed);
    assert_eq!(report.tokens.source, Some(TokenSource::Usage));
    let series: u64 = outcome.series.iter().map(|second| second.output_tokens).sum();
    assert_eq!(series, report.tokens.output);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_come_at_their_rate_and_the_end_cuts_off_what_is_open() {
    let url = simulate(Settings { ttft_ms: 100.0, itl_ms: 50.0, ..Settings::default() }).await;
    // ten users a second over two seconds; answers of 30 s, cut off at 2 s + 0.5 s
    let load = json!({"url": url, "user": 20, "spawnrate": 10, "duration": 2, "grace": 0.5, "max_tokens": 600});
    let outcome = drive(spec(&load)).await;
    let report = &outcome.report;
    assert_eq!((report.requests.started, report.requests.cancelled), (20, 20));
    assert_eq!(report.concurrency.peak, 20);
    let started: Vec<u64> = outcome.series.iter().map(|second| second.started).collect();
    assert_eq!(started.iter().sum::<u64>(), 20);
    assert!((8..=12).contains(&started[0]), "{started:?}");
    assert!(report.latency.ttft_ms.is_none(), "cut-off requests have no latency");
    assert!(report.throughput.output_tokens_per_s > 0.0, "but their tokens were served");
    assert!(outcome.failure().unwrap().detail.contains("grace"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_run_keeps_what_it_measured_and_sends_nothing_more() {
    let url = simulate(quick()).await;
    let stop = CancellationToken::new();
    let order = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(ms(1500)).await;
        order.cancel();
    });
    let long = short(&url, json!({"duration": 600, "max_tokens": 16}));
    let outcome = drive_with(long, None, stop).await.unwrap();
    assert!(outcome.stopped && outcome.failure().is_none());
    assert!(outcome.report.requests.completed > 0);
    let at_stop = stats(&url).await.requests;
    tokio::time::sleep(ms(300)).await;
    assert_eq!(stats(&url).await.requests, at_stop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn injected_faults_are_counted_one_for_one() {
    let url = simulate(Settings {
        fault_429: 0.2,
        fault_500: 0.1,
        fault_cut: 0.1,
        fault_malformed: 0.1,
        seed: 3,
        ..quick()
    })
    .await;
    // With faults the probe may be refused too; it then ends the run before any load.
    let outcome = loop {
        let spec = short(&url, json!({"user": 8, "max_tokens": 8, "grace": 5}));
        let before = stats(&url).await;
        if let Ok(outcome) = drive_with(spec, None, CancellationToken::new()).await {
            break (outcome, before);
        }
    };
    let (outcome, before) = outcome;
    let after = stats(&url).await;
    let count = |class: &str| -> u64 {
        let named = |failure: &&shared::report::Failure| failure.class.as_str() == class;
        outcome.report.failures.iter().find(named).map_or(0, |failure| failure.count)
    };
    // a fault may have hit the probe's own request, which is then repeated or refused
    for (class, faults, before) in [
        ("http_429", after.faults.http_429, before.faults.http_429),
        ("http_5xx", after.faults.http_500, before.faults.http_500),
        ("truncated", after.faults.cut, before.faults.cut),
        ("malformed", after.faults.malformed, before.faults.malformed),
    ] {
        let injected = faults - before;
        assert!(injected - count(class) <= 1, "{class}: {} of {injected}", count(class));
        assert!(count(class) > 0, "{class}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_sends_the_same_prompts_and_no_prompt_twice() {
    let prompts = async |seed: u64| -> Vec<String> {
        let server = testkit::ScriptedServer::chat(
            &testkit::Chat::of(&["a"]).usage(4, 1).first_token_after(ms(100)),
        );
        drive(short(&server.url(), json!({"seed": seed}))).await;
        let mut sent: Vec<String> = server
            .requests_to("/v1/chat/completions")
            .iter()
            .skip(1)
            .map(|request| request.json()["messages"][0]["content"].to_string())
            .collect();
        sent.sort();
        sent
    };
    let (once, again, other) = (prompts(1).await, prompts(1).await, prompts(2).await);
    let mut distinct = once.clone();
    distinct.dedup();
    assert_eq!(distinct.len(), once.len());
    let common = once.iter().filter(|prompt| again.contains(prompt)).count();
    assert!(common + 4 >= once.len().min(again.len()), "only the last requests may differ");
    assert!(!once.iter().any(|prompt| other.contains(prompt)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn think_time_spaces_requests() {
    let url = simulate(Settings { ttft_ms: 1.0, itl_ms: 1.0, ..Settings::default() }).await;
    let load = json!({"user": 2, "max_tokens": 2, "wait_min": 0.3, "wait_max": 0.3, "duration": 2});
    let outcome = drive(short(&url, load)).await;
    // at most one request each 0.3 s and user, however fast the server is
    assert!(outcome.report.requests.started <= 2 * 7, "{:?}", outcome.report.requests);
    assert!(outcome.report.requests.started >= 4);
}

#[tokio::test]
async fn more_users_than_sockets_are_refused_with_the_number() {
    let url: Value = simulate(quick()).await.into();
    let too_many = spec(&json!({"url": url, "user": 10_000}));
    let capacity = loadgen::socket_capacity();
    if capacity >= 10_000 {
        return; // this machine has room for all that can be asked for
    }
    let error = drive_with(too_many, None, CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains(&capacity.to_string()), "{error}");
}

/// Runs itself once more with the certificate in the trust store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_changes_nothing_in_the_figures() {
    if let Some(ports) = trusted_ports() {
        let port = ports[0];
        for driver in DRIVERS {
            let url = format!("https://localhost:{port}");
            let load = json!({"user": 4, "max_tokens": 16, "ignore_eos": true});
            let report = drive_by(driver, short(&url, load)).await.report;
            assert_eq!(report.requests.failed, 0, "{driver:?} {:?}", report.failures);
            assert!(report.requests.completed > 20);
            assert_eq!(report.tokens.output, 16 * report.requests.completed);
            assert_eq!(report.validity.connections_opened, 4);
            assert_eq!(report.validity.stamp_source, StampSource::Kernel);
            let tls = report.latency.tls_ms.expect("a handshake for each connection");
            assert!(tls.n == 4 && tls.min > 0.1 && tls.max < 1_000.0, "{driver:?}: {tls:?}");
            let fresh = json!({"max_tokens": 16, "fresh_connections": true});
            let each = drive_by(driver, short(&url, fresh)).await.report;
            assert_eq!(each.requests.failed, 0, "{driver:?} {:?}", each.failures);
            assert_eq!(each.latency.tls_ms.expect("some").n, each.requests.started);
            let ttft = report.latency.ttft_ms.expect("some");
            assert!(ttft.min >= 30.0, "{driver:?}: before the simulator's own: {ttft:?}");
        }
        return;
    }
    let url = simulate(quick()).await;
    let front = TlsFront::before(url["http://".len()..].parse().unwrap(), &["localhost"]).await;
    run_again_trusting(&[front], "simulated::tls_changes_nothing_in_the_figures").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_good_and_what_is_left_out_is_as_asked() {
    let url = simulate(quick()).await;
    let asked = json!({
        "duration": 3, "warmup": 1, "cooldown": 1, "max_tokens": 16, "ignore_eos": true,
        "slo_ttft_ms": 5_000, "slo_tpot_ms": 1_000, "slo_itl_ms": 3_000
    });
    let report = drive(short(&url, asked)).await.report;
    let (goodput, window) = (report.goodput.unwrap(), report.window);
    assert_eq!((goodput.ratio, goodput.met), (Some(1.0), goodput.scheduled));
    assert_eq!(window.counted_s, Some(1.0));
    // of about three seconds one counts
    let (counted, completed) = (report.latency.ttft_ms.unwrap().n, report.requests.completed);
    assert_eq!(counted, goodput.scheduled);
    assert!(counted * 2 < completed, "{counted} of {completed}");
    // the first token of other tools is the role's event, which comes at once
    let aliases = report.aliases;
    let (theirs, ours) = (aliases.vllm_ttft_ms.unwrap(), report.latency.ttfe_ms.unwrap());
    assert_eq!((theirs.n, theirs.p50), (ours.n, ours.p50));
    assert_eq!(aliases.aiperf_itl_ms, report.latency.tpot_ms);

    let asked = json!({"max_tokens": 16, "slo_ttft_ms": 0.001});
    let report = drive(short(&url, asked)).await.report;
    let goodput = report.goodput.unwrap();
    assert_eq!((goodput.met, goodput.ratio), (0, Some(0.0)));
    assert_eq!(goodput.scheduled, report.requests.scheduled);
}
