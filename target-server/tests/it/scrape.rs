//! A target's own figures: found where there are any, asked with the load's key, and never a burden.

use std::time::{Duration, Instant};

use serde_json::json;
use target::{
    Control,
    scrape::{Scrape, Server},
};
use testkit::{Script, ScriptedServer};

use crate::{control_of, spec_of};

const ROUTE: &str = "GET /metrics";

fn page(text: &str) -> Script {
    Script::answer(200, "text/plain; version=0.0.4", text)
}

fn control(server: &ScriptedServer) -> Control {
    control_of(&spec_of(&server.url(), &json!({})), Some(&"sk-canary".into()))
}

#[tokio::test]
async fn a_known_server_is_found_and_read_with_the_key() {
    let first = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n";
    let then =
        "vllm:num_requests_running 3\nvllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 0.5\n";
    let server = ScriptedServer::scripted().once(ROUTE, page(first)).on(ROUTE, page(then)).start();
    let scrape = Scrape::find(&control(&server)).await.expect("vLLM's names");
    assert_eq!(scrape.server(), Server::Vllm);
    let gauges = scrape.read().await.expect("a reading");
    assert_eq!((gauges.running, gauges.queue, gauges.kv_cache), (Some(3.0), Some(1.0), Some(0.5)));
    let keys: Vec<_> =
        server.requests().iter().map(|r| r.header("authorization").map(str::to_owned)).collect();
    assert_eq!(keys, vec![Some("Bearer sk-canary".to_owned()); 2]);
}

#[tokio::test]
async fn metrics_lie_beside_v1() {
    let server =
        ScriptedServer::scripted().on("GET /llm/metrics", page("tgi_queue_size 7\n")).start();
    let spec = spec_of(&format!("{}/llm/v1", server.url()), &json!({}));
    let scrape = Scrape::find(&control_of(&spec, None)).await.expect("TGI's names");
    assert_eq!((scrape.server(), scrape.read().await.unwrap().queue), (Server::Tgi, Some(7.0)));
}

#[tokio::test]
async fn what_has_no_known_metrics_is_left_alone() {
    for script in [
        Script::answer(404, "text/plain", "no"),
        page("process_cpu_seconds_total 12\n"),
        Script::answer(200, "text/html", "<html>vllm</html>"),
        Script::new().head(302, &[("location", "http://127.0.0.1:1/"), ("content-length", "0")]),
        page(&format!("vllm:num_requests_running 1\n{}", "x".repeat(2 * 1024 * 1024))),
        Script::new().close(),
    ] {
        let server = ScriptedServer::scripted().on(ROUTE, script).start();
        assert!(Scrape::find(&control(&server)).await.is_none());
        assert_eq!(server.requests().len(), 1, "it is asked once");
    }
}

#[tokio::test]
async fn a_target_that_says_nothing_holds_up_no_run() {
    let server = ScriptedServer::scripted().on(ROUTE, Script::new().stall()).start();
    let began = Instant::now();
    assert!(Scrape::find(&control(&server)).await.is_none());
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_reading_that_fails_is_none_and_the_next_one_counts_again() {
    let good = page("llamacpp:requests_processing 2\nllamacpp:requests_deferred 5\n");
    let server = ScriptedServer::scripted()
        .once(ROUTE, good.clone())
        .once(ROUTE, Script::answer(503, "text/plain", "busy"))
        .once(ROUTE, page("vllm:num_requests_running 9\n"))
        .on(ROUTE, good)
        .start();
    let scrape = Scrape::find(&control(&server)).await.expect("llama.cpp's names");
    assert!(scrape.read().await.is_none());
    assert!(scrape.read().await.is_none(), "another server's words");
    assert_eq!(scrape.read().await.unwrap().queue, Some(5.0));
}
