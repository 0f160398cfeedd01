//! Targets that cannot be measured, and keys.

use serde_json::json;
use shared::{Benchmark, ReasonCode, State};
use simulator::Settings;
use testkit::{Chat, Script, ScriptedServer};

use crate::yard::{Yard, quick, simulate};

fn assert_failed(benchmark: &Benchmark, code: ReasonCode, words: &str) {
    assert_eq!(benchmark.status, State::Failed);
    let reason = benchmark.reason.as_ref().expect("a reason");
    assert_eq!(reason.code, code, "{reason:?}");
    assert!(reason.detail.contains(words), "`{}` does not say `{words}`", reason.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_target_ends_its_run_with_the_reason() {
    const CHAT: &str = "POST /v1/chat/completions";
    for yard in Yard::each().await {
        let _runner = yard.runner().await;
        let refusing = yard.submit(&ScriptedServer::refusing_url(), json!({})).await;
        assert_failed(&yard.ended(refusing).await, ReasonCode::TargetUnreachable, "");

        let locked = simulate(Settings { api_key: Some("other".to_owned()), ..quick() }).await;
        let locked = yard.submit(&locked, json!({"api_key": "sk-wrong"})).await;
        assert_failed(&yard.ended(locked).await, ReasonCode::AuthRejected, "401");

        let without = yard.submit(&simulate(quick()).await, json!({"model": "absent"})).await;
        assert_failed(&yard.ended(without).await, ReasonCode::ModelMissing, "absent");

        let good = Chat::of(&["a"]).usage(3, 1);
        let breaking = ScriptedServer::scripted()
            .on("GET /v1/models", good.models())
            .once(CHAT, good.script())
            .on(CHAT, Script::answer(503, "text/plain", "overloaded, come back later"))
            .start();
        let breaking = yard.submit(&breaking.url(), json!({})).await;
        let breaking = yard.ended(breaking).await;
        assert_failed(&breaking, ReasonCode::AllRequestsFailed, "overloaded, come back later");
        assert!(breaking.report.expect("a report").requests.failed > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_must_not_be_reached_gets_no_connection() {
    for yard in Yard::each().await {
        let _runner = yard.runner_with(&[("EGRESS_ALLOW", "public")]).await;
        let server = ScriptedServer::chat(&Chat::of(&["a"]));
        let blocked = yard.submit(&server.url(), json!({})).await;
        assert_failed(&yard.ended(blocked).await, ReasonCode::PolicyBlocked, "EGRESS_ALLOW");
        assert_eq!(server.connections(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_key_reaches_the_target_and_nobody_else() {
    const KEY: &str = "sk-canary-5f2d";
    for yard in Yard::each().await {
        let url = simulate(Settings { api_key: Some(KEY.to_owned()), ..quick() }).await;
        let stranger = store::Vault::generate_base64();
        let other = yard.runner_with(&[("MASTER_KEY", &stranger)]).await;
        let unreadable = yard.submit(&url, json!({"api_key": KEY})).await;
        assert_failed(&yard.ended(unreadable).await, ReasonCode::SealedKey, "");
        other.terminate();
        other.wait().await;

        let runner = yard.runner_with(&[("RUST_LOG", "trace")]).await;
        let ended = yard.submit(&url, json!({"api_key": KEY})).await;
        let ended = yard.ended(ended).await;
        assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
        assert!(!serde_json::to_string(&ended).unwrap().contains("canary"));
        assert!(!runner.said().contains("canary"), "the key is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_names_of_one_server_have_two_runs_and_each_is_told_of_the_other() {
    for yard in Yard::each().await {
        let (_one, _other) = (yard.runner().await, yard.runner().await);
        let url = simulate(quick()).await;
        let name = url.replace("127.0.0.1", "localhost");
        let long = || json!({"duration": 60});
        let ids = [yard.submit(&url, long()).await, yard.submit(&name, long()).await];
        for id in ids {
            yard.until(id, |benchmark| benchmark.progress.requests > 0).await;
        }
        for (id, other) in [(ids[0], ids[1]), (ids[1], ids[0])] {
            yard.store.cancel(id).await.unwrap();
            let report = yard.ended(id).await.report.expect("a report");
            let address = url.trim_start_matches("http://");
            let told = format!("benchmark {other} had load at {address} meanwhile");
            let reasons = &report.validity.reasons;
            assert!(reasons.iter().any(|reason| reason.starts_with(&told)), "{reasons:?}");
        }
    }
}
