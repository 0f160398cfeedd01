//! What is over stays in its tables, and costs those that wait nothing.

use std::time::Duration;

use futures::future::BoxFuture;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, Statement};
use shared::State;
use store::Wanted;
use tokio::time::sleep;

use crate::world::{World, ending, request, worlds};

/// Benchmarks that have ended, all of one target.
const HISTORY: i64 = 20_000;
/// Benchmarks that wait, each of a target of its own.
const QUEUED: u32 = 320;
const OWNERS: u32 = 8;
/// Rows that each of them may read of all tables: some for each that waits, and not for each that is
/// over.
const MOST_READ: i64 = 5_000;

/// Copies a benchmark that waits, and has all of them cancelled.
async fn remember(world: &World) {
    world.submit_to("http://llm.example").await;
    let columns = "priority, run_at_ms, target_key, url, model, tokenizer, dataset, users, spawnrate, \
                   duration_s, spec, created_at_ms, queued_at_ms, owner";
    let make = format!(
        "INSERT INTO benchmark (status, {columns}) SELECT 'queued', {columns} FROM benchmark, \
         generate_series(1, {HISTORY})"
    );
    world.execute(&make).await.unwrap();
    let end = "UPDATE benchmark SET status = 'cancelled', started_at_ms = created_at_ms, \
               load_started_at_ms = created_at_ms, finished_at_ms = created_at_ms - 60000";
    world.execute(end).await.unwrap();
    // At the worst time, when nothing is queued.
    world.execute("VACUUM ANALYZE").await.unwrap();
}

/// Rows read of all tables so far. A session tells what it has read when it ends, so all are ended.
async fn rows_read(world: &World) -> i64 {
    let mut one = ConnectOptions::new(world.database.url());
    one.max_connections(1).sqlx_logging(false);
    let sql = Database::connect(one).await.unwrap();
    let others = "datname = current_database() AND pid <> pg_backend_pid()";
    let count = async |asked: String| {
        let asked = Statement::from_string(sql.get_database_backend(), asked);
        sql.query_one_raw(asked).await.unwrap().unwrap().try_get_by_index::<i64>(0).unwrap()
    };
    count(format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {others}"))
        .await;
    while count(format!("SELECT count(*) FROM pg_stat_activity WHERE {others}")).await > 0 {
        sleep(Duration::from_millis(20)).await;
    }
    let read = "SELECT ((SELECT sum(seq_tup_read) FROM pg_stat_user_tables) + \
                (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes))::bigint";
    count(read.to_owned()).await
}

#[tokio::test]
async fn what_everybody_does_all_the_time_does_not_read_what_is_over() {
    for world in worlds().await {
        // SQLite does not tell.
        if !world.database.is_postgres() {
            continue;
        }
        remember(&world).await;
        let mut ids = Vec::new();
        for nth in 0..QUEUED {
            let asked = request(&[("url", &format!("http://llm.example:{}", 80 + nth))]);
            let submitted =
                world.store.submit(asked, &format!("owner {}", nth % OWNERS), None).await;
            ids.push(submitted.unwrap().benchmark.id);
        }
        let store = &world.store;
        let completed = Wanted { states: vec![State::Completed], ..Wanted::default() };
        let all: [(&str, BoxFuture<'_, ()>); 6] = [
            (
                "a claim and its end",
                Box::pin(async {
                    let held = world.claim("r").await.unwrap().held;
                    store.load_starts(&held, "tiny").await.unwrap();
                    store.finish(&held, ending(State::Completed)).await.unwrap();
                }),
            ),
            ("a sweep", Box::pin(async { drop(store.sweep().await.unwrap()) })),
            ("how full the queue is", Box::pin(async { _ = store.depth().await.unwrap() })),
            (
                "the first page of the list",
                Box::pin(async { drop(store.list(&completed).await.unwrap()) }),
            ),
            ("editions", Box::pin(async { drop(store.editions(&ids[..9]).await.unwrap()) })),
            ("glances", Box::pin(async { drop(store.glances(&ids[..9]).await.unwrap()) })),
        ];
        let mut too_much = Vec::new();
        for (what, asked) in all {
            let before = rows_read(&world).await;
            asked.await;
            let read = rows_read(&world).await - before;
            assert!(read > 0, "{what}: nothing is counted");
            eprintln!("{what}: {read} rows");
            if read > MOST_READ {
                too_much.push(format!("{what} reads {read} rows"));
            }
        }
        assert!(too_much.is_empty(), "{HISTORY} benchmarks are over, and {too_much:?}");
    }
}
