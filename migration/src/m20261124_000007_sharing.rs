//! What several clients share the queue by: whose a benchmark is, what they may use of it, and what
//! is paused.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, text};
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const INDEXES: [(&str, &str); 5] = [
    // The queue of each owner, in the order it is worked off.
    ("benchmark_queue_of_owner", "benchmark (owner, priority DESC, id) WHERE status = 'queued'"),
    ("benchmark_active_of_owner", "benchmark (owner) WHERE status IN ('running', 'cancelling')"),
    // Whose turn it was last.
    ("benchmark_started", "benchmark (owner, started_at_ms) WHERE started_at_ms IS NOT NULL"),
    // Which targets must be left alone for a while.
    ("benchmark_finished", "benchmark (finished_at_ms) WHERE finished_at_ms IS NOT NULL"),
    ("benchmark_target_held", "benchmark_target (target_key) WHERE active"),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let owner = "ALTER TABLE benchmark ADD COLUMN owner text NOT NULL DEFAULT 'anyone'";
        connection.execute_unprepared(owner).await?;
        for (name, on) in INDEXES {
            connection.execute_unprepared(&format!("CREATE INDEX {name} ON {on}")).await?;
        }
        // The target '' is the whole queue.
        let control = Table::create()
            .table("control")
            .col(text("target_key").primary_key())
            .col(big_integer("paused_at_ms"))
            .to_owned();
        let quota = Table::create()
            .table("quota")
            .col(text("owner").primary_key())
            .col(big_integer("hour_from_ms"))
            .col(big_integer("used"))
            .to_owned();
        for table in [control, quota] {
            manager.create_table(table).await?;
        }
        let stays: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &[
                "CREATE FUNCTION benchmark_keep_owner() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                   RAISE EXCEPTION 'the owner of benchmark % cannot change', OLD.id
                     USING ERRCODE = 'check_violation';
                 END $$",
                "CREATE TRIGGER benchmark_owner_stays BEFORE UPDATE OF owner ON benchmark \
                 FOR EACH ROW WHEN (NEW.owner <> OLD.owner) EXECUTE FUNCTION benchmark_keep_owner()",
            ],
            _ => &["CREATE TRIGGER benchmark_owner_stays BEFORE UPDATE OF owner ON benchmark \
                    FOR EACH ROW WHEN NEW.owner <> OLD.owner \
                    BEGIN SELECT RAISE(ABORT, 'the owner of a benchmark cannot change'); END"],
        };
        for statement in stays {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let stays: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &[
                "DROP TRIGGER benchmark_owner_stays ON benchmark",
                "DROP FUNCTION benchmark_keep_owner()",
            ],
            _ => &["DROP TRIGGER benchmark_owner_stays"],
        };
        for statement in stays {
            connection.execute_unprepared(statement).await?;
        }
        for (name, _) in INDEXES {
            connection.execute_unprepared(&format!("DROP INDEX {name}")).await?;
        }
        for table in ["quota", "control"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        connection.execute_unprepared("ALTER TABLE benchmark DROP COLUMN owner").await?;
        Ok(())
    }
}
