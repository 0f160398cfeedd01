//! Every kind of target, good and bad, as the probe sees it before a load.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::ReasonCode;
use target::probe::{Capabilities, ProbeFailure, probe};
use testkit::{Chat, Received, Script, ScriptedServer};

use crate::{control_of, spec_of};

const MODELS: &str = "GET /v1/models";
const CHAT: &str = "POST /v1/chat/completions";

async fn probed_with(
    server: &ScriptedServer,
    changes: &Value,
) -> Result<Capabilities, ProbeFailure> {
    let spec = spec_of(&server.url(), changes);
    probe(&control_of(&spec, None), &spec).await
}

async fn probed(server: &ScriptedServer) -> Result<Capabilities, ProbeFailure> {
    probed_with(server, &json!({})).await
}

async fn probed_chat(script: Script) -> Result<Capabilities, ProbeFailure> {
    probed(&ScriptedServer::chat_script(script)).await
}

/// Asserts why a probe failed and that it says so in these words.
#[track_caller]
fn assert_failed(outcome: Result<Capabilities, ProbeFailure>, code: ReasonCode, words: &[&str]) {
    let failure = outcome.expect_err("the probe passed");
    let reason = failure.reason();
    assert_eq!(reason.code, code, "{reason:?}");
    for word in words {
        assert!(reason.detail.contains(word), "`{word}` is not in `{}`", reason.detail);
    }
    assert_eq!(failure.to_string(), reason.detail);
}

fn bodies(server: &ScriptedServer) -> Vec<Value> {
    server.requests_to("/v1/chat/completions").iter().map(Received::json).collect()
}

/// Answers 400 to requests with one of these fields, as servers do that check what they get.
fn refusing(fields: &'static [&'static str], status: u16) -> ScriptedServer {
    let chat = Chat::of(&["one", " two"]).usage(5, 2);
    ScriptedServer::scripted()
        .on(MODELS, chat.models())
        .with(CHAT, move |request| {
            let body = request.json();
            match fields.iter().find(|field| body.get(**field).is_some()) {
                Some(field) => {
                    let words = format!("unknown field `{field}`");
                    Script::json(status, &json!({"error": {"message": words}}))
                }
                None => chat.script(),
            }
        })
        .start()
}

#[tokio::test]
async fn a_good_server_is_asked_twice_and_described() {
    let chat = Chat::of(&["one", " two"]).usage(5, 2);
    let server = ScriptedServer::scripted()
        .on(MODELS, Script::models(&["first", "second"]))
        .on(
            CHAT,
            Script::new()
                .head(
                    200,
                    &[
                        ("content-type", "text/event-stream"),
                        ("transfer-encoding", "chunked"),
                        ("server", "scripted/1"),
                    ],
                )
                .event(&json!({"system_fingerprint": "fp_7", "choices": [{"delta": {"content": "x"}}]}))
                .done()
                .end_chunks(),
        )
        .start();
    let found = probed(&server).await.unwrap();
    let expected = Capabilities {
        stream_usage: true,
        ignore_eos: false,
        min_tokens: false,
        model: "first".into(),
        context_tokens: None,
        server: Some("scripted/1".into()),
        system_fingerprint: Some("fp_7".into()),
    };
    assert_eq!(found, expected);
    let bodies = bodies(&server);
    assert_eq!(bodies.len(), 1);
    assert_eq!(bodies[0]["model"], "first");
    assert_eq!(bodies[0]["stream"], true);
    assert_eq!(bodies[0]["max_tokens"], 4);
    assert_eq!(bodies[0]["stream_options"], json!({"include_usage": true}));
    assert!(bodies[0].get("min_tokens").is_none(), "nobody asked for it");

    let named = ScriptedServer::chat(&chat.model("org/name"));
    let found = probed_with(&named, &json!({"model": "org/name"})).await.unwrap();
    assert_eq!(found.model, "org/name");
    assert_eq!(found.system_fingerprint.as_deref(), Some("fp_scripted"));
}

#[tokio::test]
async fn wanted_fields_that_are_taken_are_sent_together() {
    let server = refusing(&[], 400);
    let exact = json!({"output": {"max_tokens": 128, "min_tokens": 64, "ignore_eos": true}});
    let found = probed_with(&server, &exact).await.unwrap();
    assert!(found.stream_usage && found.ignore_eos && found.min_tokens, "{found:?}");
    let bodies = bodies(&server);
    assert_eq!(bodies.len(), 1);
    assert_eq!((&bodies[0]["min_tokens"], &bodies[0]["ignore_eos"]), (&json!(2), &json!(true)));
}

#[tokio::test]
async fn fields_that_are_refused_are_found_out_one_at_a_time() {
    let exact = json!({"output": {"max_tokens": 128, "min_tokens": 64, "ignore_eos": true}});
    // What the server refuses; what it takes then: stream_usage, ignore_eos, min_tokens.
    let cases: &[(&'static [&'static str], u16, [bool; 3])] = &[
        (&["stream_options"], 400, [false, true, true]),
        (&["ignore_eos"], 422, [true, false, true]),
        (&["min_tokens"], 422, [true, true, false]),
        (&["min_tokens", "ignore_eos"], 400, [true, false, false]),
        (&["stream_options", "min_tokens", "ignore_eos"], 400, [false, false, false]),
    ];
    for (refused, status, takes) in cases {
        let server = refusing(refused, *status);
        let found = probed_with(&server, &exact).await.unwrap();
        let seen = [found.stream_usage, found.ignore_eos, found.min_tokens];
        assert_eq!(seen, *takes, "{refused:?}");
    }
    let plain = refusing(&["stream_options"], 400);
    assert!(!probed(&plain).await.unwrap().stream_usage);
}

#[tokio::test]
async fn a_request_that_is_refused_as_such_is_told_in_the_targets_words() {
    let server = refusing(&["messages"], 400);
    let refused = probed(&server).await;
    assert_failed(refused, ReasonCode::TargetUnusable, &["HTTP 400", "unknown field `messages`"]);
}

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    let spec = spec_of(&ScriptedServer::refusing_url(), &json!({}));
    let refused = probe(&control_of(&spec, None), &spec).await;
    assert_failed(refused, ReasonCode::TargetUnreachable, &["cannot be reached", "refused"]);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unreachable() {
    let spec = spec_of("http://llm.invalid:8000", &json!({}));
    let egress =
        crate::local().with_lookup(|_, _| async { Err(std::io::Error::other("no such host")) });
    let control = target::Control::new(&egress, &spec.url, None).unwrap();
    let failed = probe(&control, &spec).await;
    assert_failed(
        failed,
        ReasonCode::TargetUnreachable,
        &["the target's name did not resolve: no such host"],
    );
}

#[tokio::test]
async fn a_refused_key_is_told_apart() {
    for status in [401, 403] {
        let words = json!({"error": {"message": "no such key"}});
        let server = ScriptedServer::scripted()
            .on(MODELS, Script::json(status, &words))
            .on(CHAT, Script::json(status, &words))
            .start();
        assert_failed(
            probed(&server).await,
            ReasonCode::AuthRejected,
            &["no such key", &status.to_string()],
        );
        // Some servers list to anybody, and check the key of a chat alone.
        assert_failed(
            probed_chat(Script::json(status, &words)).await,
            ReasonCode::AuthRejected,
            &["no such key"],
        );
    }
}

#[tokio::test]
async fn a_status_that_ends_every_request_is_told_with_its_body() {
    for status in [429, 500, 503] {
        let words = json!({"error": {"message": "come back later"}});
        let server = ScriptedServer::scripted().on(MODELS, Script::json(status, &words)).start();
        let expected = ["come back later", &format!("HTTP {status}")];
        assert_failed(probed(&server).await, ReasonCode::TargetUnusable, &expected);
        let chat = probed_chat(Script::json(status, &words)).await;
        assert_failed(chat, ReasonCode::TargetUnusable, &expected);
    }
    let empty = probed_chat(Script::answer(500, "text/plain", "")).await;
    assert_failed(empty, ReasonCode::TargetUnusable, &["HTTP 500", "(no body)"]);
}

#[tokio::test]
async fn a_model_that_is_not_there_is_missing() {
    let server = ScriptedServer::scripted()
        .on(MODELS, Script::models(&["a", "b", "c", "d", "e", "f", "g"]))
        .start();
    let missing = probed_with(&server, &json!({"model": "x"})).await;
    assert_failed(
        missing,
        ReasonCode::ModelMissing,
        &["`x`", "`a`, `b`, `c`, `d`, `e` and 2 more"],
    );
    assert_eq!(server.requests().len(), 1, "it was not asked for an answer");

    let none = ScriptedServer::scripted().on(MODELS, Script::models(&[])).start();
    assert_failed(probed(&none).await, ReasonCode::ModelMissing, &["lists none"]);

    let unlisted = ScriptedServer::scripted().start();
    assert_failed(probed(&unlisted).await, ReasonCode::ModelMissing, &["does not list", "404"]);
}

#[tokio::test]
async fn a_named_model_needs_no_list() {
    let chat = Chat::of(&["x"]);
    let not_there = Script::json(404, &json!({"detail": "Not Found"}));
    let not_allowed = Script::answer(405, "text/plain", "");
    let no_list = Script::json(200, &json!({"object": "something"}));
    let no_models = Script::models(&[]);
    for list in [not_there, not_allowed, no_list, no_models] {
        let server = ScriptedServer::scripted().on(MODELS, list).on(CHAT, chat.script()).start();
        let found = probed_with(&server, &json!({"model": "y"})).await.unwrap();
        assert_eq!(found.model, "y");
        assert_eq!(bodies(&server)[0]["model"], "y");
    }
}

#[tokio::test]
async fn a_chat_refused_for_its_model_is_missing_one() {
    let refusals = [
        (404, "The model `x` does not exist."),
        (404, "model \"x\" not found, try pulling it first"),
        (404, "model_not_found"),
        (400, "Invalid model name passed in model=x"),
    ];
    for (status, words) in refusals {
        let script = Script::json(status, &json!({"error": {"message": words}}));
        assert_failed(probed_chat(script).await, ReasonCode::ModelMissing, &["HTTP"]);
    }
    let no_chat = probed_chat(Script::json(404, &json!({"detail": "Not Found"}))).await;
    assert_failed(no_chat, ReasonCode::TargetUnusable, &["HTTP 404", "Not Found"]);
}

#[tokio::test]
async fn a_web_page_is_unusable() {
    let page = Script::answer(200, "text/html", "<!DOCTYPE html><h1>Welcome</h1>");
    let server = ScriptedServer::scripted().on(MODELS, page.clone()).on(CHAT, page.clone()).start();
    assert_failed(probed(&server).await, ReasonCode::TargetUnusable, &["<h1>Welcome</h1>"]);
    let named = probed_with(&server, &json!({"model": "x"})).await;
    assert_failed(named, ReasonCode::TargetUnusable, &["<h1>Welcome</h1>"]);
    let chat = probed_chat(page).await;
    assert_failed(chat, ReasonCode::TargetUnusable, &["web page", "<h1>Welcome</h1>"]);
}

#[tokio::test]
async fn a_redirect_is_unusable_and_not_followed() {
    let elsewhere = ScriptedServer::chat(&Chat::of(&["x"]));
    let location = format!("{}/v1/models", elsewhere.url());
    for status in [301, 302, 303, 307, 308] {
        let redirect =
            Script::new().head(status, &[("location", &location), ("content-length", "0")]);
        let server = ScriptedServer::scripted().on(MODELS, redirect.clone()).start();
        assert_failed(
            probed(&server).await,
            ReasonCode::TargetUnusable,
            &["redirects are not followed", &status.to_string(), &location],
        );
        assert_failed(probed_chat(redirect).await, ReasonCode::TargetUnusable, &["redirect"]);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_target_that_never_answers_is_unreachable_in_its_time() {
    let timeouts = json!({"timeouts": {
        "connect_s": 5.0, "first_token_s": 0.4, "idle_s": 5.0, "total_s": 0.4,
    }});
    let silent = ScriptedServer::scripted().on(MODELS, Script::new().stall()).start();
    let began = Instant::now();
    let outcome = probed_with(&silent, &timeouts).await;
    assert_failed(outcome, ReasonCode::TargetUnreachable, &["did not answer within"]);

    let silent = ScriptedServer::chat_script(Script::new().stall());
    let outcome = probed_with(&silent, &timeouts).await;
    assert_failed(outcome, ReasonCode::TargetUnreachable, &["did not answer within"]);

    let silent = ScriptedServer::chat_script(Script::new().chunked_head().stall());
    let outcome = probed_with(&silent, &timeouts).await;
    assert_failed(outcome, ReasonCode::TargetUnreachable, &["did not answer within"]);

    // Always something, never an answer.
    let ping = |script: Script, _| script.after(Duration::from_millis(50)).sse(": ping\n\n");
    let dripping = (0..1_000).fold(Script::new().chunked_head(), ping);
    let outcome = probed_with(&ScriptedServer::chat_script(dripping), &timeouts).await;
    assert_failed(outcome, ReasonCode::TargetUnreachable, &["did not answer within"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_stream_that_stalls_or_is_cut_after_a_token_passes() {
    let token = Script::new().chunked_head().token("x");
    for script in [token.clone().stall(), token.clone().reset(), token.clone().close()] {
        probed_chat(script).await.unwrap();
    }
    let half_an_event =
        Script::new().closing_head().raw("data: {\"choices\":[]}\n\ndata: {\"cho").close();
    probed_chat(half_an_event).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_ends_before_an_answer_is_unreachable() {
    for script in [Script::new().close(), Script::new().reset()] {
        assert_failed(
            probed_chat(script).await,
            ReasonCode::TargetUnreachable,
            &["cannot be reached"],
        );
    }
}

#[tokio::test]
async fn an_error_in_the_stream_is_unusable() {
    let object =
        Script::stream(&["data: {\"error\":{\"message\":\"out of memory\"}}\n\n"]).end_chunks();
    let text = Script::stream(&["data: {\"error\":\"out of memory\"}\n\n"]).end_chunks();
    let whole = Script::json(200, &json!({"error": {"message": "out of memory"}}));
    for script in [object, text, whole] {
        assert_failed(probed_chat(script).await, ReasonCode::TargetUnusable, &["out of memory"]);
    }
    let list = Script::json(200, &json!({"error": {"message": "no list today"}}));
    let server = ScriptedServer::scripted().on(MODELS, list).start();
    assert_failed(probed(&server).await, ReasonCode::TargetUnusable, &["no list today"]);
}

#[tokio::test]
async fn streams_as_they_really_come_pass() {
    let streams: &[(&str, &[&str])] = &[
        (
            "no usage",
            &["data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n", "data: [DONE]\n\n"],
        ),
        (
            "usage with empty choices",
            &[
                "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n",
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n",
                "data: [DONE]\n\n",
            ],
        ),
        (
            "content null",
            &[
                "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n",
                "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n",
            ],
        ),
        (
            "crlf",
            &["data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\r\n\r\ndata: [DONE]\r\n\r\n"],
        ),
        ("cr", &["data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\r\rdata: [DONE]\r\r"]),
        (
            "no space",
            &["data:{\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n", "data:[DONE]\n\n"],
        ),
        (
            "cut anywhere",
            &["da", "ta: {\"choices\":[{\"del", "ta\":{\"content\":\"x\"}}]}", "\n", "\n"],
        ),
        ("no last blank line", &["data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}"]),
        (
            "comments and names",
            &[": hi\n\nevent: x\nid: 1\ndata: {\"choices\":[]}\n\ndata: [DONE]\n\n"],
        ),
        ("no token at all", &["data: {\"choices\":[{\"delta\":{}}]}\n\ndata: [DONE]\n\n"]),
        ("done alone", &["data: [DONE]\n\n"]),
    ];
    for (name, pieces) in streams {
        let outcome = probed_chat(Script::stream(pieces).end_chunks()).await;
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_is_no_stream_is_unusable() {
    let cases: Vec<(Script, &[&str])> = vec![
        (Script::answer(200, "text/event-stream", ""), &["nothing"]),
        (
            Script::answer(200, "text/plain", "hello"),
            &["not an event stream", "text/plain", "hello"],
        ),
        (
            Script::stream(&["data: hello\n\n"]).end_chunks(),
            &["not one of chat/completions", "`hello`"],
        ),
        (
            Script::stream(&["data: {\"type\":\"ping\"}\n\n"]).end_chunks(),
            &["neither choices nor usage"],
        ),
        (Script::json(200, &json!({"choices": [{"message": {"content": "hi"}}]})), &["one piece"]),
        (
            Script::new().head(
                200,
                &[
                    ("content-type", "text/event-stream"),
                    ("content-encoding", "gzip"),
                    ("content-length", "0"),
                ],
            ),
            &["content-encoding `gzip`"],
        ),
        (
            Script::stream(&[&format!("data: {}", "x".repeat(1024 * 1024 + 1))]).end_chunks(),
            &["not an event stream", "xxx"],
        ),
    ];
    for (script, words) in cases {
        assert_failed(probed_chat(script).await, ReasonCode::TargetUnusable, words);
    }
}

#[tokio::test]
async fn a_url_with_v1_is_the_same_target() {
    let server = ScriptedServer::chat(&Chat::of(&["x"]));
    for url in [server.url(), format!("{}/v1", server.url()), format!("{}/v1/", server.url())] {
        let spec = spec_of(&url, &json!({}));
        assert_eq!(probe(&control_of(&spec, None), &spec).await.unwrap().model, Chat::MODEL);
    }
}
