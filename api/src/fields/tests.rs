use super::*;

const TABLE: &[Field] = &[
    Field {
        name: "limit",
        kind: FieldKind::Integer { min: 1, max: 100 },
        default: "10",
        doc: "How many.",
    },
    Field { name: "force", kind: FieldKind::Flag, default: "false", doc: "Whether." },
];

fn said(outcome: Result<Fields, ApiError>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn a_query_and_a_json_object_become_the_same_fields() {
    let query = pairs(b"model=a%2Fb&notes=ein+S%C3%A4tzchen%21&empty=&alone", "the query").unwrap();
    let json = object(
        r#"{"model": "a/b", "notes": "ein Sätzchen!", "empty": "", "alone": ""}"#.as_bytes(),
    );
    assert_eq!(query, json.unwrap());
}

#[test]
fn a_percent_sign_that_escapes_nothing_is_itself() {
    for (encoded, expected) in [("100%", "100%"), ("%zz", "%zz"), ("%4", "%4"), ("%%41", "%A")] {
        assert_eq!(decoded(encoded.as_bytes()).as_deref(), Some(expected));
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    assert_eq!(said(pairs(b"notes=%ff", "the query")), "the query is not UTF-8");
    assert_eq!(said(pairs(b"user=1&a=&user=2", "the form")), "user is given twice in the form");
    assert_eq!(said(object(b"{\"notes\": \"\xff\"}")), "the body is not UTF-8");
    for body in ["[1]", "\"sk-canary\"", "7", "", " ", "null"] {
        assert_eq!(said(object(body.as_bytes())), "the body must be a JSON object");
    }
    for (body, why) in [
        ("{\"user\": 1, \"user\": 2}", "user is given twice at line 1 column 12"),
        ("{\"user\": 1", "EOF while parsing an object at line 1 column 10"),
        ("{\"user\": 1} {}", "trailing characters at line 1 column 13"),
        ("{user: 1}", "key must be a string at line 1 column 2"),
    ] {
        let expected = "the body is no JSON that can be read: ";
        assert!(said(object(body.as_bytes())).starts_with(expected), "{body}");
        let position = why.split(" at ").next().unwrap();
        assert!(said(object(body.as_bytes())).contains(position), "{body}");
    }
}

#[test]
fn nesting_is_limited_and_brackets_in_texts_do_not_nest() {
    let nested =
        |levels: usize| format!("{{\"a\": {}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert!(object(nested(32).as_bytes()).is_ok());
    let refused = said(object(nested(33).as_bytes()));
    assert_eq!(refused, "the body is nested deeper than 32 levels");
    assert!(said(object(nested(100_000).as_bytes())).contains("deeper than 32"));
    let text = format!("{{\"a\": \"\\\"{}\"}}", "[{".repeat(100));
    assert!(object(text.as_bytes()).is_ok());
}

#[test]
fn parameters_are_named_with_their_limits() {
    for (query, expected) in [
        ("limit=0", "limit must be between 1 and 100, not 0"),
        ("limit=-1", "limit must be between 1 and 100, not -1"),
        ("limit=101", "limit must be between 1 and 100, not 101"),
        ("limit=99999999999", "limit must be between 1 and 100, not 99999999999"),
        ("limit=ten", "limit must be a whole number between 1 and 100, not `ten`"),
        ("force=maybe", "force must be true or false, not `maybe`"),
        ("colour=red", "colour is no known parameter"),
    ] {
        let given = pairs(query.as_bytes(), "the query").unwrap();
        let mut read = Parameters::new(&given, TABLE);
        read.whole("limit");
        read.flag("force");
        assert_eq!(read.finish().unwrap_err().to_string(), expected);
    }
    let given = pairs(b"limit=+7+&force=", "the query").unwrap();
    let mut read = Parameters::new(&given, TABLE);
    assert_eq!((read.whole("limit"), read.flag("force")), (Some(7), None));
    assert!(read.finish().is_ok());
}
