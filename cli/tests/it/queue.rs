//! `llm-bench queue`: how it stands, pausing and resuming it.

use serde_json::Value;
use testkit::process::Ended;

use crate::running::{Simulated, Up, llm_bench};

async fn queue(up: &Up, words: &[&str]) -> Ended {
    llm_bench([&["queue"], words, &["--server", &up.url]].concat()).run().await
}

async fn submit(up: &Up, words: &[&str]) {
    let load = ["--user", "1", "--duration", "1", "--max-tokens", "4", "--server", &up.url];
    let mut run = llm_bench([&["run"], words, &load[..]].concat()).spawn();
    run.line("is queued").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_shown_paused_and_resumed() {
    let up = Up::start(&[]).await;
    let simulated = Simulated::start(&[]).await;
    let empty = queue(&up, &[]).await;
    assert_eq!(empty.code(), Some(0), "{}", empty.stderr);
    assert!(empty.stdout.contains("open") && !empty.stdout.contains("target"), "{}", empty.stdout);

    let paused = queue(&up, &["pause"]).await;
    assert!(paused.stdout.contains("paused: nothing is begun"), "{}", paused.stdout);
    submit(&up, &["--url", &simulated.url]).await;
    submit(&up, &["--url", "http://127.0.0.1:9", "--labels", "zone=mars"]).await;
    let state: Value = serde_json::from_str(&queue(&up, &["--json"]).await.stdout).unwrap();
    assert_eq!((&state["paused"], &state["due"]), (&true.into(), &2.into()));
    let shown = queue(&up, &[]).await.stdout;
    for words in
        ["2: 2 due, the oldest for", "1 for zone=mars, which no runner has", "http://127.0.0.1:9"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }

    let target = queue(&up, &["pause", "--target", "http://127.0.0.1:9", "--json"]).await;
    let state: Value = serde_json::from_str(&target.stdout).unwrap();
    let mars = state["targets"].as_array().unwrap().iter().find(|of| of["paused"] == true);
    assert!(mars.unwrap()["target"].as_str().unwrap().contains(":9"), "{state}");
    let both = queue(&up, &["pause", "--target", "http://127.0.0.1:9", "--abort"]).await;
    assert_eq!(both.code(), Some(2), "an abort is of the whole queue");
    let refused = queue(&up, &["resume", "--target", "mars"]).await;
    assert_eq!(refused.code(), Some(2), "{}", refused.stdout);
    assert!(refused.stderr.contains("target"), "{}", refused.stderr);

    let resumed = queue(&up, &["resume"]).await;
    assert!(resumed.stdout.contains("open"), "{}", resumed.stdout);
    let done = llm_bench(["run", "--url", &simulated.url, "--user", "1", "--duration", "1"])
        .args(["--server", &up.url])
        .run()
        .await;
    assert_eq!(done.code(), Some(0), "{}{}", done.stdout, done.stderr);

    let aborted = queue(&up, &["pause", "--abort"]).await;
    assert!(aborted.stderr.contains("1 cancelled, 0 asked to stop"), "{}", aborted.stderr);
    assert!(aborted.stdout.contains("paused"), "{}", aborted.stdout);
}
