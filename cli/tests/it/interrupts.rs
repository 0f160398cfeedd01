//! Ctrl-C.

use crate::running::{Simulated, Up, llm_bench};

const LONG: [&str; 6] = ["--user", "4", "--duration", "300", "--max-tokens", "16"];

#[tokio::test]
async fn ctrl_c_cancels_the_benchmark_on_the_server_and_prints_what_was_measured() {
    let (simulated, up) = (Simulated::start(&[]).await, Up::start(&[]).await);
    let mut run = llm_bench(["run", "--json", "--server", &up.url, "--url", &simulated.url])
        .args(LONG)
        .spawn();
    run.line("measuring").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    run.interrupt();
    let ended = run.wait().await;
    assert_eq!(ended.code(), Some(130), "{}", ended.stderr);
    let printed: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(printed["status"], "cancelled");
    assert!(printed["report"]["requests"]["started"].as_u64().unwrap() > 0, "{printed}");
}

#[tokio::test]
async fn ctrl_c_ends_a_local_run_with_what_was_measured() {
    let simulated = Simulated::start(&[]).await;
    let mut run = llm_bench(["run", "--local", "--url", &simulated.url]).args(LONG).spawn();
    run.line("measuring").await;
    run.interrupt();
    let ended = run.wait().await;
    assert_eq!(ended.code(), Some(130), "{}", ended.stderr);
    assert!(ended.stdout.contains("local, cancelled"), "{}", ended.stdout);
}

#[tokio::test]
async fn ctrl_c_and_sigterm_end_services_with_code_0() {
    let simulated = Simulated::start(&[]).await;
    simulated.process.interrupt();
    assert_eq!(simulated.process.wait().await.code(), Some(0));
    let up = Up::start(&[]).await;
    up.process.terminate();
    let ended = up.process.wait().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
}
