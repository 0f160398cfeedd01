//! Labels: which runner may take which benchmark.

use std::time::Instant;

use shared::{BenchmarkId, Labels, RunnerId, RunnerState, State, Unplaced};
use store::Registration;
use tokio::time::{Duration, sleep};

use crate::world::{World, registration, request, worlds};

fn labels(list: &str) -> Labels {
    list.parse().unwrap()
}

impl World {
    async fn register(&self, runner: &str, known_by: &str) {
        let registration = Registration { labels: labels(known_by), ..registration(runner) };
        self.store.register(&registration).await.unwrap();
    }

    async fn submit_for(&self, url: &str, asked: &str) -> BenchmarkId {
        self.store.create(request(&[("url", url), ("labels", asked)])).await.unwrap().id
    }

    /// The same, for a second.
    async fn submit_shortly_for(&self, url: &str, asked: &str) -> BenchmarkId {
        let asked = [("url", url), ("labels", asked), ("queue_timeout", "1")];
        self.store.create(request(&asked)).await.unwrap().id
    }

    async fn claims(&self, runner: &str) -> Option<BenchmarkId> {
        self.claim(runner).await.map(|claim| claim.held.id)
    }
}

#[tokio::test]
async fn only_a_runner_with_all_labels_takes_it_and_any_takes_what_asks_for_none() {
    for world in worlds().await {
        world.register("plain", "").await;
        world.register("lab", "network=lab").await;
        world.register("both", "network=lab,zone=eu-1").await;
        let both = world.submit_for("http://a.example", "zone=eu-1, network=lab").await;
        let other = world.submit_for("http://b.example", "network=office").await;
        let lab = world.submit_for("http://c.example", "network=lab").await;
        let any = world.submit_to("http://d.example").await.id;
        assert_eq!(world.get(both).await.labels, labels("network=lab,zone=eu-1"));
        assert_eq!(world.claims("lab").await, Some(lab), "the first that it may take");
        assert_eq!(world.claims("plain").await, Some(any));
        for runner in ["plain", "lab", "never registered"] {
            assert_eq!(world.claims(runner).await, None, "{runner}");
        }
        assert_eq!(world.claims("both").await, Some(both));
        assert_eq!(world.claims("both").await, None);
        assert_eq!(world.status(other).await, State::Queued);
    }
}

#[tokio::test]
async fn one_that_nobody_takes_holds_up_nobody_is_told_apart_and_ends_in_time() {
    for world in worlds().await {
        world.register("lab", "network=lab").await;
        world.submit_for("http://b.example", "network=lab").await;
        let nobodys = world.submit_shortly_for("http://a.example", "gpu=").await;
        let too = world.submit_shortly_for("http://a.example", "gpu=").await;
        let same_target = world.submit_to("http://a.example").await.id;
        let unplaced = [Unplaced { labels: labels("gpu="), queued: 2 }];
        assert_eq!(world.store.queue_state().await.unwrap().unplaced, unplaced);
        assert_eq!(world.claims("runner-a").await, Some(same_target));
        // A runner that takes nothing more is none.
        let lab = RunnerId("lab".into());
        world.store.beat(&lab, RunnerState::Draining).await.unwrap();
        assert_eq!(world.store.queue_state().await.unwrap().unplaced.len(), 2);
        world.store.beat(&lab, RunnerState::Active).await.unwrap();

        let begun = Instant::now();
        while world.status(too).await == State::Queued && begun.elapsed() < Duration::from_secs(30)
        {
            world.store.sweep().await.unwrap();
            sleep(Duration::from_millis(100)).await;
        }
        for id in [nobodys, too] {
            assert_eq!(world.status(id).await, State::TimedOut);
        }
        assert_eq!(world.store.queue_state().await.unwrap().unplaced, []);
    }
}
