//! Keys of clients: taken once, forgotten after a day, and never a benchmark without its key.

use shared::Benchmark;
use store::{Created, IdempotencyKey, StoreError};

use crate::world::{World, request, worlds};

fn key(word: &str, fingerprint: u8) -> IdempotencyKey {
    let (principal, key) = ("somebody".to_owned(), word.to_owned());
    IdempotencyKey { principal, key, fingerprint: [fingerprint; 32] }
}

/// Submits the same request with the key `k`, and says that it is the one of `fingerprint`.
async fn once(world: &World, fingerprint: u8) -> Result<(Benchmark, Created), StoreError> {
    let asked = request(&[("url", "http://llm.example")]);
    let key = key("k", fingerprint);
    let submission = world.store.submit(asked, "somebody", Some(&key)).await?;
    Ok((submission.benchmark, submission.created))
}

#[tokio::test]
async fn a_key_that_has_run_out_is_new_again() {
    for world in worlds().await {
        let (first, created) = once(&world, 1).await.unwrap();
        assert_eq!(created, Created::Now);
        let (again, created) = once(&world, 1).await.unwrap();
        assert_eq!((again.id, created), (first.id, Created::Before));
        let other = once(&world, 2).await;
        assert!(matches!(other, Err(StoreError::KeyReused(_))), "{other:?}");
        world
            .execute("UPDATE idempotency SET expires_at_ms = expires_at_ms - 86400001")
            .await
            .unwrap();
        let (later, created) = once(&world, 2).await.unwrap();
        assert_eq!(created, Created::Now);
        assert!(later.id > first.id);
        world.execute("UPDATE idempotency SET expires_at_ms = 0").await.unwrap();
        assert!(world.store.sweep().await.unwrap().pruned >= 1);
        assert_eq!(world.count("SELECT count(*) FROM idempotency").await, 0);
    }
}

#[tokio::test]
async fn a_benchmark_that_could_not_be_made_leaves_its_key_free() {
    for world in worlds().await {
        let jobs = world.jobs();
        world.execute(&format!("ALTER TABLE {jobs} RENAME TO hidden")).await.unwrap();
        assert!(once(&world, 1).await.is_err());
        assert_eq!(world.count("SELECT count(*) FROM idempotency").await, 0);
    }
}
