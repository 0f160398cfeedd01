//! Bad input: the same words in every encoding, and nothing stored.

use api::Settings;
use poem::http::Method;
use serde_json::{Value, json};

use crate::app::{Answer, LIST, RUN, TestApp, each, local, one};

/// The same fields as a query, as a form, and as JSON on both paths.
async fn in_every_encoding(app: &TestApp, fields: &Value) -> [Answer; 4] {
    let pairs: Vec<_> = fields.as_object().unwrap().iter().collect();
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    let encoded = pairs.iter().map(|(name, value)| format!("{name}={}", escaped(&text(value))));
    let encoded = encoded.collect::<Vec<_>>().join("&");
    [
        app.post(&format!("{RUN}?{encoded}")).await,
        app.post_form(RUN, &encoded).await,
        app.post_json(RUN, fields).await,
        app.post_json(LIST, fields).await,
    ]
}

fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn every_encoding_refuses_with_the_same_words() {
    for app in each(Settings::default()).await {
        for (field, value, said) in [
            ("user", json!(0), "user must be between 1 and 640000, not 0"),
            ("user", json!(-1), "user must be between 1 and 640000, not -1"),
            ("user", json!(640_001), "user must be between 1 and 640000, not 640001"),
            ("user", json!("many"), "user must be a whole number between 1 and 640000, not `many`"),
            ("user", json!(1.5), "user must be between 1 and 640000, not 1.5"),
            ("user", json!(""), "user must be a whole number between 1 and 640000, not ``"),
            ("spawnrate", json!(0), "spawnrate must be between 1 and 640000, not 0"),
            ("spawnrate", json!("NaN"), "spawnrate must be between 1 and 640000, not NaN"),
            ("duration", json!(3_601), "duration must be between 1 and 3600, not 3601"),
            ("duration", json!(-60), "duration must be between 1 and 3600, not -60"),
            ("max_tokens", json!(0), "max_tokens must be between 1 and 32768, not 0"),
            ("temperature", json!(2.5), "temperature must be between 0 and 2, not 2.5"),
            ("seed", json!(-7), "seed must be between 0 and 9007199254740991, not -7"),
            ("favorite", json!("maybe"), "favorite must be true or false, not `maybe`"),
            ("colour", json!("red"), "colour is no known field"),
            ("users", json!(3), "users is no known field; did you mean user?"),
            ("api_key", json!("two words"), "api_key must be visible ASCII without spaces"),
        ] {
            let fields = json!({"url": "https://llm.example", field: value});
            for answer in in_every_encoding(&app, &fields).await {
                answer.refuses(422, said);
                let pointer = format!("/{field}");
                assert_eq!(answer.json["errors"], json!([{"pointer": pointer, "detail": said}]));
            }
        }
        for (url, said) in [
            (json!(""), "url is required: the target's base URL"),
            (json!("llm.example"), "url cannot be read: relative URL without a base"),
            (json!("ftp://llm.example"), "url must start with http:// or https://, not ftp:"),
            (
                json!("https://me:secret@llm.example"),
                "url must not hold credentials; give the key as api_key",
            ),
            (json!("https://llm.example/#x"), "url must not have a fragment"),
            (json!("https://llm.example:0"), "url must have a port between 1 and 65535, not 0"),
        ] {
            for answer in in_every_encoding(&app, &json!({"url": url})).await {
                answer.refuses(422, said);
            }
        }
        for answer in in_every_encoding(&app, &json!({})).await {
            answer.refuses(422, "url is required: the target's base URL");
        }
        assert_eq!(app.get(&format!("{LIST}?status=all")).await.json["total"], 0);
    }
}

#[tokio::test]
async fn all_refused_fields_are_told_at_once() {
    let app = one(Settings::default()).await;
    let answer = app.post(&format!("{RUN}?user=0&duration=0&colour=red")).await;
    assert_eq!(answer.status, 422);
    let pointers: Vec<_> =
        answer.json["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/colour", "/url", "/user", "/duration"]);
}

#[tokio::test]
async fn the_body_wins_over_the_query() {
    let app = one(Settings::default()).await;
    let path = format!("{RUN}?url=https://llm.example&user=5&duration=7");
    let answer = app.post_json(&path, &json!({"user": 6})).await;
    assert_eq!(
        (answer.json["user"].clone(), answer.json["duration"].clone()),
        (6.into(), 7.into())
    );
    let answer = app.post_form(&path, "user=8").await;
    assert_eq!(answer.json["user"], 8);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_before_it_is_judged() {
    let app = one(Settings::default()).await;
    let json = |body: &'static [u8]| {
        app.send(Method::POST, RUN, move |request| {
            request.content_type("application/json; charset=utf-8").body(body)
        })
    };
    json(b"[1]").await.refuses(400, "the body must be a JSON object");
    json(b"\xff{}").await.refuses(400, "the body is not UTF-8");
    assert_eq!(json(b"{\"user\":").await.status, 400);
    assert_eq!(json(b"{\"user\": 1, \"user\": 2}").await.status, 400);
    app.post(&format!("{RUN}?user=1&user=2"))
        .await
        .refuses(400, "user is given twice in the query");
    app.post(&format!("{RUN}?notes=%ff")).await.refuses(400, "the query is not UTF-8");
    app.post_form(RUN, "a=1&a=1").await.refuses(400, "a is given twice in the form");
    let deep: &'static str = Box::leak(format!("{{\"a\":{}", "[".repeat(4_000)).into_boxed_str());
    json(deep.as_bytes()).await.refuses(400, "the body is nested deeper than 32 levels");
    app.post_json(&format!("{LIST}?user=5"), &json!({"url": "https://llm.example"}))
        .await
        .refuses(400, "user belongs into the JSON body here, not the query");
}

#[tokio::test]
async fn other_media_types_are_not_taken() {
    let app = one(Settings::default()).await;
    let send = |path: &'static str, media_type: &'static str, body: &'static str| {
        app.send(Method::POST, path, move |request| request.content_type(media_type).body(body))
    };
    for media_type in ["text/plain", "multipart/form-data; boundary=x", "application/xml"] {
        let answer = send(RUN, media_type, "user=1").await;
        assert_eq!(answer.status, 415);
        assert!(answer.detail().starts_with("the content type must be application/json or "));
    }
    send(LIST, "application/x-www-form-urlencoded", "user=1").await.refuses(
        415,
        "the content type must be application/json, not application/x-www-form-urlencoded",
    );
    let untyped = app.send(Method::POST, RUN, |request| request.body("user=1")).await;
    assert_eq!(untyped.status, 415);
}

#[tokio::test]
async fn size_is_limited_and_gets_need_no_length() {
    let app = one(Settings::default()).await;
    let body = |bytes: usize| {
        let empty = json!({"url": "https://llm.example", "notes": ""}).to_string().len();
        json!({"url": "https://llm.example", "notes": "x".repeat(bytes - empty)})
    };
    let fits = app.post_json(RUN, &body(256 * 1024)).await;
    assert_eq!(fits.status, 422);
    assert!(fits.detail().starts_with("notes must be at most 10000 characters long, not 262"));
    let answer = app.post_json(RUN, &body(256 * 1024 + 1)).await;
    answer.refuses(413, "the body must be at most 262144 bytes long");
    let announced = app
        .send(Method::POST, RUN, |request| {
            request.content_type("application/json").header("content-length", "99999999").body("{}")
        })
        .await;
    assert_eq!(announced.status, 413);
    assert_eq!(app.get(LIST).await.status, 200);

    let query = |bytes: usize| format!("{RUN}?notes={}", "x".repeat(bytes - "notes=".len()));
    app.post(&query(8 * 1024)).await.refuses(422, "url is required: the target's base URL");
    app.post(&query(8 * 1024 + 1))
        .await
        .refuses(414, "the query must be at most 8192 bytes long, not 8193");
}

#[tokio::test]
async fn list_parameters_have_limits_too() {
    let app = one(Settings::default()).await;
    for (query, said) in [
        ("page=0", "page must be between 1 and 1000000, not 0"),
        ("limit=101", "limit must be between 1 and 100, not 101"),
        ("limit=x", "limit must be a whole number between 1 and 100, not `x`"),
        ("favorite=perhaps", "favorite must be true or false, not `perhaps`"),
        ("favourite=true", "favourite is no known parameter"),
        (
            "sort=-size",
            "sort must be one of createdAt, id, model, status, user, duration, not `size`",
        ),
    ] {
        app.get(&format!("{LIST}?{query}")).await.refuses(422, said);
    }
    let answer = app.get(&format!("{LIST}?status=done")).await;
    assert_eq!(answer.status, 422);
    assert!(answer.detail().starts_with("`done` is no status; known are queued, running"));
}

#[tokio::test]
async fn ids_are_numbers() {
    let app = one(Settings::default()).await;
    let answer = app.get("/api/v1/benchmarks/first").await;
    answer.refuses(400, "id must be a whole number, at most 9223372036854775807");
    for id in ["0", "-1", "4711", "9223372036854775807"] {
        let answer = app.get(&format!("/api/v1/benchmarks/{id}")).await;
        answer.refuses(404, &format!("no benchmark has the id {id}"));
    }
}

/// Addresses that must not be reached from outside, as people spell them.
const FORBIDDEN: &[&str] = &[
    "http://127.0.0.1:8080",
    "http://127.1",
    "http://2130706433",
    "http://0x7f000001",
    "http://0x7f.1",
    "http://0177.0.0.1",
    "http://[::1]",
    "http://[::ffff:127.0.0.1]",
    "http://[::ffff:7f00:1]",
    "http://localhost",
    "http://LOCALHOST.",
    "http://api.localhost",
    "http://10.0.0.1",
    "http://192.168.1.1",
    "http://172.16.0.1",
    "http://169.254.169.254",
    "http://0xa9fea9fe",
    "http://[fd00:ec2::254]",
    "http://metadata.google.internal",
    "http://100.100.100.200",
    "http://0.0.0.0",
    "http://[64:ff9b::7f00:1]",
    "http://[2002:7f00:1::]",
    "http://224.0.0.1",
];

#[tokio::test]
async fn forbidden_targets_are_refused_in_every_spelling_with_one_sentence() {
    let app = one(Settings::default()).await;
    let mut sentences = std::collections::HashSet::new();
    for url in FORBIDDEN {
        for answer in in_every_encoding(&app, &json!({"url": url})).await {
            assert_eq!(answer.status, 422, "{url}: {}", answer.text);
            assert_eq!(answer.json["errors"][0]["pointer"], "/url");
            assert_eq!(answer.json["code"], "target-blocked");
            sentences.insert(answer.detail().to_owned());
        }
        let model = app.get(&format!("/api/v1/model/?url={}", escaped(url))).await;
        assert_eq!(model.status, 422, "{url}");
        let generate = json!({"url": url, "prompt": "hello"});
        assert_eq!(app.post_json("/api/v1/generate/", &generate).await.status, 422, "{url}");
    }
    for url in FORBIDDEN {
        let several =
            json!({"url": "http://93.184.215.14", "urls": format!("http://1.1.1.1,{url}")});
        for answer in in_every_encoding(&app, &several).await {
            assert_eq!(answer.status, 422, "{url}: {}", answer.text);
            assert_eq!(answer.json["errors"][0]["pointer"], "/urls");
            assert_eq!(answer.json["code"], "target-blocked");
            sentences.insert(answer.detail().to_owned());
        }
    }
    assert_eq!(sentences.len(), 1, "{sentences:?}");
    assert_eq!(app.get(&format!("{LIST}?status=all")).await.json["total"], 0);

    // Metadata services and this service itself stay out of reach whatever is allowed.
    let app = one(local()).await;
    for url in [
        "http://169.254.169.254",
        "http://0.0.0.0",
        "http://127.0.0.1:8000",
        "http://localhost:8000",
    ] {
        let answer = app.post(&format!("{RUN}?url={url}")).await;
        assert_eq!(answer.status, 422, "{url}");
    }
    assert_eq!(app.post(&format!("{RUN}?url=http://127.0.0.1:8001")).await.status, 202);
}
