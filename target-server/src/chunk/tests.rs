use std::borrow::Cow;

use super::*;

fn delta(data: &str) -> Delta<'_> {
    match read(data.as_bytes()).unwrap() {
        Message::Delta(delta) => delta,
        other => panic!("{data}: {other:?}"),
    }
}

fn error(data: &str) -> String {
    match read(data.as_bytes()).unwrap() {
        Message::Error(words) => words,
        other => panic!("{data}: {other:?}"),
    }
}

fn of_choice(choice: &str) -> String {
    format!(
        r#"{{"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{choice}]}}"#
    )
}

#[test]
fn every_kind_of_token_is_read() {
    // What the delta holds; its text; whether some of it is answer.
    let deltas = [
        (r#"{"content":"Hi"}"#, "Hi", true),
        (r#"{"content":" "}"#, " ", true),
        (r#"{"role":"assistant","content":""}"#, "", false),
        (r#"{"role":"assistant","content":null}"#, "", false),
        (r#"{"role":"assistant"}"#, "", false),
        (r#"{"reasoning_content":"hm"}"#, "hm", false),
        (r#"{"reasoning":"hm"}"#, "hm", false),
        (r#"{"reasoning":"hm","reasoning_content":"hm"}"#, "hm", false),
        (r#"{"reasoning":"","reasoning_content":"hm"}"#, "hm", false),
        (r#"{"reasoning":null,"reasoning_content":null,"content":"x"}"#, "x", true),
        (r#"{"reasoning":"hm ","content":"x"}"#, "hm x", true),
        (r#"{"refusal":"no"}"#, "no", true),
        (r#"{"content":null,"refusal":null,"tool_calls":null}"#, "", false),
        (
            r#"{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}"#,
            "f",
            true,
        ),
        (r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}"#, "{\"a\"", true),
        (
            r#"{"tool_calls":[{"function":{"name":"f"}},{"function":{"arguments":"1"}}]}"#,
            "f1",
            true,
        ),
        (r#"{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}"#, "f{\"a\":1}", true),
        (r#"{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#, "ab", true),
        (r#"{"content":"a\n\"b\" \u00e4 🙂"}"#, "a\n\"b\" ä 🙂", true),
    ];
    for (inner, text, answer) in deltas {
        let data = of_choice(&format!(r#"{{"index":0,"delta":{inner},"finish_reason":null}}"#));
        let read = delta(&data);
        assert_eq!((&*read.text, read.answer), (text, answer), "{inner}");
        assert_eq!(read.finish_reason, None);
    }
}

#[test]
fn text_completions_and_several_choices_are_read() {
    assert_eq!(delta(r#"{"choices":[{"text":"Hi","index":0,"logprobs":null}]}"#).text, "Hi");
    assert!(delta(r#"{"choices":[{"text":"Hi"}]}"#).answer);
    let two = of_choice(r#"{"delta":{"content":"a"}},{"delta":{"content":"b"}}"#);
    assert_eq!(delta(&two).text, "ab");
    assert_eq!(delta(&of_choice(r#"{"index":0,"delta":null}"#)).text, "");
    assert_eq!(delta(&of_choice("")), Delta::default());
}

#[test]
fn a_text_without_escapes_is_borrowed() {
    let data = of_choice(r#"{"delta":{"content":"plain 漢字"},"finish_reason":"stop"}"#);
    let read = delta(&data);
    assert!(matches!(read.text, Cow::Borrowed(_)));
    assert!(matches!(read.finish_reason, Some(Cow::Borrowed("stop"))));
}

#[test]
fn an_end_is_read_with_its_reason() {
    for reason in ["stop", "length", "tool_calls", "content_filter"] {
        let data = of_choice(&format!(r#"{{"delta":{{}},"finish_reason":"{reason}"}}"#));
        assert_eq!(delta(&data).finish_reason.as_deref(), Some(reason));
    }
    assert_eq!(delta(&of_choice(r#"{"delta":{},"finish_reason":""}"#)).finish_reason, None);
    for done in ["[DONE]", " [DONE] ", "[DONE]\n"] {
        assert_eq!(read(done.as_bytes()).unwrap(), Message::Done);
    }
}

#[test]
fn usage_is_read_wherever_it_stands() {
    let usage = |prompt_tokens, completion_tokens, reasoning_tokens| {
        Some(Usage { prompt_tokens, completion_tokens, reasoning_tokens })
    };
    let inner = r#""usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}"#;
    let own_event = format!(r#"{{"choices":[],{inner}}}"#);
    let without_choices = format!("{{{inner}}}");
    let null_choices = format!(r#"{{"choices":null,{inner}}}"#);
    let with_choices = format!(r#"{{"choices":[{{"delta":{{"content":"x"}}}}],{inner}}}"#);
    let finish = format!(r#"{{{inner},"choices":[{{"delta":{{}},"finish_reason":"stop"}}]}}"#);
    for data in [&own_event, &without_choices, &null_choices, &with_choices, &finish] {
        assert_eq!(delta(data).usage, usage(9, 4, None), "{data}");
    }
    assert_eq!(delta(&with_choices).text, "x");
    assert_eq!(delta(&finish).finish_reason.as_deref(), Some("stop"));
    let details = [
        (r#"{"reasoning_tokens":3}"#, Some(3)),
        (r#"{"reasoning_tokens":null}"#, None),
        (r#"{"audio_tokens":0}"#, None),
        ("null", None),
    ];
    for (details, reasoning) in details {
        let data = format!(
            r#"{{"choices":[],"usage":{{"prompt_tokens":9.0,"completion_tokens":4,"completion_tokens_details":{details}}}}}"#
        );
        assert_eq!(delta(&data).usage, usage(9, 4, reasoning), "{details}");
    }
    for absent in ["null", "{}", r#"{"prompt_tokens":3}"#, r#"{"completion_tokens":3}"#] {
        let data = format!(r#"{{"choices":[],"usage":{absent}}}"#);
        assert_eq!(delta(&data).usage, None, "{absent}: absent must not read as 0");
    }
}

#[test]
fn an_error_in_the_stream_is_told_in_the_targets_words() {
    let errors = [
        (r#"{"error":{"message":"too long","type":"BadRequestError","code":400}}"#, "too long"),
        (r#"{"error":"out of memory"}"#, "out of memory"),
        (r#"{"error":{"code":500}}"#, r#"{"code":500}"#),
        (r#"{"error":{"message":null,"code":1}}"#, r#"{"code":1,"message":null}"#),
        (r#"{"error":500}"#, "500"),
        (r#"{"error":["a"]}"#, r#"["a"]"#),
        (r#"{"choices":[{"delta":{"content":"x"}}],"error":{"message":"cut"}}"#, "cut"),
        (r#"{"object":"error","message":"old vLLM","type":"x","code":400}"#, "old vLLM"),
        (r#"{"object":"error"}"#, "an error without a message"),
    ];
    for (data, words) in errors {
        assert_eq!(error(data), words, "{data}");
    }
    for none in ["null", "\"\"", "{}", "false"] {
        let data = format!(r#"{{"choices":[],"error":{none}}}"#);
        assert_eq!(delta(&data), Delta::default(), "{data}");
    }
    let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(10_000));
    assert_eq!(error(&long).len(), BODY_BYTES);
}

#[test]
fn what_says_nothing_in_the_dialect_is_malformed() {
    let malformed = [
        "{",
        "hello",
        "null",
        "[]",
        "\"text\"",
        "{}",
        r#"{"type":"ping"}"#,
        r#"{"choices":"none"}"#,
        r#"{"choices":[1]}"#,
        r#"{"choices":null}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":0}}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":1.5,"completion_tokens":0}}"#,
        r#"{"choices":[{"delta":{"content":true}}]}"#,
        r#"{"choices":[]} trailing"#,
        "[DONE] and more",
        "<html>",
    ];
    for data in malformed {
        let refused = read(data.as_bytes()).unwrap_err();
        assert_eq!(refused.excerpt, data);
        assert!(refused.to_string().starts_with(&format!("`{data}` (")), "{refused}");
    }
    let long = read("é".repeat(5_000).as_bytes()).unwrap_err();
    assert_eq!(long.excerpt.len(), 200);
}

#[test]
fn blank_data_is_a_heartbeat() {
    for data in ["", " ", "\n"] {
        assert_eq!(delta(data), Delta::default());
    }
}

#[test]
fn broken_utf8_is_replaced_as_the_rules_say() {
    let data = b"{\"choices\":[{\"delta\":{\"content\":\"a\xFFb\"}}]}";
    let Message::Delta(read) = read(data).unwrap() else { panic!("a delta") };
    assert_eq!(read.text, "a\u{fffd}b");
    assert!(super::read(b"\xFF\xFE").is_err());
}

#[test]
fn the_servers_fingerprint_is_read() {
    let data = r#"{"system_fingerprint":"fp_1","choices":[]}"#;
    assert_eq!(delta(data).system_fingerprint.as_deref(), Some("fp_1"));
    assert_eq!(delta(r#"{"system_fingerprint":null,"choices":[]}"#).system_fingerprint, None);
}

#[test]
fn a_whole_answer_is_read() {
    let body = r#"{"id":"x","object":"chat.completion","model":"tiny","system_fingerprint":"fp",
        "choices":[{"index":0,"message":{"role":"assistant","content":"Hello","reasoning_content":"hm"},
        "finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
    let expected = Answer {
        text: "Hello".into(),
        reasoning: Some("hm".into()),
        finish_reason: Some("stop".into()),
        usage: Some(Usage { prompt_tokens: 3, completion_tokens: 2, reasoning_tokens: None }),
        model: Some("tiny".into()),
        system_fingerprint: Some("fp".into()),
    };
    assert_eq!(read_answer(body.as_bytes()).unwrap(), Reply::Answer(expected));
    let tool = r#"{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}"#;
    let Reply::Answer(answer) = read_answer(tool.as_bytes()).unwrap() else { panic!("an answer") };
    assert_eq!(answer.text, "f{}");
    let refused = read_answer(br#"{"error":{"message":"no"}}"#).unwrap();
    assert_eq!(refused, Reply::Error("no".into()));
    for body in ["<html>", "{}", r#"{"choices":[]}"#, ""] {
        assert_eq!(read_answer(body.as_bytes()).unwrap_err().excerpt, body);
    }
}
