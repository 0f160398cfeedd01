//! What a server really receives of prompts and lengths.

use loadgen::{Control, Driver, Settings, Snapshot, prepare};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{DRIVERS, ms, settings, short};

/// A tokenizer to which every word is one token.
pub(crate) fn tokenizer_json() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
    })
}

/// Text and `max_tokens` of each request that a load of `fields` sent.
async fn received(driver: Driver, fields: Value) -> Vec<(String, u64)> {
    let server = testkit::ScriptedServer::chat(
        &testkit::Chat::of(&["a"]).usage(4, 1).first_token_after(ms(20)),
    );
    let data_dir = tempfile::tempdir().unwrap();
    std::fs::write(data_dir.path().join("t.json"), tokenizer_json().to_string()).unwrap();
    let settings = Settings { data_dir: data_dir.path().to_owned(), ..settings(driver) };
    let prepared = prepare(short(&server.url(), fields), None, &settings).await.unwrap();
    let snapshots = watch::Sender::new(Snapshot::default());
    let outcome = prepared.run(Control { stop: CancellationToken::new(), snapshots }).await;
    let sent: Vec<_> = server
        .requests_to("/v1/chat/completions")
        .iter()
        .skip(1)
        .map(|request| {
            let body = request.json();
            let text = body["messages"][0]["content"].as_str().unwrap().to_owned();
            (text, body["max_tokens"].as_u64().unwrap())
        })
        .collect();
    let asked: u64 = sent.iter().map(|(_, most)| most).sum();
    assert_eq!(outcome.report.tokens.asked_output, asked, "the report asks what was sent");
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_has_the_lengths_drawn_for_it() {
    for driver in DRIVERS {
        let fields = json!({
            "tokenizer": "t.json", "mix": "70% uniform(30,40)/20, 30% 600/7",
            "prefix_tokens": 16, "prefix_count": 2, "max_requests": 40, "duration": 10
        });
        let sent = received(driver, fields).await;
        assert_eq!(sent.len(), 40);
        let mut prefixes = std::collections::HashSet::new();
        for (text, max_tokens) in &sent {
            match (text.split(' ').count(), max_tokens) {
                (30..=40, 20) | (600, 7) => {}
                other => panic!("{driver:?}: {other:?}"),
            }
            prefixes.insert(text.split(' ').take(16).collect::<Vec<_>>().join(" "));
        }
        assert_eq!(prefixes.len(), 2);
        assert!(sent.iter().any(|(_, most)| *most == 7) && sent.iter().any(|(_, m)| *m == 20));
    }
}

/// The bodies that a load of `fields` sent to `path`, of the data set `name` with `content`.
async fn bodies(driver: Driver, fields: Value, path: &str, files: &[(&str, &[u8])]) -> Vec<Value> {
    let chat = testkit::Chat::of(&["a"]).usage(4, 1).first_token_after(ms(5));
    let responses = testkit::Script::json(
        200,
        &json!({"status": "completed", "usage": {"input_tokens": 3, "output_tokens": 1},
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}]}),
    );
    let completions =
        testkit::Script::json(200, &json!({"choices": [{"text": "a", "finish_reason": "stop"}]}));
    let server = testkit::ScriptedServer::scripted()
        .on("GET /v1/models", chat.models())
        .on("POST /v1/chat/completions", chat.script())
        .on("POST /v1/responses", responses)
        .on("POST /v1/completions", completions)
        .start();
    let data_dir = tempfile::tempdir().unwrap();
    std::fs::write(data_dir.path().join("t.json"), tokenizer_json().to_string()).unwrap();
    for (name, content) in files {
        let file = data_dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }
    let settings = Settings { data_dir: data_dir.path().to_owned(), ..settings(driver) };
    let prepared = prepare(short(&server.url(), fields), None, &settings).await.unwrap();
    let snapshots = watch::Sender::new(Snapshot::default());
    let outcome = prepared.run(Control { stop: CancellationToken::new(), snapshots }).await;
    assert_eq!(outcome.report.requests.failed, 0, "{:?}", outcome.report.failures);
    server.requests_to(path).iter().skip(1).map(testkit::Received::json).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_may_be_as_long_as_the_rows_of_the_data_set_say() {
    let sharegpt = br#"[{"conversations":[{"from":"system","value":"Be short."},{"from":"human","value":"five"},{"from":"gpt","value":"a b c d e"}]},
        {"conversations":[{"from":"human","value":"two"},{"from":"gpt","value":"a b"}]}]"#;
    let csv = b"prompt,output_tokens\nfive,5\ntwo,2\n";
    for driver in DRIVERS {
        for (path, most, extra) in [
            ("/v1/chat/completions", "max_tokens", json!({})),
            (
                "/v1/responses",
                "max_output_tokens",
                json!({"endpoint": "responses", "stream": false}),
            ),
            ("/v1/completions", "max_tokens", json!({"endpoint": "completions", "stream": false})),
        ] {
            for (name, content, tokenizer) in
                [("s/chat.json", &sharegpt[..], json!("t.json")), ("own.csv", csv, Value::Null)]
            {
                let mut fields = extra.clone();
                fields["dataset"] = name.into();
                fields["tokenizer"] = tokenizer;
                fields["output_tokens"] = "dataset".into();
                fields["max_requests"] = 20.into();
                let sent = bodies(driver, fields, path, &[(name, content)]).await;
                assert_eq!(sent.len(), 20);
                let mut lengths = std::collections::HashSet::new();
                for body in &sent {
                    let said = body.to_string();
                    let own = if said.contains("five\"") { 5 } else { 2 };
                    assert_eq!(body[most], own, "{body}");
                    assert_eq!(said.contains("Be short."), own == 5 && name == "s/chat.json");
                    lengths.insert(own);
                }
                assert_eq!(lengths.len(), 2);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_below_the_data_directory_are_sent_as_data_urls() {
    let row = br#"{"question":"What is it?","image":"pictures/a.png"}"#;
    let files: [(&str, &[u8]); 2] =
        [("vqa/rows.jsonl", row), ("vqa/pictures/a.png", b"\x89PNG\r\n\x1a\n")];
    let url = "data:image/png;base64,iVBORw0KGgo=";
    for driver in DRIVERS {
        let fields = json!({"dataset": "vqa/rows.jsonl", "max_requests": 2});
        let sent = bodies(driver, fields, "/v1/chat/completions", &files).await;
        let content = &sent[1]["messages"][0]["content"];
        assert!(content[0]["text"].as_str().unwrap().ends_with("] What is it?"), "{content}");
        assert_eq!(content[1], json!({"type": "image_url", "image_url": {"url": url}}));

        let fields = json!({"dataset": "vqa/rows.jsonl", "max_requests": 2,
            "endpoint": "responses", "stream": false});
        let sent = bodies(driver, fields, "/v1/responses", &files).await;
        let content = &sent[1]["input"][0]["content"];
        assert_eq!(content[0]["type"], "input_text");
        assert_eq!(content[1], json!({"type": "input_image", "image_url": url}));
    }
}

/// A load of `fields` on a target that lists a context of `tokens`: why it does not begin, and how
/// many requests there were by then.
async fn refused(driver: Driver, tokens: u64, fields: Value) -> (String, usize) {
    let chat = testkit::Chat::of(&["a"]).usage(4, 1);
    let models = json!({"data": [{"id": "tiny", "max_model_len": tokens}]});
    let server = testkit::ScriptedServer::scripted()
        .on("GET /v1/models", testkit::Script::json(200, &models))
        .on("POST /v1/chat/completions", chat.script())
        .start();
    let data_dir = tempfile::tempdir().unwrap();
    std::fs::write(data_dir.path().join("t.json"), tokenizer_json().to_string()).unwrap();
    let rows = format!("{{\"prompt\":\"few words\"}}\n{{\"prompt\":\"{}\"}}\n", "word ".repeat(99));
    std::fs::write(data_dir.path().join("set.jsonl"), rows).unwrap();
    let settings = Settings { data_dir: data_dir.path().to_owned(), ..settings(driver) };
    let prepared = prepare(short(&server.url(), fields), None, &settings).await;
    let said = match prepared {
        Ok(prepared) => {
            assert_eq!(prepared.environment().target.context_tokens, Some(tokens));
            String::new()
        }
        Err(error) => error.reason().detail,
    };
    (said, server.requests_to("/v1/chat/completions").len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_cannot_take_is_refused_before_any_load() {
    let driver = Driver::default();
    let set = json!({"dataset": "set.jsonl", "tokenizer": "t.json", "max_tokens": 50});
    for (tokens, fields, expected) in [
        (
            149,
            json!({"prompt_tokens": 100, "tokenizer": "t.json", "max_tokens": 50}),
            "prompt_tokens: prompt 100 + output 50 > context 149 of the target, in tokens",
        ),
        (150, json!({"prompt_tokens": 100, "tokenizer": "t.json", "max_tokens": 50}), ""),
        (
            148,
            set.clone(),
            "dataset set.jsonl, line 2: prompt 99 + output 50 > context 148 of the target, in tokens",
        ),
        (149, set, ""),
        (
            128,
            json!({}),
            "max_tokens: prompt 1 + output 128 > context 128 of the target, in tokens",
        ),
        (4_096, json!({}), ""),
    ] {
        let (said, requests) = refused(driver, tokens, fields).await;
        assert_eq!(said, expected);
        assert_eq!(requests, 1, "the probe");
    }
}
