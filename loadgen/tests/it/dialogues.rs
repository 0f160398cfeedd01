//! Users who hold conversations: what a server receives turn by turn.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use loadgen::{Control, Driver, Outcome, Settings, Snapshot, prepare};
use serde_json::{Value, json};
use testkit::{Chat, Received, Script, ScriptedServer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{DRIVERS, ms, prompts::tokenizer_json, settings, short};

const CHAT: &str = "POST /v1/chat/completions";

/// Two conversations, one of three turns and one of two.
const SET: &str = r#"[
    {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "a1"},
        {"role": "assistant", "content": "no"}, {"role": "user", "content": "a2"},
        {"role": "assistant", "content": "no"}, {"role": "user", "content": "a3"}]},
    {"messages": [{"role": "user", "content": "b1"}, {"role": "assistant", "content": "no"},
        {"role": "user", "content": "b2"}]}]"#;

/// A server that answers its `nth` request, the probe's being 0, with `answer n`; `broken` says
/// which it refuses.
fn answering(broken: impl Fn(usize) -> bool + Send + Sync + 'static) -> ScriptedServer {
    let asked = AtomicUsize::new(0);
    ScriptedServer::scripted()
        .on("GET /v1/models", Chat::of(&["a"]).models())
        .with(CHAT, move |_| {
            let nth = asked.fetch_add(1, SeqCst);
            if broken(nth) {
                return Script::json(500, &json!({"error": "gone"}));
            }
            let words = format!("answer {nth}");
            let (first, second) = words.split_at(3);
            Chat::of(&[first, second]).usage(4, 2).first_token_after(ms(2)).script()
        })
        .start()
}

async fn hold(driver: Driver, server: &ScriptedServer, fields: Value) -> Outcome {
    let data_dir = tempfile::tempdir().unwrap();
    std::fs::write(data_dir.path().join("set.json"), SET).unwrap();
    std::fs::write(data_dir.path().join("t.json"), tokenizer_json().to_string()).unwrap();
    let settings = Settings { data_dir: data_dir.path().to_owned(), ..settings(driver) };
    let prepared = prepare(short(&server.url(), fields), None, &settings).await.unwrap();
    let snapshots = watch::Sender::new(Snapshot::default());
    prepared.run(Control { stop: CancellationToken::new(), snapshots }).await
}

/// The texts of each request but the probe's, in order.
fn received(server: &ScriptedServer) -> Vec<Vec<String>> {
    let texts = |request: &Received| {
        let body = request.json();
        let messages = body["messages"].as_array().unwrap();
        messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect()
    };
    server.requests_to("/v1/chat/completions").iter().skip(1).map(texts).collect()
}

/// A conversation in letters: the first is its set's, then come turns and answers.
fn is_beginning(texts: &[String]) -> bool {
    texts.last().is_some_and(|text| text.ends_with('1'))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_turn_has_all_that_was_said_with_the_answers_that_came() {
    for driver in DRIVERS {
        let server = answering(|_| false);
        let fields = json!({"dataset": "set.json", "turns": 3, "user": 1, "requests_per_user": 30,
            "duration": 20, "tokenizer": "t.json"});
        let outcome = hold(driver, &server, fields).await;
        assert_eq!(outcome.report.requests.completed, 30, "{driver:?}");
        let received = received(&server);
        assert_eq!(received.len(), 30);
        let (mut lengths, mut turn, mut before) = ([0; 2], 0, Vec::new());
        for (nth, texts) in received.iter().enumerate() {
            if is_beginning(texts) {
                assert!(texts[0].starts_with('['), "{texts:?}");
                assert_eq!(texts.len(), if texts[0].contains("Be short.") { 2 } else { 1 });
                turn = 1;
            } else {
                turn += 1;
                let (history, new) = texts.split_at(texts.len() - 2);
                assert_eq!(history, before, "{driver:?} {nth}");
                assert_eq!(new[0], format!("answer {nth}"), "the probe's was 0");
                assert!(new[1].ends_with(&turn.to_string()), "{texts:?}");
                if new[1] == "a3" {
                    lengths[0] += 1;
                }
                if new[1] == "b2" {
                    lengths[1] += 1;
                }
            }
            before.clone_from(texts);
        }
        assert!(lengths[0] > 0 && lengths[1] > 0, "both were held to their end: {lengths:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tokens_of_a_turn_are_those_of_all_that_was_said() {
    for driver in DRIVERS {
        // no usage: the tokenizer counts, to which `a b` are two and a tag is one
        let script = Chat::of(&["x", " y"]).first_token_after(ms(2)).script();
        let server = ScriptedServer::scripted()
            .on("GET /v1/models", Chat::of(&["a"]).models())
            .on(CHAT, script)
            .start();
        let fields = json!({"prompt_tokens": 9, "tokenizer": "t.json", "turns": 3, "user": 1,
            "requests_per_user": 6, "duration": 20, "max_tokens": 30, "min_tokens": 0});
        let outcome = hold(driver, &server, fields).await;
        let received = received(&server);
        let words = |texts: &[String]| texts.iter().map(|it| it.split(' ').count()).sum::<usize>();
        let counts: Vec<_> = received.iter().map(|texts| words(texts)).collect();
        assert_eq!(counts, [9, 20, 31, 9, 20, 31], "{driver:?}");
        assert_eq!(outcome.report.tokens.input, Some(120), "{driver:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_waits_between_turns_too() {
    for driver in DRIVERS {
        let server = answering(|_| false);
        let fields = json!({"dataset": "set.json", "turns": 2, "user": 1, "requests_per_user": 4,
            "wait_min": 0.15, "duration": 20});
        hold(driver, &server, fields).await;
        let requests = server.requests_to("/v1/chat/completions");
        let gaps = requests[1..].windows(2).map(|pair| pair[1].at.duration_since(pair[0].at));
        let gaps: Vec<_> = gaps.collect();
        assert_eq!(gaps.len(), 3);
        assert!(gaps.iter().all(|gap| (ms(150)..ms(2_000)).contains(gap)), "{driver:?} {gaps:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_fails_ends_its_conversation_and_shifts_nobody_elses() {
    for driver in DRIVERS {
        let server = answering(|nth| nth == 2);
        let fields = json!({"prompt_tokens": 9, "tokenizer": "t.json", "turns": 3, "user": 1,
            "requests_per_user": 5, "duration": 20});
        let outcome = hold(driver, &server, fields).await;
        assert_eq!(outcome.report.requests.failed, 1);
        let lengths: Vec<_> = received(&server).iter().map(Vec::len).collect();
        assert_eq!(lengths, [1, 3, 1, 3, 5], "{driver:?}");

        let beginnings = async |broken: bool| {
            let server = answering(move |nth| broken && nth == 3);
            let fields = json!({"prompt_tokens": 9, "tokenizer": "t.json", "turns": 2, "user": 8,
                "requests_per_user": 1, "duration": 20});
            hold(driver, &server, fields).await;
            received(&server).into_iter().collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(beginnings(true).await, beginnings(false).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_end_a_load_of_conversations_exactly() {
    for driver in DRIVERS {
        let server = answering(|_| false);
        let fields = json!({"dataset": "set.json", "turns": 3, "user": 3, "requests_per_user": 7,
            "duration": 20});
        assert_eq!(hold(driver, &server, fields).await.report.requests.started, 21);
        assert_eq!(received(&server).len(), 21);
        let server = answering(|_| false);
        let fields = json!({"dataset": "set.json", "turns": 3, "user": 3, "max_requests": 10,
            "duration": 20});
        assert_eq!(hold(driver, &server, fields).await.report.requests.started, 10);
        assert_eq!(received(&server).len(), 10);
        let server = answering(|_| false);
        let fields = json!({"dataset": "set.json", "turns": 3, "user": null, "spawnrate": null,
            "stages": "2:1", "stages_of": "users", "max_requests": 8, "duration": null});
        assert_eq!(hold(driver, &server, fields).await.report.requests.completed, 8);
        assert!(received(&server).iter().any(|texts| texts.len() > 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reasoning_is_no_part_of_what_was_said() {
    for driver in DRIVERS {
        let event = |delta: Value| json!({"choices": [{"index": 0, "delta": delta}]});
        let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
        let script = Script::new()
            .chunked_head()
            .event(&event(json!({"reasoning_content": "let me think"})))
            .event(&event(json!({"content": "yes"})))
            .event(&end)
            .done()
            .end_chunks();
        let server = ScriptedServer::scripted()
            .on("GET /v1/models", Chat::of(&["a"]).models())
            .on(CHAT, script)
            .start();
        let fields = json!({"dataset": "set.json", "turns": 2, "user": 1, "requests_per_user": 2,
            "duration": 20});
        hold(driver, &server, fields).await;
        let received = received(&server);
        let second = &received[1];
        assert_eq!(second[second.len() - 2], "yes", "{driver:?}");
    }
}
