//! One request to a target: what it answers, what it fails with, which key it gets.

use api::Settings;
use poem::http::Method;
use serde_json::{Value, json};
use testkit::{Script, ScriptedServer};

use crate::app::{local, one};

const GENERATE: &str = "/api/v1/generate/";

fn answering() -> ScriptedServer {
    let answer = json!({
        "id": "1", "object": "chat.completion", "model": "tiny-2", "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hello there."},
        }],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
    });
    ScriptedServer::scripted()
        .on("GET /v1/models", Script::models(&["tiny", "large"]))
        .on("POST /v1/chat/completions", Script::json(200, &answer))
        .start()
}

#[tokio::test]
async fn a_target_answers_a_prompt() {
    let (app, llm) = (one(local()).await, answering());
    let asked =
        json!({"url": llm.url(), "prompt": "Say hello.", "max_tokens": 9, "temperature": 0});
    let answer = app.post_json(GENERATE, &asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json["model"], "tiny-2");
    assert_eq!(answer.json["text"], "Hello there.");
    assert_eq!(answer.json["finish_reason"], "stop");
    assert_eq!(answer.json["usage"]["completion_tokens"], 3);

    let chats = llm.requests_to("/v1/chat/completions");
    let sent = chats[0].json();
    assert_eq!(sent["model"], "tiny");
    assert_eq!(sent["messages"], json!([{"role": "user", "content": "Say hello."}]));
    assert_eq!((sent["max_tokens"].clone(), sent["temperature"].clone()), (9.into(), json!(0.0)));
    assert!(sent.get("top_p").is_none());
    assert_eq!(chats[0].header("authorization"), None);
}

#[tokio::test]
async fn a_chat_and_a_key_go_through_as_they_are() {
    let (app, llm) = (one(local()).await, answering());
    let messages =
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
    let asked = json!({"url": format!("{}/v1", llm.url()), "model": "large", "messages": messages, "api_key": "sk-1"});
    assert_eq!(app.post_json("/api/v1/generate", &asked).await.status, 200);
    let chats = llm.requests_to("/v1/chat/completions");
    assert_eq!(chats[0].json()["messages"], messages);
    assert_eq!(chats[0].json()["model"], "large");
    assert_eq!(chats[0].header("authorization"), Some("Bearer sk-1"));
}

#[tokio::test]
async fn bad_questions_are_refused_in_the_same_words_as_benchmarks() {
    let app = one(local()).await;
    let url = "http://127.0.0.1:9";
    for (asked, said) in [
        (json!({"url": url}), "either prompt or messages must be given"),
        (
            json!({"url": url, "prompt": "a", "messages": []}),
            "either prompt or messages must be given",
        ),
        (json!({"url": url, "prompt": " "}), "prompt must not be empty"),
        (json!({"url": url, "prompt": 7}), "prompt must be a text"),
        (
            json!({"url": url, "prompt": "a", "max_tokens": 0}),
            "max_tokens must be between 1 and 32768, not 0",
        ),
        (json!({"url": url, "prompt": "a", "user": 5}), "user is no known field"),
        (json!({"prompt": "a"}), "url is required: the target's base URL"),
    ] {
        app.post_json(GENERATE, &asked).await.refuses(422, said);
    }
    for messages in [
        json!([]),
        json!("hi"),
        json!([{"role": "god", "content": "x"}]),
        json!([{"role": "user"}]),
    ] {
        let answer = app.post_json(GENERATE, &json!({"url": url, "messages": messages})).await;
        assert_eq!(answer.status, 422);
        assert!(answer.detail().starts_with("messages must be a list of "));
    }
    assert_eq!(app.post_form(GENERATE, "prompt=a").await.status, 415);
}

#[tokio::test]
async fn a_target_that_fails_is_quoted_briefly() {
    let app = one(local()).await;
    let long = "no ".repeat(10_000);
    let llm = ScriptedServer::scripted()
        .on("GET /v1/models", Script::answer(200, "text/html", "<html>Welcome</html>"))
        .on("POST /v1/chat/completions", Script::answer(429, "text/plain", &long))
        .start();
    let asked = json!({"url": llm.url(), "model": "m", "prompt": "hi"});
    let answer = app.post_json(GENERATE, &asked).await;
    assert_eq!(answer.status, 502);
    assert!(answer.detail().starts_with("the target refused with HTTP 429: no no"));
    assert!(answer.text.len() < 6_000, "{}", answer.text.len());

    let answer = app.get(&format!("/api/v1/model?url={}", llm.url())).await;
    assert_eq!(answer.status, 502);
    assert!(answer.detail().contains("not the JSON of an OpenAI-compatible server"));

    let asked = json!({"url": ScriptedServer::refusing_url(), "prompt": "hi"});
    let answer = app.post_json(GENERATE, &asked).await;
    assert_eq!(answer.status, 502);
    assert!(answer.detail().starts_with("the target cannot be reached"));
}

#[tokio::test]
async fn models_are_listed_and_the_first_is_the_one_a_benchmark_takes() {
    let (app, llm) = (one(local()).await, answering());
    let answer = app.get(&format!("/api/v1/model/?url={}", llm.url())).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json["model"], "tiny");
    let ids: Vec<&Value> =
        answer.json["models"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["tiny", "large"]);
    app.get("/api/v1/model/").await.refuses(422, "url is required: the target's base URL");
    let refused = app.get("/api/v1/model?url=ftp://x").await;
    refused.refuses(422, "url must start with http:// or https://, not ftp:");
    app.get("/api/v1/model?api_key=x").await.refuses(422, "api_key is no known parameter");
}

#[tokio::test]
async fn the_default_key_goes_to_the_default_target_alone() {
    let (ours, theirs) = (answering(), answering());
    let settings = Settings {
        locust_host: Some(ours.url().try_into().unwrap()),
        api_auth_token: Some("sk-default".into()),
        ..local()
    };
    let app = one(settings).await;
    for url in [None, Some(ours.url()), Some(format!("{}/v1/", ours.url())), Some(theirs.url())] {
        let mut asked = json!({"prompt": "hi"});
        let mut path = "/api/v1/model".to_owned();
        if let Some(url) = url {
            path = format!("{path}?url={url}");
            asked["url"] = url.into();
        }
        assert_eq!(app.post_json(GENERATE, &asked).await.status, 200);
        assert_eq!(app.get(&path).await.status, 200);
    }
    let keys = |llm: &ScriptedServer| -> Vec<Option<String>> {
        llm.requests()
            .iter()
            .map(|request| request.header("authorization").map(str::to_owned))
            .collect()
    };
    assert_eq!(keys(&ours).len(), 9);
    assert!(keys(&ours).iter().all(|key| key.as_deref() == Some("Bearer sk-default")));
    assert_eq!(keys(&theirs), [None, None, None]);

    let path = format!("/api/v1/model?url={}", theirs.url());
    app.send(Method::GET, &path, |request| request.header("x-target-api-key", "sk-own")).await;
    assert_eq!(keys(&theirs)[3].as_deref(), Some("Bearer sk-own"));
}
