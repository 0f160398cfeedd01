//! `llm-bench runners` and `llm-bench drain`.

use serde_json::Value;

use crate::running::{Up, llm_bench};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_runner_goes_and_its_api_stays() {
    let mut up = Up::start(&[("RUNNER_LABELS", "zone=eu-1,network=lab")]).await;
    up.process.line("runner is ready").await;
    let listed = llm_bench(["runners", "--json", "--server", &up.url]).run().await;
    let listed: Value = serde_json::from_str(&listed.stdout).expect("stdout is JSON");
    let id = listed["results"][0]["id"].as_str().expect("a runner").to_owned();

    let drained = llm_bench(["drain", &id, "--server", &up.url]).run().await;
    assert_eq!(drained.code(), Some(0), "{}", drained.stderr);
    assert!(drained.stdout.contains("is draining"), "{}", drained.stdout);
    up.process.line("the runner has drained as asked").await;
    up.process.answers(&format!("{}/readyz", up.url)).await;

    let table = llm_bench(["runners", "--server", &up.url]).run().await.stdout;
    for words in [&*id, "gone", "zone=eu-1", "network=lab"] {
        assert!(table.contains(words), "{table}");
    }
    let again = llm_bench(["drain", &id, "--server", &up.url]).run().await;
    assert_eq!(again.code(), Some(2));
    assert!(again.stderr.contains(&format!("runner {id} is gone")), "{}", again.stderr);
    up.process.terminate();
    assert_eq!(up.process.wait().await.code(), Some(0));
}
