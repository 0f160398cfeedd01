use serde_json::{Value, json};

use crate::{
    Call, Endpoint,
    request::{Defaults, Fields, NewBenchmark, valid},
};

fn call(fields: Value) -> Result<Call, Vec<String>> {
    let mut given: Fields = serde_json::from_value(fields).unwrap();
    given.insert("url".to_owned(), json!("http://llm.example"));
    NewBenchmark::parse(&given, &Defaults::default(), valid(7))
        .map(|new| new.spec.call)
        .map_err(|errors| errors.into_iter().map(|error| error.detail).collect())
}

#[test]
fn a_streamed_chat_is_asked_for_unless_something_else_is() {
    assert_eq!(call(json!({})), Ok(Call::default()));
    let plain = Call { endpoint: Endpoint::Chat, stream: true };
    assert_eq!(call(json!({"endpoint": "chat", "stream": "true"})), Ok(plain.clone()));
    let whole = Call { endpoint: Endpoint::Responses, stream: false };
    assert_eq!(call(json!({"endpoint": "responses", "stream": "0"})), Ok(whole));
    assert!(plain.is_plain());
    assert!(!call(json!({"endpoint": "embeddings"})).unwrap().stream);
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    let refusal = |fields| call(fields).unwrap_err();
    assert_eq!(
        refusal(json!({"endpoint": "chats"})),
        ["endpoint must be one of chat, completions, responses, embeddings, not `chats`"]
    );
    assert_eq!(
        refusal(json!({"endpoint": "embeddings", "stream": true, "max_tokens": 8})),
        [
            "stream cannot be true with endpoint embeddings: they are not streamed",
            "max_tokens cannot be given with endpoint embeddings",
        ]
    );
    assert_eq!(
        refusal(json!({"stream": false, "slo_ttft_ms": 100, "slo_e2e_ms": 1000})),
        [
            "slo_ttft_ms cannot be given with stream=false: an answer that is not streamed has no token times"
        ]
    );
}

#[test]
fn a_spec_from_before_there_were_calls_is_a_streamed_chat_and_stays_as_it_was() {
    let given = Fields::from([("url".to_owned(), json!("http://llm.example"))]);
    let new = NewBenchmark::parse(&given, &Defaults::default(), valid(7)).unwrap();
    let stored = serde_json::to_value(&new.spec).unwrap();
    assert_eq!(stored.get("call"), None);
    let read: crate::BenchmarkSpec = serde_json::from_value(stored).unwrap();
    assert_eq!(read, new.spec);
}
