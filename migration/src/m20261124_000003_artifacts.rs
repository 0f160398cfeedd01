//! Files in the artifact store, and histograms. Like events, neither changes once it is written.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, json_binary, text};
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLES: [&str; 2] = ["benchmark_artifact", "benchmark_histogram"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let artifact = of_benchmark(TABLES[0])
            .col(text("name"))
            .col(text("key"))
            .col(big_integer("row_count"))
            .col(big_integer("byte_count"))
            .primary_key(Index::create().col("benchmark_id").col("name"))
            .check(Expr::cust("row_count >= 0 AND byte_count >= 0"))
            .to_owned();
        let histogram = of_benchmark(TABLES[1])
            .col(json_binary("histograms"))
            .primary_key(Index::create().col("benchmark_id"))
            .to_owned();
        for table in [artifact, histogram] {
            manager.create_table(table).await?;
        }
        for table in TABLES {
            let statement = match manager.get_database_backend() {
                DbBackend::Postgres => format!(
                    "CREATE TRIGGER {table}_stays BEFORE UPDATE ON {table} \
                     FOR EACH ROW EXECUTE FUNCTION benchmark_keep()"
                ),
                _ => format!(
                    "CREATE TRIGGER {table}_stays BEFORE UPDATE ON {table} FOR EACH ROW WHEN TRUE \
                     BEGIN SELECT RAISE(ABORT, 'rows of {table} do not change'); END"
                ),
            };
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
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
