//! Where a benchmark's targets were when its load began: names that differ may stand for one server.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::text_null;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLE: &str = "benchmark";
const COLUMN: &str = "addresses";
const TRIGGER: &str = "benchmark_addresses_stay";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let add = Table::alter().table(TABLE).add_column(text_null(COLUMN)).to_owned();
        manager.alter_table(add).await?;
        // Like everything else, they stay as they are once the run is over.
        let over = "OLD.status IN ('completed', 'failed', 'cancelled', 'timed_out', 'lost')";
        let guards = match manager.get_database_backend() {
            DbBackend::Postgres => vec![
                format!(
                    "CREATE FUNCTION {TRIGGER}() RETURNS trigger LANGUAGE plpgsql AS $$
                     BEGIN
                       RAISE EXCEPTION 'benchmark % is over: its addresses stay', OLD.id
                         USING ERRCODE = 'check_violation';
                     END $$"
                ),
                format!(
                    "CREATE TRIGGER {TRIGGER} BEFORE UPDATE OF {COLUMN} ON {TABLE} FOR EACH ROW \
                     WHEN ({over} AND NEW.{COLUMN} IS DISTINCT FROM OLD.{COLUMN}) \
                     EXECUTE FUNCTION {TRIGGER}()"
                ),
            ],
            _ => vec![format!(
                "CREATE TRIGGER {TRIGGER} BEFORE UPDATE OF {COLUMN} ON {TABLE} FOR EACH ROW \
                 WHEN {over} AND NEW.{COLUMN} IS NOT OLD.{COLUMN} \
                 BEGIN SELECT RAISE(ABORT, 'the benchmark is over: its addresses stay'); END"
            )],
        };
        for guard in guards {
            manager.get_connection().execute_unprepared(&guard).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drops = match manager.get_database_backend() {
            DbBackend::Postgres => vec![
                format!("DROP TRIGGER {TRIGGER} ON {TABLE}"),
                format!("DROP FUNCTION {TRIGGER}()"),
            ],
            _ => vec![format!("DROP TRIGGER {TRIGGER}")],
        };
        for drop in drops {
            manager.get_connection().execute_unprepared(&drop).await?;
        }
        manager.alter_table(Table::alter().table(TABLE).drop_column(COLUMN).to_owned()).await
    }
}
