//! Asking a runner to take up nothing more: it reads its own row with each beat.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::big_integer_null;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLE: &str = "runner";
const COLUMN: &str = "drain_requested_at_ms";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let asked = Table::alter().table(TABLE).add_column(big_integer_null(COLUMN)).to_owned();
        manager.alter_table(asked).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table(TABLE).drop_column(COLUMN).to_owned()).await
    }
}
