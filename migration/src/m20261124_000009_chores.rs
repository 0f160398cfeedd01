//! When each chore is due next, so that one process does it and not all of them.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLE: &str = "chore";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(TABLE)
            .col(text("name").primary_key())
            .col(big_integer("due_at_ms"))
            .to_owned();
        manager.create_table(table).await?;
        let both_due = "INSERT INTO chore (name, due_at_ms) VALUES ('sweep', 0), ('prune', 0)";
        manager.get_connection().execute_unprepared(both_due).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await
    }
}
