//! What the database refuses by itself: changes of status that do not exist, and changes to what
//! is over.
//!
//! The code asks before it writes; this is for the day it asks wrongly, and for people with a SQL
//! prompt.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Every change of status there is.
const PAIRS: &str = "'queued>running', 'queued>cancelled', 'queued>timed_out', \
                     'running>queued', 'running>cancelling', 'running>completed', \
                     'running>failed', 'running>timed_out', 'running>lost', \
                     'cancelling>cancelled'";

const OVER: &str = "'completed', 'failed', 'cancelled', 'timed_out', 'lost'";

/// The columns of `benchmark` that stay as they are once it is over: all but notes, favorite, and
/// the count of such edits.
const FROZEN: &[&str] = &[
    "id",
    "status",
    "reason_code",
    "reason_detail",
    "priority",
    "run_at_ms",
    "queued_deadline_ms",
    "target_key",
    "exclusive",
    "url",
    "model",
    "tokenizer",
    "dataset",
    "users",
    "spawnrate",
    "duration_s",
    "spec",
    "fence",
    "claims",
    "runner_id",
    "lease_until_ms",
    "load_started_at_ms",
    "cancel_requested_at_ms",
    "created_at_ms",
    "queued_at_ms",
    "started_at_ms",
    "finished_at_ms",
    "progress",
    "report",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements = match manager.get_database_backend() {
            DbBackend::Postgres => postgres(),
            _ => sqlite(),
        };
        for statement in statements {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let statements: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &[
                "DROP TRIGGER benchmark_guard ON benchmark",
                "DROP TRIGGER benchmark_event_stays ON benchmark_event",
                "DROP TRIGGER benchmark_series_stays ON benchmark_series",
                "DROP FUNCTION benchmark_guard()",
                "DROP FUNCTION benchmark_keep()",
            ],
            _ => &[
                "DROP TRIGGER benchmark_begins_queued",
                "DROP TRIGGER benchmark_transition",
                "DROP TRIGGER benchmark_fence_grows",
                "DROP TRIGGER benchmark_over",
                "DROP TRIGGER benchmark_event_stays",
                "DROP TRIGGER benchmark_series_stays",
            ],
        };
        for statement in statements {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

fn postgres() -> Vec<String> {
    let frozen = FROZEN.iter().map(|column| format!("NEW.{column}")).collect::<Vec<_>>().join(", ");
    let before = frozen.replace("NEW.", "OLD.");
    vec![
        format!(
            "CREATE FUNCTION benchmark_guard() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
               IF TG_OP = 'INSERT' THEN
                 IF NEW.status <> 'queued' THEN
                   RAISE EXCEPTION 'a benchmark begins as queued, not as %', NEW.status
                     USING ERRCODE = 'check_violation';
                 END IF;
                 RETURN NEW;
               END IF;
               IF NEW.status <> OLD.status
                  AND OLD.status || '>' || NEW.status NOT IN ({PAIRS}) THEN
                 RAISE EXCEPTION 'benchmark % cannot go from % to %', OLD.id, OLD.status, NEW.status
                   USING ERRCODE = 'check_violation';
               END IF;
               IF NEW.fence < OLD.fence THEN
                 RAISE EXCEPTION 'the fence of benchmark % only grows', OLD.id
                   USING ERRCODE = 'check_violation';
               END IF;
               IF OLD.status IN ({OVER}) AND ({frozen}) IS DISTINCT FROM ({before}) THEN
                 RAISE EXCEPTION 'benchmark % is over: only notes and favorite may change', OLD.id
                   USING ERRCODE = 'check_violation';
               END IF;
               RETURN NEW;
             END $$"
        ),
        "CREATE FUNCTION benchmark_keep() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           RAISE EXCEPTION 'rows of % do not change', TG_TABLE_NAME
             USING ERRCODE = 'check_violation';
         END $$"
            .to_owned(),
        "CREATE TRIGGER benchmark_guard BEFORE INSERT OR UPDATE ON benchmark \
         FOR EACH ROW EXECUTE FUNCTION benchmark_guard()"
            .to_owned(),
        "CREATE TRIGGER benchmark_event_stays BEFORE UPDATE ON benchmark_event \
         FOR EACH ROW EXECUTE FUNCTION benchmark_keep()"
            .to_owned(),
        "CREATE TRIGGER benchmark_series_stays BEFORE UPDATE ON benchmark_series \
         FOR EACH ROW EXECUTE FUNCTION benchmark_keep()"
            .to_owned(),
    ]
}

fn sqlite() -> Vec<String> {
    let changed = FROZEN
        .iter()
        .map(|column| format!("NEW.\"{column}\" IS NOT OLD.\"{column}\""))
        .collect::<Vec<_>>()
        .join(" OR ");
    let refuse = |trigger: &str, when: &str, refused: &str, message: &str| {
        format!(
            "CREATE TRIGGER {trigger} BEFORE {when} FOR EACH ROW WHEN {refused} \
             BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
    };
    vec![
        refuse(
            "benchmark_begins_queued",
            "INSERT ON benchmark",
            "NEW.status <> 'queued'",
            "a benchmark begins as queued",
        ),
        refuse(
            "benchmark_transition",
            "UPDATE OF status ON benchmark",
            &format!(
                "NEW.status <> OLD.status AND OLD.status || '>' || NEW.status NOT IN ({PAIRS})"
            ),
            "a benchmark cannot change its status like this",
        ),
        refuse(
            "benchmark_fence_grows",
            "UPDATE OF fence ON benchmark",
            "NEW.fence < OLD.fence",
            "the fence of a benchmark only grows",
        ),
        refuse(
            "benchmark_over",
            "UPDATE ON benchmark",
            &format!("OLD.status IN ({OVER}) AND ({changed})"),
            "the benchmark is over: only notes and favorite may change",
        ),
        refuse(
            "benchmark_event_stays",
            "UPDATE ON benchmark_event",
            "TRUE",
            "events do not change",
        ),
        refuse(
            "benchmark_series_stays",
            "UPDATE ON benchmark_series",
            "TRUE",
            "the rows of a run that is over do not change",
        ),
    ]
}
