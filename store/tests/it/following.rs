//! What those see who follow benchmarks.

use shared::{BenchmarkId, Phase, Progress, State};

use crate::world::{ending, worlds};

#[tokio::test]
async fn one_look_shows_each_benchmark_that_is_there_as_reading_it_would() {
    for world in worlds().await {
        let held = world.loading().await;
        let queued = world.submit_to("http://other.example").await.id;
        let measuring = Progress { phase: Phase::Measuring, in_flight: 3, ..Progress::default() };
        world.store.progress(&held, &measuring, None).await.unwrap();
        let gone = BenchmarkId(404);
        let look = async || {
            let mut seen = world.store.glances(&[held.id, gone, queued]).await.unwrap();
            seen.sort_by_key(|glance| glance.id);
            for glance in &seen {
                let read = world.get(glance.id).await;
                let events = world.store.events(glance.id, 0).await.unwrap();
                assert_eq!((glance.state, &glance.progress), (read.status, &read.progress));
                assert_eq!(Some(glance.seq), events.last().map(|event| event.seq));
            }
            seen.into_iter().map(|seen| (seen.id, seen.state, seen.seq)).collect::<Vec<_>>()
        };
        assert_eq!(look().await, [(held.id, State::Running, 2), (queued, State::Queued, 1)]);
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        assert_eq!(look().await, [(held.id, State::Completed, 3), (queued, State::Queued, 1)]);
        assert_eq!(world.store.glances(&[]).await.unwrap(), []);
    }
}
