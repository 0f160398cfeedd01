use serde_json::{Value, json};

use crate::{
    Call, Endpoint, HttpVersion,
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
    let plain = Call::default();
    assert_eq!(call(json!({"endpoint": "chat", "stream": "true"})), Ok(plain.clone()));
    let whole = Call { endpoint: Endpoint::Responses, stream: false, ..Call::default() };
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

#[test]
fn http_is_spoken_in_the_version_that_was_asked_for() {
    let http2 = Call { http_version: HttpVersion::Http2, ..Call::default() };
    for given in [json!("2"), json!(2)] {
        assert_eq!(call(json!({ "http_version": given })), Ok(http2.clone()));
    }
    for given in [json!("1.1"), json!(1.1)] {
        assert_eq!(call(json!({ "http_version": given })), Ok(Call::default()));
    }
    assert_eq!(
        call(json!({"http_version": "3"})),
        Err(vec!["http_version must be 1.1 or 2, not `3`".to_owned()])
    );
    let json = serde_json::to_value(&http2).unwrap();
    assert_eq!(json["http_version"], "2");
    assert_eq!(serde_json::from_value::<Call>(json).unwrap(), http2);
}

#[test]
fn extras_are_taken_from_json_and_from_text_alike() {
    let body = json!({"top_k": 5, "temperature": null});
    let headers = json!({"X-Route": "a b"});
    let as_json = call(json!({"extra_body": body, "extra_headers": headers})).unwrap();
    let as_text =
        call(json!({"extra_body": body.to_string(), "extra_headers": headers.to_string()}));
    assert_eq!(as_text, Ok(as_json.clone()));
    assert!(as_json.extra_body.as_ref().unwrap().leaves_out("temperature"));
    let headers: Vec<_> = as_json.extra_headers.as_ref().unwrap().each().collect();
    assert_eq!(headers, [("x-route", "a b")]);
    assert_eq!(call(json!({"extra_body": "", "extra_headers": null})), Ok(Call::default()));
}

#[test]
fn extras_that_must_not_be_are_refused_by_name() {
    for (fields, said) in [
        (json!({"extra_body": {"messages": []}}), "extra_body must not hold `messages`"),
        (json!({"extra_body": {"stream": null}}), "extra_body must not hold `stream`"),
        (json!({"extra_body": {"max_tokens": 8}}), "`max_tokens` only as null"),
        (json!({"extra_body": "[1]"}), "extra_body must be a JSON object"),
        (json!({"extra_body": "{"}), "extra_body must be a JSON object"),
        (json!({"extra_body": {"x": "a".repeat(17_000)}}), "at most 16384 bytes"),
        (json!({"extra_body": {"x": "a\u{0}"}}), "NUL"),
        (json!({"extra_headers": {"Host": "x"}}), "must not hold `host`"),
        (json!({"extra_headers": {"Content-Length": "3"}}), "must not hold `content-length`"),
        (json!({"extra_headers": {"Transfer-Encoding": "x"}}), "`transfer-encoding`"),
        (
            json!({"extra_headers": {"Authorization": "Bearer x"}}),
            "give the target's key as api_key",
        ),
        (json!({"extra_headers": {"X-Api-Key": "x"}}), "give the target's key as api_key"),
        (json!({"extra_headers": {"x-auth-token": "x"}}), "give the target's key as api_key"),
        (json!({"extra_headers": {"a b": "x"}}), "`a b` cannot be the name of a header"),
        (json!({"extra_headers": {"x": "a\r\nb: c"}}), "the value of `x` must be visible ASCII"),
        (json!({"extra_headers": {"x": 1}}), "extra_headers: invalid type"),
        (json!({"extra_headers": {"x": "1", "X": "2"}}), "holds `x` twice"),
    ] {
        let refusals = call(fields.clone()).unwrap_err();
        assert!(refusals.len() == 1 && refusals[0].contains(said), "{fields}: {refusals:?}");
    }
}
