//! Control calls: what they send, what they refuse, and that no key comes back out of them.

use std::process::Command;

use secrecy::SecretString;
use serde_json::json;
use shared::{MaxTokens, Temperature};
use target::{
    Blocked, Control, Egress, Model, Question, TargetError, Turn, chunk::Usage, probe::probe,
};
use testkit::{Chat, Script, ScriptedServer};

use crate::{control_of, local, spec_of};

const CANARY: &str = "sk-canary-0123456789-\"quoted\"-end";

fn control(url: &str) -> Control {
    control_of(&spec_of(url, &json!({})), None)
}

fn question() -> Question {
    let max_tokens = MaxTokens::try_from(8).unwrap();
    Question::prompt(None, "hi".to_owned(), max_tokens)
}

#[tokio::test]
async fn models_are_listed_as_servers_list_them() {
    let model = |id: &str| Model { id: id.to_owned(), owned_by: None, max_model_len: None };
    let lists = [
        (
            json!({"object": "list", "data": [{"id": "a"}, {"id": "b"}]}),
            vec![model("a"), model("b")],
        ),
        (
            json!({"models": [{"name": "a"}, {"id": "b", "name": "c"}]}),
            vec![model("a"), model("b")],
        ),
        (json!({"data": ["a", "b"]}), vec![model("a"), model("b")]),
        (
            json!({"data": [{"id": 1}, {}, null, {"id": ""}, {"id": "a\u{0}"}, {"id": "ok"}]}),
            vec![model("ok")],
        ),
        (json!({"data": []}), vec![]),
        (
            json!({"data": [{"id": "a", "owned_by": "vllm", "max_model_len": 4096, "permission": []}]}),
            vec![Model {
                id: "a".into(),
                owned_by: Some("vllm".into()),
                max_model_len: Some(4096),
            }],
        ),
        (
            json!({"data": [
                {"id": "a", "meta": {"n_ctx_train": 32768, "n_vocab": 9}},
                {"id": "b", "meta": {"n_ctx": 2048, "n_ctx_train": 32768}},
                {"id": "c", "meta": null},
                {"id": "d", "meta": {"n_ctx": "x"}},
            ]}),
            vec![
                Model { max_model_len: Some(32_768), ..model("a") },
                Model { max_model_len: Some(2_048), ..model("b") },
                model("c"),
                model("d"),
            ],
        ),
    ];
    for (list, expected) in lists {
        let server =
            ScriptedServer::scripted().on("GET /v1/models", Script::json(200, &list)).start();
        assert_eq!(control(&server.url()).models().await.unwrap(), expected, "{list}");
    }
}

#[tokio::test]
async fn what_is_no_list_is_refused() {
    let huge = format!("{{\"data\":[\"{}\"]}}", "x".repeat(1024 * 1024));
    let cases = [
        (Script::json(200, &json!({"object": "x"})), "lists no models: {\"object\":\"x\"}"),
        (
            Script::answer(200, "text/html", "<html>"),
            "not the JSON of an OpenAI-compatible server: <html>",
        ),
        (Script::answer(200, "application/json", ""), "(no body)"),
        (Script::answer(200, "application/json", &huge), "larger than 1048576 bytes"),
        (
            Script::json(200, &json!({"error": "closed"})),
            "the target answered with an error: closed",
        ),
        (Script::answer(503, "text/plain", "busy\0"), "refused with HTTP 503: busy\u{fffd}"),
    ];
    for (script, words) in cases {
        let server = ScriptedServer::scripted().on("GET /v1/models", script).start();
        let error = control(&server.url()).models().await.unwrap_err();
        assert!(error.to_string().contains(words), "`{words}` is not in `{error}`");
    }
}

#[tokio::test]
async fn a_question_is_answered_once() {
    let answer = json!({
        "model": "tiny-v2",
        "choices": [{"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    });
    let server = ScriptedServer::chat_script(Script::json(200, &answer));
    let asked = Question {
        messages: vec![
            Turn { role: "system".into(), content: "be brief".into() },
            Turn { role: "user".into(), content: "hi".into() },
        ],
        temperature: Some(Temperature::try_from(0.5).unwrap()),
        ..question()
    };
    let answer = control(&server.url()).chat(&asked).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.model.as_deref()), ("hello", Some("tiny-v2")));
    let usage = Usage { prompt_tokens: 3, completion_tokens: 1, reasoning_tokens: None };
    assert_eq!((answer.usage, answer.finish_reason.as_deref()), (Some(usage), Some("stop")));
    let request = &server.requests_to("/v1/chat/completions")[0];
    assert_eq!(
        request.json(),
        json!({
            "model": "tiny",
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
            "stream": false,
            "max_tokens": 8,
            "temperature": 0.5,
        })
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_question_without_an_answer_says_why() {
    let cases = [
        (
            Script::json(200, &json!({"error": {"message": "no"}})),
            "the target answered with an error: no",
        ),
        (Script::json(200, &json!({"choices": []})), "not the JSON of an OpenAI-compatible server"),
        (
            Script::json(429, &json!({"error": "slow down"})),
            "refused with HTTP 429: {\"error\":\"slow down\"}",
        ),
        (Script::new().stall(), "did not answer within 300ms"),
        (
            Script::new().head(200, &[("content-length", "9")]).raw("{").stall(),
            "did not answer within 300ms",
        ),
        (Script::new().head(200, &[("content-length", "9")]).raw("{").close(), "cannot be reached"),
    ];
    for (script, words) in cases {
        let server = ScriptedServer::chat_script(script);
        let control = control(&server.url()).answers_within(std::time::Duration::from_millis(300));
        let asked = Question { model: Some("tiny".into()), ..question() };
        let error = control.chat(&asked).await.unwrap_err();
        assert!(error.to_string().contains(words), "`{words}` is not in `{error}`");
    }
    let none = ScriptedServer::scripted().on("GET /v1/models", Script::models(&[])).start();
    let error = control(&none.url()).chat(&question()).await.unwrap_err();
    assert!(matches!(error, TargetError::NoModel));
}

#[tokio::test]
async fn every_request_says_who_asks_and_wants_plain_bytes() {
    let server = ScriptedServer::chat(&Chat::of(&["x"]));
    let spec = spec_of(&server.url(), &json!({}));
    let key = SecretString::from("sk-1");
    probe(&control_of(&spec, Some(&key)), &spec).await.unwrap();
    assert_eq!(server.requests().len(), 2);
    for request in server.requests() {
        assert_eq!(request.header("user-agent"), Some(target::USER_AGENT));
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        assert_eq!(request.header("authorization"), Some("Bearer sk-1"));
    }
    let without = ScriptedServer::chat(&Chat::of(&["x"]));
    control(&without.url()).models().await.unwrap();
    assert_eq!(without.requests()[0].header("authorization"), None);
}

#[tokio::test]
async fn no_error_holds_the_key_whatever_the_target_does_with_it() {
    let echoed = format!("you sent Bearer {CANARY}");
    let escaped = json!({"error": {"message": &echoed}});
    let padded = |bytes: usize| format!("{}{CANARY}{}", "x".repeat(bytes), CANARY.repeat(200));
    let redirect = format!("http://elsewhere/{}", CANARY.replace('"', ""));
    let token = json!({"choices": [{"delta": {"content": "x"}}]});
    let mut scripts = vec![
        Script::json(401, &escaped),
        Script::json(500, &escaped),
        Script::json(200, &escaped),
        Script::answer(400, "text/plain", &echoed),
        Script::answer(200, "text/html", &echoed),
        Script::answer(200, "application/json", &echoed),
        Script::json(200, &json!({"data": [{"id": CANARY}]})),
        Script::json(200, &json!({"object": CANARY})),
        Script::new().head(302, &[("location", &redirect), ("content-length", "0")]),
        Script::new().head(302, &[("location", CANARY), ("content-length", "0")]),
        Script::new().head(200, &[("content-encoding", CANARY), ("content-length", "0")]),
        Script::new().head(429, &[("retry-after", CANARY), ("content-length", "0")]),
        Script::new().raw(format!("{CANARY}\r\n\r\n")).close(),
        Script::stream(&[&format!("data: {escaped}\n\n")]).end_chunks(),
        Script::stream(&[&format!("data: {token}\n\ndata: {CANARY}\n\n")]).end_chunks(),
        Script::stream(&[&format!("data: {CANARY}\n\n")]).end_chunks(),
        Script::stream(&["data: {\"cho"]).reset(),
        Script::new().close(),
    ];
    scripts
        .extend((2_000..2_060).step_by(7).map(|at| Script::answer(500, "text/plain", &padded(at))));
    let key = SecretString::from(CANARY);
    let parts = ["canary-0123456789-\"quoted", "canary-0123456789-\\\"quoted", "0123456789-"];
    for script in scripts {
        let servers = [
            ScriptedServer::scripted().on("GET /v1/models", script.clone()).start(),
            ScriptedServer::chat_script(script.clone()),
        ];
        for server in servers {
            let spec = spec_of(&server.url(), &json!({}));
            let control = control_of(&spec, Some(&key));
            let mut said = vec![format!("{control:?}")];
            match control.models().await {
                Ok(models) => said.push(format!("{models:?}")),
                Err(error) => said.extend([format!("{error}"), format!("{error:?}")]),
            }
            match control.chat(&question()).await {
                Ok(answer) => said.push(format!("{answer:?}")),
                Err(error) => said.extend([format!("{error}"), format!("{error:?}")]),
            }
            match probe(&control, &spec).await {
                Ok(found) => said.push(format!("{found:?}")),
                Err(failure) => {
                    said.extend([failure.reason().detail, format!("{failure} {failure:?}")]);
                }
            }
            for text in said {
                // A location with the quotes taken out is another text than the key.
                let text = text.replace(&redirect, "");
                assert!(parts.iter().all(|part| !text.contains(part)), "{script:?}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_no_header_takes_is_refused_without_being_told() {
    let server = ScriptedServer::chat(&Chat::of(&["x"]));
    let key = SecretString::from("sk-canary\nX-Evil: 1");
    let spec = spec_of(&server.url(), &json!({}));
    let error = control_of(&spec, Some(&key)).models().await.unwrap_err();
    assert!(matches!(error, TargetError::UnusableKey));
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_blocked_url_opens_no_connection() {
    let server = ScriptedServer::chat(&Chat::of(&["x"]));
    let port = server.address().port();
    let public = Egress::new(Egress::PUBLIC, Vec::new()).unwrap();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1"] {
        let spec = spec_of(&format!("http://{host}:{port}"), &json!({}));
        let error = Control::new(&public, &spec.url, None).unwrap_err();
        assert!(matches!(error, TargetError::Blocked(Blocked)), "{host}: {error}");
    }
    let own = Egress::new(Egress::LOCAL, vec![("127.0.0.1".to_owned(), port)]).unwrap();
    let spec = spec_of(&server.url(), &json!({}));
    assert!(Control::new(&own, &spec.url, None).is_err());
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_is_judged_by_the_address_it_has_when_it_is_connected_to() {
    let server = ScriptedServer::chat(&Chat::of(&["x"]));
    let address = server.address();
    let spec = spec_of(&format!("http://rebound.example:{}", address.port()), &json!({}));
    let leading_to_us = move |_, _| async move { Ok(vec![address]) };

    let public = Egress::new(Egress::PUBLIC, Vec::new()).unwrap().with_lookup(leading_to_us);
    let control = Control::new(&public, &spec.url, None).unwrap();
    let error = control.models().await.unwrap_err();
    assert!(matches!(error, TargetError::Blocked(Blocked)), "{error:?}");
    let failure = probe(&control, &spec).await.unwrap_err().reason();
    assert_eq!(failure.code, shared::ReasonCode::PolicyBlocked);
    assert_eq!(failure.detail, Blocked.to_string());
    assert_eq!(server.connections(), 0);

    let local = local().with_lookup(leading_to_us);
    let control = Control::new(&local, &spec.url, None).unwrap();
    control.models().await.unwrap();
    let host = format!("rebound.example:{}", address.port());
    assert_eq!(server.requests()[0].header("host"), Some(host.as_str()));
}

#[tokio::test]
async fn an_address_that_is_ours_by_name_is_closed_to_literals_too() {
    let server = ScriptedServer::chat(&Chat::of(&["x"]));
    let address = server.address();
    let egress = Egress::new(Egress::LOCAL, vec![("db.internal".to_owned(), address.port())])
        .unwrap()
        .with_lookup(move |_, _| async move { Ok(vec![address]) });
    let spec = spec_of(&server.url(), &json!({}));
    let error = Control::new(&egress, &spec.url, None).unwrap().models().await.unwrap_err();
    assert!(matches!(error, TargetError::Blocked(Blocked)), "{error:?}");
    assert_eq!(server.connections(), 0);
}

/// Runs itself once more with proxy variables that lead to a proxy of ours.
#[tokio::test]
async fn proxy_variables_are_ignored() {
    const TARGET: &str = "PROXY_TEST_TARGET";
    if let Ok(url) = std::env::var(TARGET) {
        control(&url).models().await.unwrap();
        return;
    }
    let proxy = ScriptedServer::scripted().start();
    let server = ScriptedServer::chat(&Chat::of(&["x"]));
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "control::proxy_variables_are_ignored"]).env(TARGET, server.url());
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    {
        again.env(name, proxy.url());
    }
    let again = again.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
    assert!(again.status.success(), "{again:?}");
    assert_eq!((server.requests().len(), proxy.connections()), (1, 0));
}
