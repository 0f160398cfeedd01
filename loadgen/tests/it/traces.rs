//! Recorded loads, replayed: what a server receives, and when.

use std::time::Duration;

use loadgen::{Control, Driver, Outcome, PrepareError, Settings, Snapshot, prepare};
use serde_json::{Value, json};
use shared::{BenchmarkSpec, ReasonCode, report::Verdict};
use testkit::{Chat, ScriptedServer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{DRIVERS, ms, prompts::tokenizer_json, settings, spec};

/// A server, and a `DATA_DIR` with one trace and a tokenizer to which every word is one token.
struct Stage {
    server: ScriptedServer,
    data_dir: tempfile::TempDir,
}

/// What the server received of one request.
#[derive(Clone, Debug, PartialEq)]
struct Received {
    /// When, from the first one on.
    after: Duration,
    text: String,
    max_tokens: u64,
}

impl Stage {
    fn with(trace: &str) -> Self {
        let chat = Chat::of(&["a"]).usage(4, 1).first_token_after(ms(5));
        let data_dir = tempfile::tempdir().unwrap();
        std::fs::write(data_dir.path().join("trace"), trace).unwrap();
        std::fs::write(data_dir.path().join("t.json"), tokenizer_json().to_string()).unwrap();
        Self { server: ScriptedServer::chat(&chat), data_dir }
    }

    fn spec(&self, more: &Value) -> BenchmarkSpec {
        let mut fields = json!({"url": self.server.url(), "trace": "trace", "grace": 5});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec(&fields)
    }

    fn settings(&self, driver: Driver, threads: u32) -> Settings {
        let data_dir = self.data_dir.path().to_owned();
        Settings { data_dir, load_threads: Some(threads), ..settings(driver) }
    }

    async fn replay(&self, driver: Driver, threads: u32, more: Value) -> (Outcome, Vec<Received>) {
        let prepared = prepare(self.spec(&more), None, &self.settings(driver, threads)).await;
        let snapshots = watch::Sender::new(Snapshot::default());
        let control = Control { stop: CancellationToken::new(), snapshots };
        let outcome = prepared.unwrap().run(control).await;
        let requests = self.server.requests_to("/v1/chat/completions");
        let started = usize::try_from(outcome.report.requests.started).unwrap();
        // those before are the probe's
        let sent = &requests[requests.len() - started..];
        let received = sent.iter().map(|request| {
            let body = request.json();
            Received {
                after: request.at.duration_since(sent[0].at),
                text: body["messages"][0]["content"].as_str().unwrap().to_owned(),
                max_tokens: body["max_tokens"].as_u64().unwrap(),
            }
        });
        let received = received.collect();
        (outcome, received)
    }

    /// Why it cannot begin; the target has heard of nothing.
    async fn refused(&self, driver: Driver, more: Value) -> PrepareError {
        let prepared = prepare(self.spec(&more), None, &self.settings(driver, 1)).await;
        let refused = prepared.err().expect("it is refused");
        assert_eq!(self.server.requests().len(), 0);
        refused
    }
}

/// Words, each of which is a token.
fn count(text: &str) -> usize {
    text.split(' ').count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_leave_when_the_trace_has_them_at_its_speed_and_with_its_lengths() {
    // 4 s and a quiet second and a half in them, replayed in 2
    let at_ms = [0, 200, 400, 400, 1_000, 2_500, 2_600, 4_000];
    let rows = at_ms.iter().enumerate().map(|(nth, at_ms)| {
        let (input, output) = (30 + nth, 5 + nth);
        format!(
            "{{\"timestamp\":{},\"input_length\":{input},\"output_length\":{output}}}\n",
            9_000 + at_ms
        )
    });
    let stage = Stage::with(&rows.collect::<String>());
    for driver in DRIVERS {
        let fields = json!({"trace_speed": 2, "tokenizer": "t.json"});
        let (outcome, mut received) = stage.replay(driver, 1, fields).await;
        // two that are due at once may overtake each other; each length is in the trace once
        received.sort_by_key(|one| count(&one.text));
        let lengths: Vec<_> =
            received.iter().map(|one| (count(&one.text), one.max_tokens)).collect();
        let planned: Vec<_> = (0..8).map(|nth| (30 + nth, 5 + nth as u64)).collect();
        assert_eq!(lengths, planned);
        for (one, at_ms) in received.iter().zip(at_ms) {
            let off = one.after.as_secs_f64() - f64::from(at_ms) / 2_000.0;
            assert!(off.abs() < 0.1, "{driver:?}: {at_ms} ms came after {:?}", one.after);
        }
        let report = &outcome.report;
        assert_eq!((report.requests.scheduled, report.requests.completed), (8, 8));
        assert_eq!(report.requests.dropped, 0);
        assert_eq!(report.tokens.asked_output, (5..13).sum::<u64>());
        assert!((1.9..3.0).contains(&report.window.measured_s), "it ends with its trace");
        assert_eq!(report.window.steady_s, Some(2.0), "as long as the trace has requests");
        let too_slow = |reason: &String| reason.contains("planned rate");
        assert!(!report.validity.reasons.iter().any(too_slow), "{:?}", report.validity);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_blocks_of_a_trace_are_equal_texts() {
    let stage = Stage::with(concat!(
        "{\"timestamp\":0,\"input_length\":1100,\"output_length\":9,\"hash_ids\":[46,47,48]}\n",
        "{\"timestamp\":50,\"input_length\":1500,\"output_length\":9,\"hash_ids\":[46,47,49]}\n",
        "{\"timestamp\":100,\"input_length\":600,\"output_length\":9,\"hash_ids\":[46,50]}\n",
    ));
    for driver in DRIVERS {
        let (_, received) = stage.replay(driver, 1, json!({"tokenizer": "t.json"})).await;
        let words: Vec<Vec<&str>> =
            received.iter().map(|one| one.text.split(' ').collect()).collect();
        assert_eq!(words.iter().map(Vec::len).collect::<Vec<_>>(), [1_100, 1_500, 600]);
        assert_eq!(words[0][..1_024], words[1][..1_024]);
        assert_ne!(words[0][1_024..1_100], words[1][1_024..1_100]);
        assert_eq!(words[0][..512], words[2][..512]);
        assert_ne!(words[0][512..600], words[2][512..600]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_ones_own_trace_say_their_text_or_a_prompt_of_the_data_set() {
    let stage = Stage::with(concat!(
        "{\"at_s\":5,\"prompt\":\"Say hi.\",\"output_tokens\":3}\n",
        "{\"at_s\":5.05}\n",
        "{\"at_s\":5.1,\"input_tokens\":40}\n",
        "{\"at_s\":900,\"prompt\":\"too late\"}\n",
    ));
    for driver in DRIVERS {
        let fields = json!({"tokenizer": "t.json", "max_tokens": 11, "duration": 2});
        let (outcome, received) = stage.replay(driver, 1, fields).await;
        assert_eq!(received.len(), 3, "{received:?}");
        assert_eq!((received[0].text.as_str(), received[0].max_tokens), ("Say hi.", 3));
        assert!(received[1].text.starts_with('[') && received[1].text.len() > 20);
        assert_eq!((received[1].max_tokens, count(&received[2].text)), (11, 40));
        assert_eq!(outcome.report.requests.scheduled, 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_a_trace_that_finds_no_room_is_dropped_and_counted() {
    let stage = Stage::with(&"{\"at_s\":1,\"prompt\":\"x\"}\n".repeat(20));
    for driver in DRIVERS {
        let (outcome, _) = stage.replay(driver, 1, json!({"max_concurrency": 2})).await;
        let report = &outcome.report;
        assert_eq!(report.requests.scheduled, 20);
        assert!((2..20).contains(&report.requests.started), "{:?}", report.requests);
        assert_eq!(report.requests.dropped, 20 - report.requests.started);
        assert_eq!(report.validity.verdict, Verdict::Degraded);
        let few = stage.replay(driver, 1, json!({"max_requests": 7})).await.0.report;
        assert_eq!((few.requests.scheduled, few.requests.completed), (7, 7));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_sends_the_same_prompts_at_the_same_times_on_any_number_of_threads() {
    let header = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
    let row = |nth: u32| {
        format!("2023-11-16 18:17:0{}.{:03}0000,{},{nth}\n", nth / 20, nth % 20 * 50, 40 + nth)
    };
    let stage = Stage::with(&format!("{header}{}", (1..30).map(row).collect::<String>()));
    let sent = async |threads: u32, seed: u64| {
        let fields = json!({"tokenizer": "t.json", "seed": seed});
        let (_, mut received) = stage.replay(Driver::default(), threads, fields).await;
        // two threads may overtake each other, but each length is in the trace once
        received.sort_by_key(|one| count(&one.text));
        received
    };
    let (one, two, other) = (sent(1, 7).await, sent(2, 7).await, sent(1, 8).await);
    assert_eq!(one.len(), 29);
    for (one, two) in one.iter().zip(&two) {
        assert_eq!((&one.text, one.max_tokens), (&two.text, two.max_tokens));
        assert!(one.after.abs_diff(two.after) < ms(100), "{:?} {:?}", one.after, two.after);
    }
    assert!(one.iter().zip(&other).all(|(one, other)| one.text != other.text));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_trace_is_named_before_any_request() {
    let burst = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n";
    let rows = |bad: &str| {
        let good = |nth: u32| format!("{nth},ChatGPT,20,5,25,Conversation log\n");
        let before: String = (0..5_000).map(good).collect();
        let after: String = (5_000..10_000).map(good).collect();
        format!("{burst}{before}{bad}\n{after}")
    };
    let own = "{\"at_s\":1,\"input_tokens\":9}\n";
    let cases = [
        // far beyond what would be sent
        (
            rows("4999,ChatGPT,many,5,25,x"),
            "trace: `trace`: line 5002 has `many` as Request tokens",
        ),
        (
            rows("17,ChatGPT,20,5,25,x"),
            "trace: `trace`: line 5002 goes back in time: 17 s, after 4999 s",
        ),
        (rows("4999,ChatGPT,20"), "trace: `trace`: line 5002 has 3 fields, but the header has 6"),
        ("a,b\n1,2\n".to_owned(), "trace: `trace`: line 1 is of no known format"),
        (String::new(), "trace: `trace`: it has no rows"),
    ];
    for driver in DRIVERS {
        for (trace, said) in &cases {
            let stage = Stage::with(trace);
            let fields = json!({"duration": 1, "max_requests": 2, "tokenizer": "t.json"});
            let reason = stage.refused(driver, fields).await.reason();
            assert_eq!(reason.code, ReasonCode::Trace);
            assert!(reason.detail.starts_with(said), "{}", reason.detail);
        }
        let stage = Stage::with(own);
        let missing = stage.refused(driver, json!({"trace": "other"})).await.reason();
        assert_eq!(missing.code, ReasonCode::Trace);
        assert_eq!(missing.detail, "trace: there is no file `other` below DATA_DIR");
        let named = stage.refused(driver, json!({"trace_format": "azure"})).await.reason();
        assert_eq!(named.detail, "trace: `trace`: line 1 is not of trace_format azure");
        let reason = stage.refused(driver, json!({})).await.reason();
        assert_eq!(reason.code, ReasonCode::Tokenizer);
        assert_eq!(
            reason.detail,
            "tokenizer is required with trace `trace`, which has the lengths of its prompts"
        );
    }
}
