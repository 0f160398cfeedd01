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
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared("DROP INDEX benchmark_labelled").await?;
        for table in TABLES {
            let drop = format!("ALTER TABLE {table} DROP COLUMN labels");
            connection.execute_unprepared(&drop).await?;
        }
        Ok(())
    }
}
