//! What a client wants to have once at a time: while one waits or runs, its owner has no other of the
//! same digest.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const ADD: [&str; 2] = [
    "ALTER TABLE benchmark ADD COLUMN dedupe text",
    "CREATE UNIQUE INDEX benchmark_dedupe ON benchmark (owner, dedupe) \
     WHERE dedupe IS NOT NULL AND status IN ('queued', 'running')",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let stay: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &[
                "CREATE FUNCTION benchmark_keep_dedupe() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                   RAISE EXCEPTION 'what benchmark % is one of cannot change', OLD.id
                     USING ERRCODE = 'check_violation';
                 END $$",
                "CREATE TRIGGER benchmark_dedupe_stays BEFORE UPDATE OF dedupe ON benchmark \
                 FOR EACH ROW WHEN (NEW.dedupe IS DISTINCT FROM OLD.dedupe) \
                 EXECUTE FUNCTION benchmark_keep_dedupe()",
            ],
            _ => &["CREATE TRIGGER benchmark_dedupe_stays BEFORE UPDATE OF dedupe ON benchmark \
                    FOR EACH ROW WHEN NEW.dedupe IS NOT OLD.dedupe \
                    BEGIN SELECT RAISE(ABORT, 'what a benchmark is one of cannot change'); END"],
        };
        for statement in ADD.iter().chain(stay) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let stay: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &[
                "DROP TRIGGER benchmark_dedupe_stays ON benchmark",
                "DROP FUNCTION benchmark_keep_dedupe()",
            ],
            _ => &["DROP TRIGGER benchmark_dedupe_stays"],
        };
        let drop = ["DROP INDEX benchmark_dedupe", "ALTER TABLE benchmark DROP COLUMN dedupe"];
        for statement in stay.iter().chain(&drop) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
