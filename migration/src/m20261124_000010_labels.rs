//! Which runners may take a benchmark: labels that it asks for, and those that a runner has.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// An object of names and values; none: nothing is asked for, or had.
const TABLES: [&str; 2] = ["benchmark", "runner"];
/// What waits for labels is counted by them.
const INDEX: &str = "CREATE INDEX benchmark_labelled ON benchmark (id) \
                     WHERE status = 'queued' AND labels IS NOT NULL";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let json = match manager.get_database_backend() {
            DbBackend::Postgres => "jsonb",
            _ => "text",
        };
        for table in TABLES {
            let add = format!("ALTER TABLE {table} ADD COLUMN labels {json}");
            connection.execute_unprepared(&add).await?;
        }
        connection.execute_unprepared(INDEX).await?;
        let stay: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &[
                "CREATE FUNCTION benchmark_keep_labels() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                   RAISE EXCEPTION 'the labels of benchmark % cannot change', OLD.id
                     USING ERRCODE = 'check_violation';
                 END $$",
                "CREATE TRIGGER benchmark_labels_stay BEFORE UPDATE OF labels ON benchmark \
                 FOR EACH ROW WHEN (NEW.labels IS DISTINCT FROM OLD.labels) \
                 EXECUTE FUNCTION benchmark_keep_labels()",
            ],
            _ => &["CREATE TRIGGER benchmark_labels_stay BEFORE UPDATE OF labels ON benchmark \
                    FOR EACH ROW WHEN NEW.labels IS NOT OLD.labels \
                    BEGIN SELECT RAISE(ABORT, 'the labels of a benchmark cannot change'); END"],
        };
        for statement in stay {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let stay: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &[
                "DROP TRIGGER benchmark_labels_stay ON benchmark",
                "DROP FUNCTION benchmark_keep_labels()",
            ],
            _ => &["DROP TRIGGER benchmark_labels_stay"],
        };
        for statement in stay {
            connection.execute_unprepared(statement).await?;
        }
        connection.execute_unprepared("DROP INDEX benchmark_labelled").await?;
        for table in TABLES {
            let drop = format!("ALTER TABLE {table} DROP COLUMN labels");
            connection.execute_unprepared(&drop).await?;
        }
        Ok(())
    }
}
