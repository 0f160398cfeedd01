//! One benchmark from the command line, on a server and without one.

use crate::running::{Simulated, Up, completed_json, llm_bench, stats};

const LOAD: [&str; 8] =
    ["--user", "4", "--spawnrate", "4", "--duration", "2", "--max-tokens", "16"];

#[tokio::test]
async fn run_on_a_server_prints_the_resource_as_the_api_gives_it() {
    // Blocking is for the original's clients; this one asks not to be blocked.
    let up = Up::start(&[("COMPAT_BLOCKING_RUN", "true")]).await;
    let simulated = Simulated::start(&[]).await;
    let ended = llm_bench(["run", "--json", "--server", &up.url, "--url", &simulated.url])
        .args(LOAD)
        .run()
        .await;
    assert!(ended.stderr.contains("benchmark 1 is queued"), "{}", ended.stderr);
    assert!(ended.stderr.contains("measuring"), "{}", ended.stderr);
    let printed = completed_json(&ended);
    let shown = llm_bench(["show", "1", "--json", "--server", &up.url]).run().await;
    assert_eq!(ended.stdout, shown.stdout);
    assert_eq!(printed["results"]["status"], "Test completed");

    let table = llm_bench(["show", "1", "--server", &up.url]).run().await;
    assert!(table.stdout.contains("TTFT first token, ms"), "{}", table.stdout);
    let list = llm_bench(["list", "--server", &up.url]).run().await;
    assert!(list.stdout.contains("completed"), "{}", list.stdout);

    let again = llm_bench(["cancel", "1", "--server", &up.url]).run().await;
    assert_eq!(again.code(), Some(2), "what is over cannot be cancelled");
    assert!(again.stderr.contains("completed"), "{}", again.stderr);
}

#[tokio::test]
async fn run_local_prints_the_same_shape_and_its_sums_are_the_servers() {
    let simulated = Simulated::start(&[]).await;
    let ended =
        llm_bench(["run", "--local", "--json", "--url", &simulated.url]).args(LOAD).run().await;
    let printed = completed_json(&ended);
    assert_eq!(printed["id"], 0);
    let requests = &printed["report"]["requests"];
    let completed = requests["completed"].as_u64().unwrap();
    assert!(completed > 4, "{requests}");
    assert_eq!(requests["failed"], 0);
    assert_eq!(printed["report"]["tokens"]["output"], completed * 16);
    assert_eq!(printed["report"]["tokens"]["source"], "usage");
}

#[tokio::test]
async fn several_servers_get_even_shares_and_the_table_shows_each() {
    let up = Up::start(&[]).await;
    let servers = [Simulated::start(&[]).await, Simulated::start(&[]).await];
    let urls = ["--url", &servers[0].url, "--urls", &servers[1].url, "--max-requests", "30"];
    for mode in [&["--local"][..], &["--server", &up.url]] {
        let ended = llm_bench(["run", "--json"]).args(mode).args(urls).args(LOAD).run().await;
        let printed = completed_json(&ended);
        assert_eq!(printed["url"], servers[0].url.as_str());
        assert_eq!(printed["spec"]["urls"], serde_json::json!([servers[1].url]));
        for (figures, server) in
            printed["report"]["targets"].as_array().expect("both").iter().zip(&servers)
        {
            assert_eq!(figures["url"], server.url.as_str());
            assert_eq!((&figures["completed"], &figures["failed"]), (&15.into(), &0.into()));
        }
    }
    let table = llm_bench(["show", "1", "--server", &up.url]).run().await;
    for server in &servers {
        // The line may wrap behind the URL.
        assert!(table.stdout.contains(&format!("{}: 15", server.url)), "{}", table.stdout);
    }
}

#[tokio::test]
async fn faults_land_in_their_classes_as_often_as_the_server_injected_them() {
    let rates = [
        "--fault-429",
        "0.1",
        "--fault-500",
        "0.1",
        "--fault-cut",
        "0.1",
        "--fault-malformed",
        "0.1",
    ];
    // With this seed the first request, which is the probe's, passes.
    let simulated =
        Simulated::start(&[&rates[..], &["--seed", "3", "--itl-ms", "2"]].concat()).await;
    let ended = llm_bench(["run", "--local", "--json", "--url", &simulated.url])
        .args(LOAD)
        .args(["--grace", "30"])
        .run()
        .await;
    let printed = completed_json(&ended);
    let failures = printed["report"]["failures"].as_array().unwrap();
    let count = |class: &str| {
        let failure = failures.iter().find(|failure| failure["class"] == class);
        failure.map_or(0, |failure| failure["count"].as_u64().unwrap())
    };
    let injected = stats(&simulated).await.faults;
    assert!(injected.http_429 + injected.http_500 + injected.cut + injected.malformed > 0);
    assert_eq!(count("http_429"), injected.http_429, "{failures:?}");
    assert_eq!(count("http_5xx"), injected.http_500, "{failures:?}");
    assert_eq!(count("truncated"), injected.cut, "{failures:?}");
    assert_eq!(count("malformed"), injected.malformed, "{failures:?}");
    assert_eq!(failures.len(), 4, "{failures:?}");
}

#[tokio::test]
async fn a_target_that_is_not_there_is_a_failed_run_and_exit_code_1() {
    let nobody = format!("http://127.0.0.1:{}", testkit::process::free_port());
    let local = llm_bench(["run", "--local", "--url", &nobody]).args(LOAD).run().await;
    assert_eq!(local.code(), Some(1), "{}", local.stderr);
    assert!(local.stdout.contains("failed: "), "{}", local.stdout);

    let up = Up::start(&[]).await;
    let served =
        llm_bench(["run", "--json", "--server", &up.url, "--url", &nobody]).args(LOAD).run().await;
    assert_eq!(served.code(), Some(1), "{}", served.stderr);
    let printed: serde_json::Value = serde_json::from_str(&served.stdout).unwrap();
    assert_eq!(printed["reason"]["code"], "target_unreachable");
}

#[tokio::test]
async fn the_targets_key_is_used_and_shown_nowhere() {
    const KEY: &str = "sk-canary-5f1c";
    let simulated = Simulated::start(&["--api-key", KEY]).await;
    let up = Up::start(&[]).await;
    let ended = llm_bench(["run", "--json", "--server", &up.url, "--url", &simulated.url])
        .args(LOAD)
        .env("API_AUTH_TOKEN", KEY)
        .run()
        .await;
    completed_json(&ended);
    let refused = llm_bench(["run", "--json", "--local", "--url", &simulated.url])
        .args(LOAD)
        .args(["--api-key", "sk-wrong-canary"])
        .run()
        .await;
    assert_eq!(refused.code(), Some(1));
    let printed: serde_json::Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!(printed["reason"]["code"], "auth_rejected");
    for said in [&ended.stdout, &ended.stderr, &refused.stdout, &refused.stderr, &up.process.said()]
    {
        assert!(!said.contains("canary"), "{said}");
    }
}
