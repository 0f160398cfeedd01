//! Labels: what a runner takes, and what it leaves to others.

use serde_json::json;
use shared::State;
use testkit::process::Program;

use crate::yard::{Yard, quick, simulate};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_asks_for_labels_goes_to_the_runner_that_has_them_and_waits_for_it() {
    for yard in Yard::each().await {
        let _plain = yard.runner().await;
        let url = simulate(quick()).await;
        let placed = yard.submit(&url, json!({"labels": {"zone": "eu-1"}})).await;
        let any = yard.submit(&simulate(quick()).await, json!({})).await;
        let any = yard.ended(any).await;
        assert_eq!(any.status, State::Completed, "{:?}", any.reason);
        assert_eq!(yard.read(placed).await.status, State::Queued);

        let labels = [("RUNNER_LABELS", "network=lab, zone=eu-1")];
        let _labelled = yard.runner_with(&labels).await;
        let ended = yard.ended(placed).await;
        assert_eq!(ended.status, State::Completed, "{:?}", ended.reason);
        let newest = yard.store.runners().await.expect("a database").swap_remove(0);
        assert_eq!(ended.runner.as_deref(), Some(&*newest.id.0));
        assert_eq!(newest.labels.to_string(), "network=lab,zone=eu-1");
        // A ticket wakes one of the two: the one that must not take it cannot be in the way.
        for _ in 0..3 {
            let url = simulate(quick()).await;
            let placed = yard.submit(&url, json!({"labels": "network=lab"})).await;
            assert_eq!(yard.ended(placed).await.runner.as_deref(), Some(&*newest.id.0));
        }
    }
}

#[tokio::test]
async fn labels_that_cannot_be_read_end_the_program_with_variable_and_rule() {
    let ended = Program::new("runner").env("RUNNER_LABELS", "zone=eu-1,lab").run().await;
    assert_eq!(ended.code(), Some(2), "{}", ended.stderr);
    for words in ["RUNNER_LABELS", "name=value", "`lab` has no `=`"] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}
