use shared::Endpoint;

use super::super::{Delta, Message, Reply, Usage, event, whole};

fn read(data: &str) -> Message<'_> {
    event(Endpoint::Responses, data.as_bytes()).unwrap()
}

fn delta(data: &str) -> Delta<'_> {
    match read(data) {
        Message::Delta(delta) => delta,
        other => panic!("{data}: {other:?}"),
    }
}

#[test]
fn every_kind_of_token_is_read() {
    let cases = [
        ("response.output_text.delta", "Hel", "Hel", true),
        ("response.refusal.delta", "no", "no", true),
        ("response.function_call_arguments.delta", "{", "{", true),
        ("response.reasoning_text.delta", "hm", "hm", false),
        ("response.reasoning_summary_text.delta", "hm", "hm", false),
        ("response.output_text.done", "Hello", "", false),
        ("response.audio.delta", "UklGRg==", "", false),
    ];
    for (kind, text, said, answer) in cases {
        let data = format!(
            r#"{{"type":"{kind}","sequence_number":3,"item_id":"x","output_index":0,"delta":"{text}"}}"#
        );
        let delta = delta(&data);
        assert_eq!((&*delta.text, delta.answer, delta.done), (said, answer, false), "{kind}");
        assert_eq!(delta.choices, !said.is_empty(), "{kind}");
    }
    let called = delta(
        r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"look_up","arguments":""}}"#,
    );
    assert_eq!((&*called.text, called.answer), ("look_up", true));
}

#[test]
fn what_stands_around_the_tokens_says_nothing() {
    for data in [
        r#"{"type":"response.created","response":{"id":"r","status":"in_progress","output":[],"usage":null,"error":null,"incomplete_details":null}}"#,
        r#"{"type":"response.output_item.added","output_index":0,"item":{"id":"m","type":"message","content":[]}}"#,
        r#"{"type":"response.content_part.added","part":{"type":"output_text","text":""}}"#,
        r#"{"type":"response.of_tomorrow","delta":{"x":1}}"#,
    ] {
        assert_eq!(delta(data), Delta::default(), "{data}");
    }
}

#[test]
fn the_last_event_tells_usage_and_why_it_ended() {
    let last = |kind: &str, inner: &str| {
        let data = format!(
            r#"{{"type":"response.{kind}","response":{{{inner},"usage":{{"input_tokens":9,"output_tokens":4,"output_tokens_details":{{"reasoning_tokens":1}}}}}}}}"#
        );
        let Message::Delta(delta) = read(&data).into_owned() else { panic!("{data}") };
        let usage = Usage { prompt_tokens: 9, completion_tokens: 4, reasoning_tokens: Some(1) };
        assert_eq!((delta.usage, delta.done), (Some(usage), true), "{data}");
        delta.finish_reason.unwrap().into_owned()
    };
    assert_eq!(last("completed", r#""status":"completed","output":[]"#), "stop");
    let cut = r#""status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}"#;
    assert_eq!(last("incomplete", cut), "length");
    assert_eq!(last("completed", cut), "length");
    assert_eq!(last("incomplete", r#""status":"incomplete""#), "incomplete");
    let called = r#""status":"completed","output":[{"type":"function_call","name":"f"}]"#;
    assert_eq!(last("completed", called), "tool_calls");
}

#[test]
fn failures_are_errors_in_the_targets_words() {
    for (data, words) in [
        (r#"{"type":"error","code":"x","message":"overloaded","param":null}"#, "overloaded"),
        (r#"{"type":"error","error":{"message":"overloaded"}}"#, "overloaded"),
        (r#"{"error":{"message":"overloaded"}}"#, "overloaded"),
        (
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"out of memory"}}}"#,
            "out of memory",
        ),
        (r#"{"type":"response.failed"}"#, "the response failed"),
    ] {
        assert_eq!(read(data), Message::Error(words.to_owned()), "{data}");
    }
}

#[test]
fn what_is_no_typed_event_is_malformed() {
    for data in ["<html>", r#"{"choices":[{"delta":{"content":"a"}}]}"#, "3"] {
        assert!(event(Endpoint::Responses, data.as_bytes()).is_err(), "{data}");
    }
    assert_eq!(read("[DONE]"), Message::Done);
}

#[test]
fn a_whole_answer_is_read() {
    let body = br#"{"id":"r","object":"response","status":"completed","model":"m","error":null,
        "output":[{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},
            {"type":"message","role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[]}]}],
        "usage":{"input_tokens":7,"output_tokens":3,"total_tokens":10}}"#;
    let Reply::Answer(answer) = whole(Endpoint::Responses, body).unwrap() else { panic!() };
    assert_eq!((&*answer.text, answer.reasoning.as_deref()), ("Hello", Some("hm")));
    assert_eq!(answer.finish_reason.as_deref(), Some("stop"));
    assert_eq!(answer.usage.unwrap().completion_tokens, 3);

    let failed = br#"{"status":"failed","error":{"message":"overloaded"},"output":[]}"#;
    let reply = whole(Endpoint::Responses, failed).unwrap();
    assert_eq!(reply, Reply::Error("overloaded".to_owned()));
    assert!(whole(Endpoint::Responses, br#"{"choices":[]}"#).is_err());
}
