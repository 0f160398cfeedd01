//! Which benchmarks wait for a target that is not their first: few, and to be found among all that
//! ever had it when it becomes free.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let begin = [
            "ALTER TABLE benchmark_target ADD COLUMN waits boolean NOT NULL DEFAULT FALSE",
            "UPDATE benchmark_target SET waits = TRUE WHERE EXISTS (SELECT 1 FROM benchmark b \
             WHERE b.id = benchmark_id AND b.status = 'queued' \
             AND b.target_key <> benchmark_target.target_key)",
            "CREATE INDEX benchmark_target_waits ON benchmark_target (target_key) WHERE waits",
        ];
        let trigger = triggers(manager.get_database_backend(), true);
        execute(manager, begin.into_iter().map(str::to_owned).chain(trigger)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let trigger = triggers(manager.get_database_backend(), false);
        let end =
            ["DROP INDEX benchmark_target_waits", "ALTER TABLE benchmark_target DROP COLUMN waits"];
        execute(manager, trigger.into_iter().chain(end.map(str::to_owned))).await
    }
}

async fn execute(
    manager: &SchemaManager<'_>,
    statements: impl Iterator<Item = String>,
) -> Result<(), DbErr> {
    for statement in statements {
        manager.get_connection().execute_unprepared(&statement).await?;
    }
    Ok(())
}

/// The trigger of before, which says who holds what, and `with_waits` who waits for it.
fn triggers(backend: DbBackend, with_waits: bool) -> Vec<String> {
    let waits = if with_waits {
        ", waits = NEW.status = 'queued' AND target_key <> NEW.target_key"
    } else {
        ""
    };
    if backend == DbBackend::Postgres {
        return vec![format!(
            "CREATE OR REPLACE FUNCTION benchmark_holds_targets() RETURNS trigger LANGUAGE plpgsql AS $$
             DECLARE
               held text;
             BEGIN
               FOR held IN SELECT target_key FROM benchmark_target
                 WHERE benchmark_id = NEW.id ORDER BY target_key
               LOOP
                 UPDATE benchmark_target
                   SET active = NEW.status IN ('running', 'cancelling'), \"exclusive\" = NEW.\"exclusive\"{waits}
                   WHERE benchmark_id = NEW.id AND target_key = held;
               END LOOP;
               RETURN NULL;
             END $$"
        )];
    }
    vec![
        "DROP TRIGGER benchmark_holds_targets".to_owned(),
        format!(
            "CREATE TRIGGER benchmark_holds_targets AFTER UPDATE OF status ON benchmark \
             FOR EACH ROW WHEN NEW.status <> OLD.status BEGIN \
             UPDATE benchmark_target SET active = NEW.status IN ('running', 'cancelling'), \
             \"exclusive\" = NEW.\"exclusive\"{waits} WHERE benchmark_id = NEW.id; END"
        ),
    ]
}
