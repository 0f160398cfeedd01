//! Keys under which clients have submitted.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, binary, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLE: &str = "idempotency";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(TABLE)
            .col(text("principal"))
            .col(text("key"))
            .col(binary("fingerprint"))
            .col(big_integer("benchmark_id"))
            .col(big_integer("expires_at_ms"))
            .primary_key(Index::create().col("principal").col("key"))
            .to_owned();
        manager.create_table(table).await?;
        let index = "CREATE INDEX idempotency_expiry ON idempotency (expires_at_ms)";
        manager.get_connection().execute_unprepared(index).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await
    }
}
