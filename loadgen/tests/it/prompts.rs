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
