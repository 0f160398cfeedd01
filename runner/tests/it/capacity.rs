//! What a runner says that it bears.

use crate::yard::Yard;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_measures_before_it_is_ready_and_publishes_what_it_found() {
    for yard in Yard::each().await {
        let measuring = [("SELF_TEST", "true"), ("LOAD_THREADS", "1")];
        let runner = yard.runner_with(&measuring).await;
        assert!(runner.said().contains("self-test: an event takes"), "{}", runner.said());
        let found = yard.store.runners().await.expect("a database").swap_remove(0);
        let measured = found.measured.expect("a measure");
        assert!(measured.cpu_us_per_event > 0.0 && measured.events_per_s > 100, "{measured:?}");
        assert!(found.max_users <= measured.streams && found.max_users <= 10_000, "{found:?}");
        let said = format!("takes up to {} users in one run", found.max_users);
        assert!(runner.said().contains(&said), "{}", runner.said());

        let by_hand = [("SELF_TEST", "true"), ("RUNNER_MAX_USERS", "7")];
        let _by_hand = yard.runner_with(&by_hand).await;
        let found = yard.store.runners().await.expect("a database").swap_remove(0);
        assert!(found.max_users == 7 && found.measured.is_some(), "{found:?}");

        let _unmeasured = yard.runner().await;
        let found = yard.store.runners().await.expect("a database").swap_remove(0);
        assert!(found.max_users > 100 && found.measured.is_none(), "{found:?}");
    }
}
