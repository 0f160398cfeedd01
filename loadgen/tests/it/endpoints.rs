//! Each endpoint, streamed and whole, against the simulator's own count; and what goes wrong with
//! answers that are not streamed.

use serde_json::{Value, json};
use shared::{
    Report,
    report::{FailureClass, TokenSource},
};
use testkit::{Chat, Script, ScriptedServer};

use super::{
    DRIVERS, assert_fails_as, drive_by, ms, short,
    simulated::{quick, simulate, stats},
};

/// A load of `fields`, and tokens and prompt tokens of an answer as the simulator counted them.
async fn counted(driver: loadgen::Driver, fields: &Value) -> (Report, u64, u64) {
    let url = simulate(quick()).await;
    let report = drive_by(driver, short(&url, fields.clone())).await.report;
    let stats = stats(&url).await;
    let requests = &report.requests;
    assert_eq!((requests.failed, requests.cancelled), (0, 0), "{driver:?} {:?}", report.failures);
    assert!(requests.completed > 10, "{driver:?} {requests:?}");
    // the probe's one answer is short, and has another prompt
    let tokens = stats.completed_tokens / stats.completed;
    (report, tokens, stats.completed_prompt_tokens)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_that_streams_is_measured_alike() {
    for driver in DRIVERS {
        for endpoint in ["chat", "completions", "responses"] {
            let asked = json!({"endpoint": endpoint, "max_tokens": 8, "ignore_eos": true});
            let (report, _, prompts) = counted(driver, &asked).await;
            let completed = report.requests.completed;
            assert_eq!(report.tokens.output, 8 * completed, "{driver:?} {endpoint}");
            assert_eq!(report.tokens.source, Some(TokenSource::Usage));
            // all but the probe's: "Count from one to ten."
            assert_eq!(report.tokens.input, Some(prompts - 5), "{driver:?} {endpoint}");
            assert_eq!(report.finish_reasons.length, completed, "{endpoint}");
            let latency = &report.latency;
            assert_eq!(latency.ttft_ms.as_ref().unwrap().n, completed);
            assert!(latency.ttft_ms.as_ref().unwrap().min >= 30.0, "{driver:?} {endpoint}");
            assert!(latency.tpot_ms.as_ref().unwrap().p50 >= 1.5, "{driver:?} {endpoint}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_streamed_has_an_end_and_no_token_times() {
    for driver in DRIVERS {
        for endpoint in ["chat", "completions", "responses"] {
            let asked = json!({"endpoint": endpoint, "stream": false, "max_tokens": 8,
                "ignore_eos": true, "slo_e2e_ms": 5_000});
            let (report, _, prompts) = counted(driver, &asked).await;
            let completed = report.requests.completed;
            assert_eq!(report.tokens.output, 8 * completed, "{driver:?} {endpoint}");
            assert_eq!(report.tokens.input, Some(prompts - 5), "{driver:?} {endpoint}");
            assert_eq!(report.finish_reasons.length, completed, "{endpoint}");
            let latency = &report.latency;
            let e2e = latency.e2e_ms.as_ref().unwrap();
            // 30 ms, and 7 x 2 ms
            assert!(e2e.n == completed && e2e.min >= 44.0, "{driver:?} {endpoint} {e2e:?}");
            let absent = [
                &latency.ttft_ms,
                &latency.ttfa_ms,
                &latency.ttfe_ms,
                &latency.tpot_ms,
                &latency.itl_ms,
                &latency.icl_ms,
                &latency.stall_ms,
                &report.token_speed_per_s,
                &report.aliases.vllm_ttft_ms,
                &report.aliases.guidellm_tpot_ms,
            ];
            assert!(absent.iter().all(|figure| figure.is_none()), "{driver:?} {report:#?}");
            assert_eq!(latency.from_intent.ttft_ms, None);
            assert_eq!(report.goodput.as_ref().unwrap().met, completed);
            assert_eq!(report.output_token_rate_per_s.as_ref().unwrap().n, completed);
            let early = report.validity.early_stopping.as_ref().unwrap();
            assert_eq!(early.n, completed);
            assert!(early.p90.ttft_ms.is_none(), "{early:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embeddings_have_prompt_tokens_alone() {
    for driver in DRIVERS {
        let (report, tokens, prompts) = counted(driver, &json!({"endpoint": "embeddings"})).await;
        assert_eq!((report.tokens.output, tokens), (0, 0));
        assert_eq!((report.tokens.estimated, report.tokens.reached_ratio), (false, None));
        assert_eq!(report.tokens.input, Some(prompts - 5), "{driver:?}");
        let throughput = &report.throughput;
        assert!(throughput.input_tokens_per_s.unwrap() > 0.0);
        assert!((throughput.output_tokens_per_s, throughput.requests_per_s > 0.0) == (0.0, true));
        let e2e = report.latency.e2e_ms.unwrap();
        assert!(e2e.n == report.requests.completed && e2e.min >= 30.0, "{driver:?} {e2e:?}");
        assert!(report.latency.ttft_ms.is_none() && report.output_token_rate_per_s.is_none());
        assert_eq!(report.finish_reasons, shared::report::FinishReasons::default());
    }
}

const CHAT: &str = "POST /v1/chat/completions";

fn whole() -> Value {
    json!({"choices": [{"message": {"content": "a b"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
}

/// Whole answers while it is probed, then `script` to every request.
fn turning_to(script: Script) -> ScriptedServer {
    ScriptedServer::scripted()
        .on("GET /v1/models", Script::models(&["tiny"]))
        .once(CHAT, Script::json(200, &whole()))
        .on(CHAT, script)
        .start()
}

#[tokio::test]
async fn a_body_that_is_no_answer_is_classed_by_what_it_is() {
    let json = |body: &str| Script::answer(200, "application/json", body);
    let begun = Script::new().head(200, &[("content-length", "100")]);
    for (script, class, words) in [
        (json("not json"), FailureClass::Malformed, "not json"),
        (json("{}"), FailureClass::Malformed, "no choices"),
        (Script::answer(200, "text/html", "<html>"), FailureClass::Malformed, "<html>"),
        (
            json(r#"{"error": {"message": "out of memory"}}"#),
            FailureClass::StreamError,
            "out of memory",
        ),
        (
            json(r#"{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}"#),
            FailureClass::EmptyOutput,
            "empty",
        ),
        (begun.clone().raw("{\"choi").close(), FailureClass::Truncated, "broke off"),
        (begun.raw("{\"choi").stall(), FailureClass::TimeoutTotal, "not over"),
        (Script::json(503, &json!({"detail": "busy"})), FailureClass::Http5xx, "busy"),
        (Script::new().close(), FailureClass::Connect, "before the answer began"),
    ] {
        for driver in DRIVERS {
            let server = turning_to(script.clone());
            // neither of the two limits of a stream applies
            let limits = json!({"stream": false, "timeout_total": 0.5, "timeout_idle": 0.1,
                "timeout_first_token": 0.1});
            let outcome = drive_by(driver, short(&server.url(), limits)).await;
            assert_fails_as(&outcome, class, words);
        }
    }
}

#[tokio::test]
async fn a_whole_answer_ends_with_its_last_byte() {
    let body = whole().to_string();
    let (first, second) = body.split_at(20);
    let length = body.len().to_string();
    for driver in DRIVERS {
        let script = Script::new()
            .head(200, &[("content-type", "application/json"), ("content-length", &length)])
            .after(ms(50))
            .raw(first)
            .after(ms(100))
            .raw(second);
        let server = turning_to(script);
        let spec = short(&server.url(), json!({"stream": false, "timeout_first_token": 0.1}));
        let report = drive_by(driver, spec).await.report;
        assert_eq!(report.requests.failed, 0, "{:?}", report.failures);
        let e2e = report.latency.e2e_ms.unwrap();
        assert!((150.0..250.0).contains(&e2e.p50), "{driver:?} {e2e:?}");
        let request = &server.requests_to("/v1/chat/completions")[1];
        assert_eq!(request.json()["stream"], false);
        assert_eq!(request.json().get("stream_options"), None);
        assert_eq!(request.header("accept"), Some("application/json"));
    }
}

#[tokio::test]
async fn extra_members_and_headers_are_on_every_request() {
    for driver in DRIVERS {
        let good = Chat::of(&["a"]).usage(5, 1).first_token_after(ms(20));
        let server = ScriptedServer::chat(&good);
        let asked = json!({"extra_body": {"top_k": 5, "top_p": null},
            "extra_headers": {"X-Route": "blue"}});
        let report = drive_by(driver, short(&server.url(), asked)).await.report;
        assert!(report.requests.completed > 10 && report.requests.failed == 0);
        for request in server.requests() {
            assert_eq!(request.header("x-route"), Some("blue"), "{driver:?} {request:?}");
        }
        for request in server.requests_to("/v1/chat/completions") {
            let body = request.json();
            assert_eq!((&body["top_k"], body.get("top_p")), (&json!(5), None));
        }
    }
}
