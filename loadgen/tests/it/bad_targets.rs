//! What a target does wrong under load lands in its class, and a run of nothing but failures says so.

use serde_json::json;
use shared::report::{FailureClass, TokenSource};
use testkit::{Chat, Script, ScriptedServer};
use tokio_util::sync::CancellationToken;

use super::{DRIVERS, assert_fails_as, drive, drive_by, drive_with, ms, only_failure, short};
use loadgen::Outcome;

const CHAT: &str = "POST /v1/chat/completions";

/// Well-behaved while it is probed, then plays `script` to every request.
fn turning_to(script: Script) -> ScriptedServer {
    let good = Chat::of(&["a", "b"]).usage(5, 2);
    ScriptedServer::scripted()
        .on("GET /v1/models", good.models())
        .once(CHAT, good.script())
        .on(CHAT, script)
        .start()
}

async fn fails_as(script: Script, class: FailureClass, words: &str) {
    let impatient = json!({"timeout_first_token": 0.3, "timeout_idle": 0.3, "timeout_total": 5});
    for driver in DRIVERS {
        let server = turning_to(script.clone());
        let spec = short(&server.url(), impatient.clone());
        assert_fails_as(&drive_by(driver, spec).await, class, words);
    }
}

#[tokio::test]
async fn refusals_are_classed_by_their_status_and_keep_the_body() {
    for (status, class) in [
        (401, FailureClass::Http4xx),
        (404, FailureClass::Http4xx),
        (429, FailureClass::Http429),
        (500, FailureClass::Http5xx),
        (503, FailureClass::Http5xx),
    ] {
        let body = format!("sorry, {status} today");
        let script = Script::answer(status, "text/plain", &body);
        fails_as(script, class, &body).await;
    }
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let elsewhere = ScriptedServer::chat(&Chat::of(&["x"]));
    let location = format!("{}/v1/chat/completions", elsewhere.url());
    let script = Script::new().head(302, &[("location", &location), ("content-length", "0")]);
    fails_as(script, FailureClass::Http4xx, "HTTP 302").await;
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_page_and_plain_json_are_malformed() {
    let page = Script::answer(200, "text/html; charset=utf-8", "<html>login</html>");
    fails_as(page, FailureClass::Malformed, "<html>login").await;
    let json = Script::answer(200, "application/json", r#"{"choices":[]}"#);
    fails_as(json, FailureClass::Malformed, "application/json").await;
    let event = Script::stream(&[
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
        "data: oops\n\n",
    ]);
    fails_as(event.end_chunks(), FailureClass::Malformed, "oops").await;
}

#[tokio::test]
async fn a_server_that_never_answers_times_out_at_the_first_token() {
    fails_as(Script::new().stall(), FailureClass::TimeoutFirstToken, "no token").await;
    fails_as(Script::new().chunked_head().stall(), FailureClass::TimeoutFirstToken, "no token")
        .await;
}

#[tokio::test]
async fn a_stream_that_stands_still_times_out_as_idle() {
    let script = Script::new().chunked_head().token("a").token("b").stall();
    fails_as(script, FailureClass::TimeoutIdle, "after 2 token events").await;
}

#[tokio::test]
async fn a_stream_that_drips_for_ever_times_out_as_a_whole() {
    let drip =
        (0..200).fold(Script::new().chunked_head(), |script, _| script.token("a").after(ms(50)));
    let server = turning_to(drip);
    let limits = json!({"timeout_total": 0.6, "timeout_idle": 0.5});
    assert_fails_as(
        &drive(short(&server.url(), limits)).await,
        FailureClass::TimeoutTotal,
        "not over",
    );
}

#[tokio::test]
async fn a_cut_stream_is_truncated_however_it_is_cut() {
    let begun = || Script::new().chunked_head().token("a").token("b");
    fails_as(begun().close(), FailureClass::Truncated, "after 2 token events").await;
    fails_as(begun().reset(), FailureClass::Truncated, "after 2 token events").await;
    fails_as(begun().end_chunks(), FailureClass::Truncated, "neither a finish_reason nor [DONE]")
        .await;
    let silent = Script::new().closing_head().close();
    fails_as(silent, FailureClass::Truncated, "after 0 token events").await;
}

#[tokio::test]
async fn an_error_inside_the_stream_is_told_in_its_words() {
    let error = json!({"error": {"message": "CUDA out of memory", "code": 500}});
    let script = Script::new().chunked_head().token("a").event(&error).done().end_chunks();
    fails_as(script, FailureClass::StreamError, "CUDA out of memory").await;
}

#[tokio::test]
async fn an_answer_without_a_token_is_empty() {
    let role = json!({"choices": [{"delta": {"role": "assistant", "content": null}}]});
    let script = Script::new().chunked_head().event(&role).done().end_chunks();
    fails_as(script, FailureClass::EmptyOutput, "empty").await;
}

#[tokio::test]
async fn a_connection_that_closes_before_it_answers_is_a_connect_failure() {
    fails_as(Script::new().close(), FailureClass::Connect, "before the answer began").await;
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_fails_before_any_load() {
    let spec = short(&ScriptedServer::refusing_url(), json!({"model": "tiny"}));
    let error =
        drive_with(spec, None, CancellationToken::default()).await.expect_err("nobody listens");
    assert_eq!(error.reason().code, shared::ReasonCode::TargetUnreachable);
}

#[tokio::test]
async fn a_key_that_a_target_repeats_is_in_no_figure() {
    let server =
        turning_to(Script::answer(401, "text/plain", "bad key sk-canary-1234, sk-canary-1234!"));
    let key = Some("sk-canary-1234".into());
    let outcome = drive_with(short(&server.url(), json!({})), key, CancellationToken::default())
        .await
        .unwrap();
    assert_eq!(server.requests()[1].header("authorization"), Some("Bearer sk-canary-1234"));
    assert_eq!(only_failure(&outcome).class, FailureClass::Http4xx);
    let all = serde_json::to_string(&outcome.report).unwrap();
    assert!(!all.contains("canary"), "{all}");
    assert!(!format!("{:?}", outcome.failure()).contains("canary"));
}

/// Odd, but right: each of these must count as completed.
async fn completes(script: Script) -> [Outcome; 2] {
    let mut outcomes = Vec::new();
    for driver in DRIVERS {
        let server = turning_to(script.clone());
        let outcome = drive_by(driver, short(&server.url(), json!({}))).await;
        let requests = &outcome.report.requests;
        assert!(requests.completed > 0, "{:?}", outcome.report.failures);
        assert_eq!((requests.failed, outcome.failure()), (0, None));
        outcomes.push(outcome);
    }
    outcomes.try_into().expect("one outcome a driver")
}

#[tokio::test]
async fn no_usage_is_counted_by_events_and_marked() {
    for outcome in completes(Chat::of(&["a", "b", "c"]).token_every(ms(5)).script()).await {
        let tokens = &outcome.report.tokens;
        assert_eq!(tokens.source, Some(TokenSource::Events));
        assert!(tokens.estimated);
        assert_eq!(tokens.output, 3 * outcome.report.requests.completed);
    }
}

#[tokio::test]
async fn odd_dialects_are_understood() {
    let content = r#"{"choices":[{"delta":{"content":"hi"}}]}"#;
    let finish = r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
    for (name, pieces) in [
        ("crlf", vec![format!("data: {content}\r\n\r\n"), "data: [DONE]\r\n\r\n".to_owned()]),
        ("no space", vec![format!("data:{content}\n\n"), "data:[DONE]\n\n".to_owned()]),
        ("no [DONE]", vec![format!("data: {content}\n\n"), format!("data: {finish}\n\n")]),
        ("no finish_reason", vec![format!("data: {content}\n\n"), "data: [DONE]\n\n".to_owned()]),
        (
            "comments",
            vec![
                ": ping\n\n".to_owned(),
                format!("data: {content}\n\n"),
                format!("data: {finish}\n\n"),
            ],
        ),
        (
            "content null",
            vec![
                "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n"
                    .to_owned(),
                format!("data: {content}\n\n"),
                format!("data: {finish}\n\n"),
            ],
        ),
    ] {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        for outcome in completes(Script::stream(&pieces).end_chunks()).await {
            let report = outcome.report;
            assert_eq!(report.tokens.output, report.requests.completed, "{name}");
        }
    }
}

#[tokio::test]
async fn usage_with_empty_choices_is_counted() {
    for outcome in completes(Chat::of(&["a", "b"]).usage(9, 7).script()).await {
        let report = outcome.report;
        assert_eq!(report.tokens.source, Some(TokenSource::Usage));
        assert_eq!(report.tokens.output, 7 * report.requests.completed);
        assert_eq!(report.tokens.input, Some(9 * report.requests.completed));
    }
}

#[tokio::test]
async fn a_server_that_closes_after_every_answer_is_measured_all_the_same() {
    let event =
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
    for outcome in completes(Script::new().closing_head().raw(event).close()).await {
        let validity = outcome.report.validity;
        assert_eq!(validity.reused_share, Some(0.0));
        assert_eq!(validity.connections_opened, outcome.report.requests.started);
    }
}

#[tokio::test]
async fn a_connection_closed_in_silence_is_replaced_and_costs_no_request() {
    // Whole answers that promise to keep the connection, and then do not.
    let server = turning_to(Chat::of(&["a"]).usage(3, 1).first_token_after(ms(5)).script().close());
    let outcome = drive(short(&server.url(), json!({"user": 4}))).await;
    let requests = outcome.report.requests;
    assert_eq!(requests.failed, 0, "{:?}", outcome.report.failures);
    assert!(requests.completed > 20);
}

#[tokio::test]
async fn a_kept_connection_that_breaks_late_is_a_failure() {
    let good = Chat::of(&["a"]).usage(3, 1);
    let server = ScriptedServer::scripted()
        .on("GET /v1/models", good.models())
        .once(CHAT, good.script()) // the probe
        .once(CHAT, good.script())
        .on(CHAT, Script::new().after(ms(1500)).close())
        .start();
    let outcome = drive(short(&server.url(), json!({"user": 1, "grace": 5}))).await;
    assert_eq!(outcome.report.requests.failed, 1, "{:?}", outcome.report);
    assert_eq!(outcome.report.failures[0].class, FailureClass::Connect);
}

#[tokio::test]
async fn a_stream_left_open_after_done_still_completes() {
    let script = Script::new().chunked_head().token("a").done().stall();
    completes(script).await;
}
