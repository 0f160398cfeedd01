//! The servers of each benchmark: one that has several keeps them all to itself while it runs.
//!
//! Triggers fill the table and say who holds what, so that it cannot disagree with the status: not
//! for a process of an earlier version, which knows one server, and not for people with a SQL
//! prompt.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, boolean, text};
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLE: &str = "benchmark_target";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(TABLE)
            .col(big_integer("benchmark_id"))
            .col(text("target_key"))
            .col(boolean("active").default(false))
            .col(boolean("exclusive").default(true))
            .primary_key(Index::create().col("benchmark_id").col("target_key"))
            .foreign_key(
                ForeignKey::create()
                    .from(TABLE, "benchmark_id")
                    .to("benchmark", "id")
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .to_owned();
        manager.create_table(table).await?;
        let triggers = match manager.get_database_backend() {
            DbBackend::Postgres => postgres(),
            _ => sqlite(),
        };
        let statements = [
            "INSERT INTO benchmark_target (benchmark_id, target_key, active, \"exclusive\") \
             SELECT id, target_key, status IN ('running', 'cancelling'), \"exclusive\" \
             FROM benchmark",
            "CREATE INDEX benchmark_target_key ON benchmark_target (target_key)",
            // One active run a server, whatever the code above believes.
            "CREATE UNIQUE INDEX benchmark_target_active ON benchmark_target (target_key) \
             WHERE active AND \"exclusive\"",
        ];
        for statement in statements.into_iter().chain(triggers) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &[
                "DROP TRIGGER benchmark_has_target ON benchmark",
                "DROP TRIGGER benchmark_holds_targets ON benchmark",
                "DROP FUNCTION benchmark_has_target()",
                "DROP FUNCTION benchmark_holds_targets()",
            ],
            _ => &["DROP TRIGGER benchmark_has_target", "DROP TRIGGER benchmark_holds_targets"],
        };
        for statement in statements {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await
    }
}

fn postgres() -> Vec<&'static str> {
    vec![
        "CREATE FUNCTION benchmark_has_target() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           INSERT INTO benchmark_target (benchmark_id, target_key, active, \"exclusive\")
             VALUES (NEW.id, NEW.target_key, FALSE, NEW.\"exclusive\");
           RETURN NULL;
         END $$",
        // In the order of the keys: two that take several of the same wait for each other, rather
        // than both forever.
        "CREATE FUNCTION benchmark_holds_targets() RETURNS trigger LANGUAGE plpgsql AS $$
         DECLARE
           held text;
         BEGIN
           FOR held IN SELECT target_key FROM benchmark_target
             WHERE benchmark_id = NEW.id ORDER BY target_key
           LOOP
             UPDATE benchmark_target
               SET active = NEW.status IN ('running', 'cancelling'), \"exclusive\" = NEW.\"exclusive\"
               WHERE benchmark_id = NEW.id AND target_key = held;
           END LOOP;
           RETURN NULL;
         END $$",
        "CREATE TRIGGER benchmark_has_target AFTER INSERT ON benchmark \
         FOR EACH ROW EXECUTE FUNCTION benchmark_has_target()",
        "CREATE TRIGGER benchmark_holds_targets AFTER UPDATE OF status ON benchmark \
         FOR EACH ROW WHEN (NEW.status <> OLD.status) EXECUTE FUNCTION benchmark_holds_targets()",
    ]
}

fn sqlite() -> Vec<&'static str> {
    vec![
        "CREATE TRIGGER benchmark_has_target AFTER INSERT ON benchmark FOR EACH ROW BEGIN \
         INSERT INTO benchmark_target (benchmark_id, target_key, active, \"exclusive\") \
         VALUES (NEW.id, NEW.target_key, FALSE, NEW.\"exclusive\"); END",
        "CREATE TRIGGER benchmark_holds_targets AFTER UPDATE OF status ON benchmark \
         FOR EACH ROW WHEN NEW.status <> OLD.status BEGIN \
         UPDATE benchmark_target SET active = NEW.status IN ('running', 'cancelling'), \
         \"exclusive\" = NEW.\"exclusive\" WHERE benchmark_id = NEW.id; END",
    ]
}
