//! A load that several runners make together, each a shard of it.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, binary_null, boolean, integer, json_binary_null, text, text_null,
};
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLE: &str = "benchmark_shard";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let runners = "ALTER TABLE benchmark ADD COLUMN runners integer NOT NULL DEFAULT 0";
        connection.execute_unprepared(runners).await?;
        let shard = Table::create()
            .table(TABLE)
            .col(big_integer("benchmark_id"))
            .col(integer("shard"))
            .col(big_integer("fence"))
            .col(text("status"))
            .col(integer("users"))
            .col(text_null("runner_id"))
            .col(big_integer_null("lease_until_ms"))
            .col(big_integer_null("start_at_us"))
            .col(boolean("stop").default(false))
            .col(json_binary_null("environment"))
            .col(json_binary_null("reason"))
            .col(json_binary_null("progress"))
            .col(big_integer("figures_seq").default(0))
            .col(binary_null("figures"))
            .primary_key(Index::create().col("benchmark_id").col("shard"))
            .foreign_key(
                ForeignKey::create()
                    .from(TABLE, "benchmark_id")
                    .to("benchmark", "id")
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .check(Expr::cust("status IN ('waiting', 'preparing', 'ready', 'ended', 'failed')"))
            .check(Expr::cust("(runner_id IS NULL) = (status = 'waiting')"))
            .to_owned();
        manager.create_table(shard).await?;
        let of_runner = "CREATE INDEX benchmark_shard_runner ON benchmark_shard (runner_id)";
        connection.execute_unprepared(of_runner).await?;
        for statement in stays(manager.get_database_backend()) {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await?;
        let connection = manager.get_connection();
        let moves: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &[
                "DROP TRIGGER benchmark_runners_stay ON benchmark",
                "DROP FUNCTION benchmark_keep_runners()",
            ],
            _ => &["DROP TRIGGER benchmark_runners_stay"],
        };
        for statement in moves {
            connection.execute_unprepared(statement).await?;
        }
        connection.execute_unprepared("ALTER TABLE benchmark DROP COLUMN runners").await?;
        Ok(())
    }
}

/// What was asked for does not change.
const fn stays(backend: DbBackend) -> &'static [&'static str] {
    match backend {
        DbBackend::Postgres => &[
            "CREATE FUNCTION benchmark_keep_runners() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
               RAISE EXCEPTION 'the runners of benchmark % cannot change', OLD.id
                 USING ERRCODE = 'check_violation';
             END $$",
            "CREATE TRIGGER benchmark_runners_stay BEFORE UPDATE OF runners ON benchmark \
             FOR EACH ROW WHEN (NEW.runners <> OLD.runners) \
             EXECUTE FUNCTION benchmark_keep_runners()",
        ],
        _ => &["CREATE TRIGGER benchmark_runners_stay BEFORE UPDATE OF runners ON benchmark \
                FOR EACH ROW WHEN NEW.runners <> OLD.runners \
                BEGIN SELECT RAISE(ABORT, 'the runners of a benchmark cannot change'); END"],
    }
}
