//! Tables, their checks and indexes.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, big_pk_auto, binary, boolean, integer, json_binary,
    json_binary_null, text, text_null,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const ACTIVE: &str = "status IN ('running', 'cancelling')";
const OVER: &str = "status IN ('completed', 'failed', 'cancelled', 'timed_out', 'lost')";
const KNOWN: &str = "status IN ('queued', 'running', 'cancelling', 'completed', 'failed', \
                     'cancelled', 'timed_out', 'lost')";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            benchmark(),
            benchmark_secret(),
            benchmark_event(),
            benchmark_partial(),
            benchmark_series(),
            runner(),
        ] {
            manager.create_table(table).await?;
        }
        for index in [
            // The queue, in the order it is worked off.
            "CREATE INDEX benchmark_queue ON benchmark (priority DESC, id) WHERE status = 'queued'"
                .to_owned(),
            // What to do next on a target that has become free.
            "CREATE INDEX benchmark_queue_of_target ON benchmark (target_key, priority DESC, id) \
             WHERE status = 'queued'"
                .to_owned(),
            format!("CREATE INDEX benchmark_lease ON benchmark (lease_until_ms) WHERE {ACTIVE}"),
            // One active run a target, whatever the code above believes.
            format!(
                "CREATE UNIQUE INDEX benchmark_active_target ON benchmark (target_key) \
                 WHERE {ACTIVE} AND \"exclusive\""
            ),
            "CREATE INDEX benchmark_created ON benchmark (created_at_ms, id)".to_owned(),
            "CREATE INDEX benchmark_runner ON benchmark (runner_id)".to_owned(),
        ] {
            manager.get_connection().execute_unprepared(&index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "runner",
            "benchmark_series",
            "benchmark_partial",
            "benchmark_event",
            "benchmark_secret",
            "benchmark",
        ] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn benchmark() -> TableCreateStatement {
    let check = |sql: String| Expr::cust(sql);
    Table::create()
        .table("benchmark")
        .col(big_pk_auto("id"))
        .col(text("status"))
        .col(text_null("reason_code"))
        .col(text_null("reason_detail"))
        .col(big_integer("version").default(1))
        .col(integer("priority").default(0))
        .col(big_integer("run_at_ms"))
        .col(big_integer_null("queued_deadline_ms"))
        .col(text("target_key"))
        .col(boolean("exclusive").default(true))
        .col(text("url"))
        .col(text("model"))
        .col(text("tokenizer"))
        .col(text("dataset"))
        .col(integer("users"))
        .col(integer("spawnrate"))
        .col(integer("duration_s"))
        .col(json_binary("spec"))
        .col(text("notes").default(""))
        .col(boolean("favorite").default(false))
        .col(big_integer("fence").default(0))
        .col(integer("claims").default(0))
        .col(text_null("runner_id"))
        .col(big_integer_null("lease_until_ms"))
        .col(big_integer_null("load_started_at_ms"))
        .col(big_integer_null("cancel_requested_at_ms"))
        .col(big_integer("created_at_ms"))
        .col(big_integer("queued_at_ms"))
        .col(big_integer_null("started_at_ms"))
        .col(big_integer_null("finished_at_ms"))
        .col(json_binary_null("progress"))
        .col(json_binary_null("report"))
        .check(check(KNOWN.to_owned()))
        .check(check(format!("({ACTIVE}) = (lease_until_ms IS NOT NULL)")))
        .check(check(format!("({OVER}) = (finished_at_ms IS NOT NULL)")))
        .check(check("status <> 'completed' OR report IS NOT NULL".to_owned()))
        .check(check("claims >= 0 AND fence >= claims".to_owned()))
        .check(check("priority BETWEEN -10 AND 10".to_owned()))
        .to_owned()
}

/// A table whose rows belong to a benchmark and go with it.
fn of_benchmark(table: &'static str) -> TableCreateStatement {
    Table::create()
        .table(table)
        .col(big_integer("benchmark_id"))
        .foreign_key(
            ForeignKey::create()
                .from(table, "benchmark_id")
                .to("benchmark", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

fn benchmark_secret() -> TableCreateStatement {
    of_benchmark("benchmark_secret")
        .col(text("kid"))
        .col(binary("nonce"))
        .col(binary("sealed"))
        .col(big_integer("expires_at_ms"))
        .primary_key(Index::create().col("benchmark_id"))
        .to_owned()
}

fn benchmark_event() -> TableCreateStatement {
    of_benchmark("benchmark_event")
        .col(big_integer("seq"))
        .col(big_integer("at_ms"))
        .col(text_null("from_status"))
        .col(text("to_status"))
        .col(big_integer("fence"))
        .col(text("actor"))
        .col(text_null("reason_code"))
        .col(text_null("reason_detail"))
        .primary_key(Index::create().col("benchmark_id").col("seq"))
        .to_owned()
}

fn benchmark_partial() -> TableCreateStatement {
    of_benchmark("benchmark_partial")
        .col(integer("shard"))
        .col(big_integer("fence"))
        .col(big_integer("seq"))
        .col(big_integer("at_ms"))
        .col(json_binary("report"))
        .col(json_binary("series"))
        .primary_key(Index::create().col("benchmark_id").col("shard"))
        .to_owned()
}

fn benchmark_series() -> TableCreateStatement {
    of_benchmark("benchmark_series")
        .col(json_binary("rows"))
        .primary_key(Index::create().col("benchmark_id"))
        .to_owned()
}

fn runner() -> TableCreateStatement {
    Table::create()
        .table("runner")
        .col(text("id").primary_key())
        .col(text("name"))
        .col(text("version"))
        .col(text("state"))
        .col(integer("max_users"))
        .col(big_integer("booted_at_ms"))
        .col(big_integer("last_seen_ms"))
        .check(Expr::cust("state IN ('active', 'draining', 'gone')"))
        .to_owned()
}
