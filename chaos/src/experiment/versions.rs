//! A later version beside this one. There is only this one yet, so what stands for the other is
//! what it would do first: migrate.

use serde_json::json;
use shared::State;

use super::Cycle;
use crate::checker::{Leeway, ask};

/// What everybody reads and writes all along.
const TABLES: [&str; 6] = [
    "benchmark",
    "benchmark_event",
    "benchmark_partial",
    "benchmark_secret",
    "benchmark_target",
    "runner",
];
/// The later version's migration.
const LATER: &str = "m29991231_000001_later";

/// E22: while benchmarks run, every table gets a column more, as a later version would have it.
/// Processes of this version go on, others of it start, and it all happens once more backwards.
pub(super) async fn migrate(cycle: &mut Cycle<'_>) -> anyhow::Result<()> {
    let mut ids = cycle.submit(4, &json!({"duration": 2})).await?;
    let wait = cycle.ms(0, 2_000);
    tokio::time::sleep(wait).await;
    for table in TABLES {
        change(cycle, &format!("ALTER TABLE {table} ADD COLUMN later text DEFAULT 'x'")).await?;
    }
    let applied =
        format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{LATER}', 1)");
    change(cycle, &applied).await?;
    let (runner, api) = (cycle.below(3), cycle.below(2));
    cycle.yard.runners[runner].process.terminate();
    _ = cycle.yard.runners[runner].process.ended().await;
    cycle.yard.replace_runner(runner).await;
    cycle.yard.replace_api(api).await;
    ids.extend(cycle.submit(4, &json!({"duration": 2})).await?);
    let wait = cycle.ms(0, 2_000);
    tokio::time::sleep(wait).await;
    change(cycle, &format!("DELETE FROM seaql_migrations WHERE version = '{LATER}'")).await?;
    for table in TABLES {
        change(cycle, &format!("ALTER TABLE {table} DROP COLUMN later")).await?;
    }
    ids.extend(cycle.submit(2, &json!({"duration": 1})).await?);
    let found = cycle.settle(&ids, Leeway::default()).await?;
    for record in &found.records {
        // That runner was told to stop, and says so; nothing else may come of it.
        let stopped = record.reason.as_deref() == Some("runner_shutdown");
        if record.status != State::Completed && !stopped {
            let told = format!("benchmark {} is {}", record.id, record.status);
            cycle.tally.violation(&told);
        }
    }
    Ok(())
}

async fn change(cycle: &Cycle<'_>, sql: &str) -> anyhow::Result<()> {
    ask(cycle.yard, sql).await.map(drop)
}
