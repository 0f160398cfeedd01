//! One at a time of what is asked for so, however many ask at once.

use std::time::Duration;

use sea_orm::{ConnectionTrait, TransactionTrait};
use shared::{Benchmark, State};
use store::{Created, IdempotencyKey, StoreError};

use crate::world::{World, ending, request, servers, worlds};

const ASKED: [(&str, &str); 2] = [("url", "http://llm.example"), ("dedupe", "true")];

async fn submit(
    world: &World,
    owner: &str,
    further: &[(&str, &str)],
) -> Result<(Benchmark, Created), StoreError> {
    let asked = request(&[&ASKED, further].concat());
    let submission = world.store.submit(asked, owner, None).await?;
    Ok((submission.benchmark, submission.created))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_is_made_and_everybody_gets_it() {
    for world in worlds().await {
        let others = [world.another_store().await, world.another_store().await];
        let submissions = (0..12).map(|nth| {
            let store = others[nth % 2].clone();
            tokio::spawn(async move { store.submit(request(&ASKED), "somebody", None).await })
        });
        let mut made = Vec::new();
        let mut ids = Vec::new();
        for submission in futures::future::join_all(submissions).await {
            let submission = submission.unwrap().unwrap();
            ids.push(submission.benchmark.id);
            made.extend((submission.created == Created::Now).then_some(submission.benchmark.id));
        }
        ids.dedup();
        assert_eq!((ids.len(), made), (1, ids.clone()));
        assert_eq!(world.count("SELECT count(*) FROM benchmark").await, 1);
    }
}

#[tokio::test]
async fn one_that_waits_or_runs_is_the_answer_and_one_that_ends_is_not() {
    for world in worlds().await {
        let (queued, created) = submit(&world, "somebody", &[]).await.unwrap();
        assert_eq!(created, Created::Now);
        let held = world.claim("runner-a").await.unwrap().held;
        assert_eq!(held.id, queued.id);
        let (running, created) = submit(&world, "somebody", &[]).await.unwrap();
        let told = (running.id, running.status, created);
        assert_eq!(told, (queued.id, State::Running, Created::Before));

        world.store.load_starts(&held, "tiny").await.unwrap();
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        let (next, created) = submit(&world, "somebody", &[]).await.unwrap();
        assert!(next.id > queued.id && created == Created::Now);

        // One that was asked to stop has no figures to give: who asks again wants another.
        let held = world.claim("runner-a").await.unwrap().held;
        assert_eq!(world.store.cancel(held.id).await.unwrap().status, State::Cancelling);
        let (after, created) = submit(&world, "somebody", &[]).await.unwrap();
        assert!(after.id > next.id && created == Created::Now);
    }
}

#[tokio::test]
async fn only_the_same_of_the_same_owner_is() {
    for world in worlds().await {
        let (first, _) = submit(&world, "somebody", &[]).await.unwrap();
        // Said otherwise, or of no matter to what is measured.
        for same in [
            [("user", "100")],
            [("url", "http://LLM.example:80/")],
            [("priority", "3")],
            [("run_at", "0")],
            [("notes", "again")],
        ] {
            let (again, created) = submit(&world, "somebody", &same).await.unwrap();
            assert_eq!((again.id, created), (first.id, Created::Before), "{same:?}");
        }
        for other in [[("user", "99")], [("seed", "7")], [("labels", "zone=a")]] {
            let (another, created) = submit(&world, "somebody", &other).await.unwrap();
            assert_eq!(created, Created::Now, "{other:?}");
            let (again, created) = submit(&world, "somebody", &other).await.unwrap();
            assert_eq!((again.id, created), (another.id, Created::Before), "{other:?}");
        }
        assert_eq!(submit(&world, "else", &[]).await.unwrap().1, Created::Now);
        // Who does not ask for it gets another in any case.
        let (plain, created) = submit(&world, "somebody", &[("dedupe", "false")]).await.unwrap();
        assert!(plain.id > first.id && created == Created::Now);
    }
}

#[tokio::test]
async fn a_key_is_kept_for_the_one_that_was_there() {
    for world in worlds().await {
        let (first, _) = submit(&world, "somebody", &[]).await.unwrap();
        let key = |fingerprint| IdempotencyKey {
            principal: "somebody".into(),
            key: "k".into(),
            fingerprint: [fingerprint; 32],
        };
        let with_key = async |fingerprint| {
            world.store.submit(request(&ASKED), "somebody", Some(&key(fingerprint))).await
        };
        assert_eq!(with_key(1).await.unwrap().benchmark.id, first.id);
        world.store.cancel(first.id).await.unwrap();
        let again = with_key(1).await.unwrap();
        assert_eq!((again.benchmark.id, again.benchmark.status), (first.id, State::Cancelled));
        let other = with_key(2).await;
        assert!(matches!(other, Err(StoreError::KeyReused(_))), "{other:?}");
    }
}

#[tokio::test]
async fn one_that_is_deleted_meanwhile_is_not_the_answer() {
    // SQLite has one writer at a time.
    for world in servers().await {
        let (first, _) = submit(&world, "somebody", &[]).await.unwrap();
        let deleting = world.sql.begin().await.unwrap();
        deleting.execute_unprepared("DELETE FROM benchmark").await.unwrap();
        let store = world.store.clone();
        let asking =
            tokio::spawn(async move { store.submit(request(&ASKED), "somebody", None).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        deleting.commit().await.unwrap();
        let answer = asking.await.unwrap().unwrap();
        assert_eq!(answer.created, Created::Now);
        assert!(answer.benchmark.id > first.id);
    }
}

#[tokio::test]
async fn the_database_itself_refuses_a_second_one() {
    for world in worlds().await {
        submit(&world, "somebody", &[]).await.unwrap();
        submit(&world, "somebody", &[("dedupe", "false")]).await.unwrap();
        let forged = world.execute("UPDATE benchmark SET dedupe = 'x'").await.unwrap_err();
        assert!(forged.to_string().contains("cannot change"), "{forged}");
        let copied = "INSERT INTO benchmark (status, run_at_ms, target_key, url, model, tokenizer, \
                      dataset, users, spawnrate, duration_s, spec, created_at_ms, queued_at_ms, \
                      owner, dedupe) SELECT 'queued', 1, 'k', 'u', '', '', '', 1, 1, 1, spec, 1, \
                      1, owner, dedupe FROM benchmark WHERE dedupe IS NOT NULL";
        let refused = world.execute(copied).await.unwrap_err().to_string().to_lowercase();
        assert!(refused.contains("unique"), "{refused}");
    }
}
