//! The binary: how it starts, what it refuses to start with, how it stops.

use testkit::process::Program;

fn api() -> Program {
    Program::new("api").env("HOST", "127.0.0.1").env("PORT", "0")
}

#[tokio::test]
async fn it_serves_from_an_empty_directory_and_stops_when_told() {
    // As in the original's .env: variables without a value.
    let program = api().env("LOCUST_USERS", "").env("DATABASE_URL", "").env("BASIC_AUTH", "");
    let mut process = program.spawn();
    let url = process.url("listening on").await;
    let url = url.trim_end_matches('/').to_owned();
    process.answers(&format!("{url}/readyz")).await;
    assert!(process.dir().join("data/benchmarks.db").exists());
    process.terminate();
    let ended = process.wait().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped"));
}

#[tokio::test]
async fn settings_that_make_no_sense_stop_the_start_with_their_name() {
    for (name, value, said) in [
        ("LOCUST_USERS", "0", "LOCUST_USERS must be between 1 and 640000, not 0"),
        ("LOCUST_DURATION", "1h", "LOCUST_DURATION must be a whole number between 1 and 3600"),
        ("BASIC_AUTH", "True", "BASIC_AUTH needs API_USERNAME and API_PASSWORD"),
        ("API_AUTH_TOKEN", "sk-canary", "API_AUTH_TOKEN is set, and without MASTER_KEY"),
        ("MASTER_KEY", "short", "MASTER_KEY must be 32 bytes in base64"),
        ("EGRESS_ALLOW", "10.0.0.0/99", "EGRESS_ALLOW"),
        ("DATABASE_URL", "mysql://x", "mysql"),
    ] {
        let ended = api().env(name, value).run().await;
        assert_ne!(ended.code(), Some(0), "{name}");
        assert!(ended.stderr.contains(said), "{name}: {}", ended.stderr);
        assert!(!ended.stderr.contains("sk-canary"), "{name}");
    }
}
