//! What cannot be done: one clear line, exit code 2.

use crate::running::{Up, llm_bench};

#[tokio::test]
async fn bad_input_names_field_and_limit_with_and_without_a_server() {
    let up = Up::start(&[]).await;
    let bad = ["--url", "http://127.0.0.1:9", "--user", "0", "--duration", "abc"];
    let served = llm_bench(["run", "--server", &up.url]).args(bad).run().await;
    let local = llm_bench(["run", "--local"]).args(bad).run().await;
    for ended in [served, local] {
        assert_eq!(ended.code(), Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("user must be between 1 and 640000, not 0"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("duration must be a whole number"), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
    let list = llm_bench(["list", "--server", &up.url]).run().await;
    assert!(!list.stdout.contains("127.0.0.1:9"), "nothing was stored: {}", list.stdout);
}

#[tokio::test]
async fn more_than_one_runner_makes_is_refused_where_there_is_one() {
    let asked = ["run", "--local", "--url", "http://127.0.0.1:9", "--user", "20000"];
    let local = llm_bench(asked).run().await;
    assert_eq!(local.code(), Some(2), "{}", local.stderr);
    let said = "user must be at most 10000 for each runner, not 20000 for 1: --local is one runner";
    assert!(local.stderr.contains(said), "{}", local.stderr);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said() {
    let nobody = format!("http://127.0.0.1:{}", testkit::process::free_port());
    for command in [&["list"][..], &["show", "1"], &["run", "--url", "http://127.0.0.1:9"]] {
        let ended = llm_bench(command).args(["--server", &nobody]).run().await;
        assert_eq!(ended.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("cannot reach {nobody}")), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn an_unknown_benchmark_and_a_wrong_password_are_said() {
    let up =
        Up::start(&[("BASIC_AUTH", "true"), ("API_USERNAME", "me"), ("API_PASSWORD", "right")])
            .await;
    let wrong = llm_bench(["list", "--server", &up.url, "--user-auth", "me:wrong"]).run().await;
    assert_eq!(wrong.code(), Some(2), "{}", wrong.stderr);
    let right =
        llm_bench(["show", "7", "--server", &up.url, "--user-auth", "me:right"]).run().await;
    assert_eq!(right.code(), Some(2));
    assert!(right.stderr.contains("no benchmark has the id 7"), "{}", right.stderr);
    let environment = llm_bench(["list", "--server", &up.url])
        .env("API_USERNAME", "me")
        .env("API_PASSWORD", "right")
        .run()
        .await;
    assert_eq!(environment.code(), Some(0), "{}", environment.stderr);
}

#[tokio::test]
async fn contradicting_faults_are_refused() {
    let ended = llm_bench(["simulate", "--port", "0", "--fault-429", "0.6", "--fault-cut", "0.6"])
        .run()
        .await;
    assert_eq!(ended.code(), Some(2));
    assert!(ended.stderr.contains("must add up to at most 1"), "{}", ended.stderr);
}
