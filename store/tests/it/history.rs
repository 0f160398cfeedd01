//! What is over stays in its tables, and costs those that wait nothing.

use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, Statement};
use shared::State;
use tokio::time::sleep;

use crate::world::{World, ending, request, worlds};

/// Benchmarks that have ended, all of one target.
const HISTORY: i64 = 20_000;
/// Benchmarks that wait, each of a target of its own.
const QUEUED: u32 = 320;
const OWNERS: u32 = 8;
/// Rows that a claim and an end may read of all tables.
const MOST_READ: i64 = 1_000;

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
    count(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables"
            .into(),
    )
    .await
}

#[tokio::test]
async fn a_claim_and_an_end_do_not_read_what_is_over() {
    for world in worlds().await {
        // SQLite does not tell.
        if !world.database.is_postgres() {
            continue;
        }
        remember(&world).await;
        for nth in 0..QUEUED {
            let asked = request(&[("url", &format!("http://llm.example:{}", 80 + nth))]);
            world.store.submit(asked, &format!("owner {}", nth % OWNERS), None).await.unwrap();
        }
        let before = rows_read(&world).await;
        let claim = world.claim("r").await.unwrap();
        world.store.load_starts(&claim.held, "tiny").await.unwrap();
        world.store.finish(&claim.held, ending(State::Completed)).await.unwrap();
        let read = rows_read(&world).await - before;
        assert!(read > 0, "nothing is counted");
        assert!(read < MOST_READ, "{read} rows were read, and {HISTORY} benchmarks are over");
    }
}
