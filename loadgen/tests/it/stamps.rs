//! Figures against the instants at which a scripted server wrote.

use std::time::Duration;

use loadgen::{Driver, Handicap};
use serde_json::{Value, json};
use shared::report::{Distribution, StampSource, Verdict};
use testkit::{Chat, Script, ScriptedServer};

use super::{DRIVERS, drive, drive_by, drive_under, ms, short};

/// The server's own gaps between the writes of each answer, from write `first` to write `last`, in ms.
fn gaps_ms(server: &ScriptedServer, first: usize, last: usize) -> Vec<f64> {
    server
        .requests_to("/v1/chat/completions")
        .iter()
        .skip(1) // the probe
        .filter_map(|request| {
            let writes = server.writes_to(request.number);
            let gap: Duration = writes.get(last)?.at.duration_since(writes.get(first)?.at);
            Some(gap.as_secs_f64() * 1e3)
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Kernel stamps do not depend on when this process got its turn, and both ends are on one
/// machine; what is left is what the server's threads lost between their stamp and their write.
fn assert_near(measured: &Distribution, truth_ms: f64) {
    assert!(
        (measured.mean - truth_ms).abs() < 0.1 * truth_ms + 3.0,
        "measured {:.2} ms, written {truth_ms:.2} ms",
        measured.mean
    );
}

#[tokio::test]
async fn ttft_tpot_and_e2e_are_what_the_server_wrote() {
    let chat = Chat::of(&["a", "b", "c", "d", "e"])
        .usage(4, 5)
        .first_token_after(ms(120))
        .token_every(ms(40));
    let server = ScriptedServer::chat(&chat);
    let outcome = drive(short(&server.url(), json!({"user": 3, "grace": 5}))).await;
    let latency = &outcome.report.latency;

    // writes: 0 head, 1 role, 2 to 6 tokens
    let tpot = gaps_ms(&server, 2, 6).iter().map(|gap| gap / 4.0).collect::<Vec<_>>();
    assert_near(latency.tpot_ms.as_ref().unwrap(), mean(&tpot));
    assert_near(latency.itl_ms.as_ref().unwrap(), mean(&tpot));
    let ttft = mean(&gaps_ms(&server, 1, 2));
    assert_near(latency.ttft_ms.as_ref().unwrap(), ttft);
    assert_near(latency.e2e_ms.as_ref().unwrap(), mean(&gaps_ms(&server, 1, 6)));
    let first_event = latency.ttfe_ms.as_ref().unwrap();
    assert!(
        first_event.mean < latency.ttft_ms.as_ref().unwrap().mean / 2.0,
        "the role is an event"
    );
    assert!(latency.ttft_ms.as_ref().unwrap().max <= latency.e2e_ms.as_ref().unwrap().max);
}

/// Head and role at once, reasoning after 60 ms, the answer's first event after 60 more and with
/// three tokens in it, another of two after 90, then usage and `[DONE]` 80 ms after the last.
fn every_row() -> Script {
    let event = |delta: Value, tokens: u64| {
        json!({
            "choices": [{"index": 0, "delta": delta}],
            "usage": {"prompt_tokens": 5, "completion_tokens": tokens}
        })
    };
    let finish = json!({
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 6}
    });
    Script::new()
        .chunked_head()
        .event(&event(json!({"role": "assistant", "content": ""}), 0))
        .after(ms(60))
        .event(&event(json!({"reasoning_content": "hm"}), 1))
        .after(ms(60))
        .event(&event(json!({"content": "a b c"}), 4))
        .after(ms(90))
        .event(&event(json!({"content": " d e"}), 6))
        .after(ms(80))
        .event(&finish)
        .done()
        .end_chunks()
}

#[tokio::test]
async fn every_latency_row_is_what_a_stream_of_known_times_says() {
    for driver in DRIVERS {
        let server = ScriptedServer::chat_script(every_row());
        let load = short(&server.url(), json!({"user": 2, "grace": 5}));
        let report = drive_by(driver, load).await.report;
        assert_eq!(report.requests.failed, 0, "{:?}", report.failures);
        // writes: 0 head, 1 role, 2 reasoning, 3 three tokens, 4 two tokens, 5 finish, 6 [DONE]
        let between = |first, last| mean(&gaps_ms(&server, first, last));
        let (to_reasoning, to_three, to_two) = (between(1, 2), between(2, 3), between(3, 4));
        let near = |name: &str, measured: &Option<Distribution>, truth_ms: f64| {
            let measured = measured.as_ref().unwrap_or_else(|| panic!("no {name}"));
            let off = (measured.mean - truth_ms).abs();
            assert!(off < 0.05 * truth_ms + 3.0, "{driver:?}, {name}: {truth_ms}, {measured:?}");
        };
        let latency = &report.latency;
        near("ttfe_ms", &latency.ttfe_ms, between(0, 1));
        near("ttft_ms", &latency.ttft_ms, to_reasoning);
        near("ttfa_ms", &latency.ttfa_ms, to_reasoning + to_three);
        near("e2e_ms", &latency.e2e_ms, to_reasoning + to_three + to_two);
        near("tpot_ms", &latency.tpot_ms, (to_three + to_two) / 5.0);
        // a gap before k tokens is k gaps of a k-th
        near("itl_ms", &latency.itl_ms, (to_three + to_two) / 5.0);
        let itl = latency.itl_ms.as_ref().unwrap();
        assert!((itl.p25 - to_three / 3.0).abs() < 3.0, "{driver:?}: {itl:?}");
        assert!((itl.p90 - to_two / 2.0).abs() < 5.0, "{driver:?}: {itl:?}");
        assert_eq!(itl.n, 5 * report.requests.completed);
        assert_eq!(latency.itl_raw_share, Some(0.0));
        near("icl_ms", &latency.icl_ms, f64::midpoint(to_three, to_two));
        near("stall_ms", &latency.stall_ms, to_two);
        near("wait_ms", &latency.wait_ms, 0.0);
        let speed = report.token_speed_per_s.as_ref().unwrap();
        assert!((speed.p50 - 5_000.0 / (to_three + to_two)).abs() < 3.0, "{driver:?}: {speed:?}");
        let rate = report.output_token_rate_per_s.as_ref().unwrap();
        let e2e = to_reasoning + to_three + to_two;
        assert!((rate.p50 - 6_000.0 / e2e).abs() < 2.0, "{driver:?}: {rate:?}");
        // who never waits is due when the answer before has ended
        let from_intent = latency.from_intent.ttft_ms.as_ref().unwrap();
        let ttft = latency.ttft_ms.as_ref().unwrap();
        assert!(from_intent.p50.unwrap() >= ttft.p50 - 0.5, "{from_intent:?} {ttft:?}");
        assert_eq!(report.tokens.output, 6 * report.requests.completed);
        assert_eq!(report.finish_reasons.stop, report.requests.completed);
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn stamps_are_the_kernels() {
    let server = ScriptedServer::chat(&Chat::of(&["a", "b", "c"]).usage(4, 3).token_every(ms(3)));
    let outcome = drive(short(&server.url(), json!({}))).await;
    let validity = &outcome.report.validity;
    assert_eq!(validity.stamp_source, StampSource::Kernel, "{:?}", validity.reasons);
    assert!(validity.stamp_lag_ms.as_ref().is_some_and(|lag| lag.n > 0));
}

#[tokio::test]
async fn a_handicap_is_seen_in_the_instruments_own_figures() {
    let server = ScriptedServer::chat(&Chat::of(&["a"; 20]).usage(4, 20).token_every(ms(5)));
    for driver in DRIVERS {
        let none = Handicap::default();
        let free = drive_under(none, driver, short(&server.url(), json!({}))).await.report.validity;
        let own_stamps = Handicap { user_stamps: true, spin_per_event: ms(2) };
        let slow = drive_under(own_stamps, driver, short(&server.url(), json!({})));
        let slow = slow.await.report.validity;
        assert_eq!(slow.stamp_source, StampSource::User);
        // two streams: one may have to wait for the other's work
        match (driver, &slow.stamp_lag_ms) {
            (Driver::Readiness, Some(lag)) => assert!(lag.p99 >= 1.0 && lag.p50 < 10.0, "{lag:?}"),
            (driver, lag) => assert_eq!((driver, lag), (Driver::Hyper, &None)),
        }
        assert_ne!(slow.verdict, Verdict::Valid, "2 ms of an ITL of 5: {:?}", slow.reasons);
        let (free, slow) = (free.cpu_share.unwrap(), slow.cpu_share.unwrap());
        // two users with a token of 2 ms each 5 ms: four fifths of a core, as far as there is one
        assert!(slow > 3.0 * free, "{driver:?}: {slow} and {free}");
    }
}

#[tokio::test]
async fn one_connection_a_user_is_kept() {
    let server = ScriptedServer::chat(&Chat::of(&["a"]).usage(4, 1).first_token_after(ms(20)));
    let outcome = drive(short(&server.url(), json!({"user": 4}))).await;
    assert_eq!(outcome.report.validity.connections_opened, 4);
    assert!(outcome.report.requests.completed > 20);
}
