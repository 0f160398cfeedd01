use serde_json::{Value, json};
use simulator::Settings;

use crate::talk::{Simulated, fast};

#[tokio::test]
async fn a_stream_has_role_tokens_finish_usage_and_done_in_that_order() {
    let answer = Simulated::serve(fast()).await.chat(json!({})).await;
    let chunks = answer.chunks();
    assert_eq!(answer.events().len(), 14);
    assert_eq!(answer.events()[13], "[DONE]");
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(answer.texts().len(), 10);
    assert_eq!(chunks[11]["choices"][0]["finish_reason"], "length");
    assert_eq!(chunks[12]["choices"], json!([]));
    assert_eq!(
        chunks[12]["usage"],
        json!({"prompt_tokens": 3, "completion_tokens": 10, "total_tokens": 13})
    );
    assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk"));
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
}

#[tokio::test]
async fn usage_is_told_only_where_it_is_asked_for_and_not_switched_off() {
    let simulated = Simulated::serve(fast()).await;
    let unasked = simulated.chat(json!({"stream_options": null})).await;
    assert!(!unasked.body.contains("usage"));
    let silent = Simulated::serve(Settings { no_usage: true, ..fast() }).await;
    assert!(!silent.chat(json!({})).await.body.contains("usage"));
    assert!(!silent.chat(json!({"stream": false})).await.body.contains("usage"));
}

#[tokio::test]
async fn several_tokens_share_an_event_and_the_last_has_the_rest() {
    let simulated = Simulated::serve(Settings { tokens_per_chunk: 4, ..fast() }).await;
    let texts = simulated.chat(json!({})).await.texts();
    let tokens: Vec<_> = texts.iter().map(|text| text.split_whitespace().count()).collect();
    assert_eq!(tokens, [4, 4, 2]);
}

#[tokio::test]
async fn an_answer_without_a_stream_is_one_object() {
    let answer = Simulated::serve(fast()).await.chat(json!({"stream": false})).await.json();
    assert_eq!(answer["object"], "chat.completion");
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(content.split(' ').count(), 10);
    assert_eq!(answer["usage"]["completion_tokens"], 10);
}

#[tokio::test]
async fn text_completions_speak_their_own_shape() {
    let simulated = Simulated::serve(fast()).await;
    let mut asked = json!({"model": "simulated", "prompt": "a b", "max_tokens": 3, "stream": true});
    let answer = simulated.ask("POST", "/v1/completions", None, &asked).await;
    assert_eq!(answer.texts().len(), 3);
    assert_eq!(answer.chunks()[0]["object"], "text_completion");
    asked["stream"] = json!(false);
    let whole = simulated.ask("POST", "/v1/completions", None, &asked).await.json();
    assert_eq!(whole["choices"][0]["text"].as_str().unwrap().split(' ').count(), 3);
    assert_eq!(whole["usage"]["prompt_tokens"], 2);
}

#[tokio::test]
async fn the_model_is_listed_and_any_other_is_refused_as_openai_does() {
    let simulated = Simulated::serve(fast()).await;
    let models = simulated.ask("GET", "/v1/models", None, &Value::Null).await.json();
    assert_eq!(models["data"][0]["id"], "simulated");
    let answer = simulated.chat(json!({"model": "gpt-9"})).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"]["code"], "model_not_found");
    assert_eq!(simulated.stats().await.refused, 1);
}

#[tokio::test]
async fn a_wrong_key_is_refused_everywhere_and_the_right_one_is_not() {
    let settings = Settings { api_key: Some("sk-right".to_owned()), ..fast() };
    let simulated = Simulated::serve(settings).await;
    for key in [None, Some("sk-wrong")] {
        let answer = simulated.ask("GET", "/v1/models", key, &Value::Null).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (401, Some("invalid_api_key"))
        );
    }
    assert_eq!(simulated.chat(json!({})).await.status, 401);
    let answer = simulated.ask("GET", "/v1/models", Some("sk-right"), &Value::Null).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn bad_requests_say_what_is_wrong() {
    let simulated = Simulated::serve(fast()).await;
    let no_messages = simulated.chat(json!({"messages": []})).await;
    assert_eq!(
        (no_messages.status, no_messages.json()["error"]["param"].as_str()),
        (400, Some("messages"))
    );
    let no_tokens = simulated.chat(json!({"max_tokens": 0})).await;
    assert_eq!(
        (no_tokens.status, no_tokens.json()["error"]["param"].as_str()),
        (400, Some("max_tokens"))
    );
    let not_json = simulated.ask("POST", "/v1/chat/completions", None, &json!("x")).await;
    assert_eq!(not_json.status, 400);
    assert_eq!(simulated.ask("GET", "/nothing", None, &Value::Null).await.status, 404);
}

#[tokio::test]
async fn every_nth_answer_closes_its_connection() {
    let simulated = Simulated::serve(Settings { close_every: 3, ..fast() }).await;
    let mut closes = Vec::new();
    for _ in 0..6 {
        closes.push(simulated.chat(json!({})).await.closes);
    }
    assert_eq!(closes, [false, false, true, false, false, true]);
}

#[tokio::test]
async fn a_connection_can_end_with_its_answer_unannounced() {
    let simulated = Simulated::serve(Settings { silent_close_every: 1, ..fast() }).await;
    let stream = tokio::net::TcpStream::connect(simulated.address).await.unwrap();
    let (answer, ended) = simulated.chat_and_wait_for_the_end(stream).await;
    assert!(answer.whole && !answer.closes && answer.body.ends_with("data: [DONE]\n\n"));
    assert!(ended, "the server closes within seconds");
}

#[tokio::test]
async fn tokens_do_not_drift_however_many_streams_there_are() {
    let settings = Settings { ttft_ms: 300.0, itl_ms: 10.0, ..Settings::default() };
    let simulated = Simulated::serve(settings).await;
    let began = std::time::Instant::now();
    let streams = (0..50).map(|_| simulated.chat(json!({"max_tokens": 51})));
    let answers = futures::future::join_all(streams).await;
    // 300 + 50 * 10 ms; each sleep may be late, but lateness must not add up over 50 tokens.
    let took_ms = began.elapsed().as_millis();
    assert!((800..2_400).contains(&took_ms), "{took_ms} ms");
    assert!(answers.iter().all(|answer| answer.texts().len() == 51 && answer.whole));
    let stats = simulated.stats().await;
    assert_eq!((stats.requests, stats.completed, stats.open, stats.left), (50, 50, 0, 0));
    assert_eq!((stats.tokens, stats.completed_tokens), (2_550, 2_550));
    assert_eq!(stats.completed_prompt_tokens, 150);
}

#[tokio::test]
async fn responses_are_typed_events_with_usage_at_their_end() {
    let simulated = Simulated::serve(fast()).await;
    let mut asked =
        json!({"model": "simulated", "input": "a b", "max_output_tokens": 3, "stream": true});
    let answer = simulated.ask("POST", "/v1/responses", None, &asked).await;
    let chunks = answer.chunks();
    let types: Vec<_> = chunks.iter().map(|chunk| chunk["type"].as_str().unwrap()).collect();
    let delta = "response.output_text.delta";
    assert_eq!(
        types,
        [
            "response.created",
            "response.output_item.added",
            "response.content_part.added",
            delta,
            delta,
            delta,
            "response.incomplete",
        ]
    );
    let numbers: Vec<_> = chunks.iter().map(|chunk| chunk["sequence_number"].clone()).collect();
    assert_eq!(json!(numbers), json!([0, 1, 2, 3, 4, 5, 6]));
    let end = &chunks[6]["response"];
    assert_eq!(end["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(
        (&end["usage"]["input_tokens"], &end["usage"]["output_tokens"]),
        (&json!(2), &json!(3))
    );

    asked["stream"] = json!(false);
    let whole = simulated.ask("POST", "/v1/responses", None, &asked).await.json();
    let text = whole["output"][0]["content"][0]["text"].as_str().unwrap();
    assert_eq!(text.split(' ').count(), 3);
    let asked = json!({"model": "simulated"});
    assert_eq!(simulated.ask("POST", "/v1/responses", None, &asked).await.status, 400);
}

#[tokio::test]
async fn an_embedding_is_a_vector_and_counts_its_prompt() {
    let simulated = Simulated::serve(fast()).await;
    let asked = json!({"model": "simulated", "input": ["a b", "c"]});
    let answer = simulated.ask("POST", "/v1/embeddings", None, &asked).await.json();
    assert_eq!(answer["data"][0]["embedding"].as_array().unwrap().len(), 256);
    assert_eq!(answer["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
    let stats = simulated.stats().await;
    assert_eq!((stats.completed, stats.completed_tokens, stats.completed_prompt_tokens), (1, 0, 3));
}
