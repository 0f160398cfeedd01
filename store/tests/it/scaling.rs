//! How many runners the manifest for a cluster asks for, by its own query. A file has one machine.

use crate::world::{World, request, servers};

/// The query, folded as the scaler reads it.
fn query() -> String {
    let manifest = include_str!("../../../deploy/kubernetes.yaml");
    let (_, query) = manifest.split_once("query: >-\n").unwrap();
    query.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

async fn submit(world: &World, url: &str, further: &[(&str, &str)]) {
    world.store.create(request(&[&[("url", url)], further].concat())).await.unwrap();
}

#[tokio::test]
async fn there_is_a_runner_for_what_runs_and_for_what_could() {
    for world in servers().await {
        let asked = async || world.count(&query()).await;
        assert_eq!(asked().await, 0);
        submit(&world, "http://a.example", &[]).await;
        submit(&world, "http://a.example", &[]).await;
        submit(&world, "http://b.example", &[]).await;
        let tomorrow = world.count("SELECT extract(epoch FROM now())::bigint + 86400").await;
        submit(&world, "http://c.example", &[("run_at", &tomorrow.to_string())]).await;
        assert_eq!(asked().await, 2, "one of a target at a time, and none before it is due");
        let held = world.claim("runner-a").await.unwrap().held;
        assert_eq!(asked().await, 2, "who runs is counted, and who waits for its target is not");
        world.store.cancel(held.id).await.unwrap();
        assert_eq!(asked().await, 2, "one that is to stop has its runner until it has");
    }
}

#[tokio::test]
async fn a_load_of_several_runners_has_as_many() {
    for world in servers().await {
        let asked = async || world.count(&query()).await;
        submit(&world, "http://a.example", &[]).await;
        submit(&world, "http://a.example", &[("runners", "3")]).await;
        assert_eq!(asked().await, 3, "those of the largest");
        submit(&world, "http://b.example", &[("user", "25000")]).await;
        assert_eq!(asked().await, 6, "as many as its users take");
        world.store.abort(false).await.unwrap();
        world.gathered().await;
        assert_eq!(asked().await, 3, "all that drive it");
    }
}
