//! Which benchmark is next.
//!
//! Of those that may begin now: the highest priority; then whoever has the fewest runs active; then
//! whoever's last run began the longest ago; then the oldest. So owners take turns, however many
//! one of them has queued.
//!
//! The order is never computed for the whole queue. Owners are found by stepping over the index,
//! and of each only the first few that may begin are looked at: the cost is that of the owners, and
//! of rows that are passed over because their target is busy.
//!
//! Values stand in selects of their own, `(SELECT $1)`: no plan can depend on them then, so
//! PostgreSQL plans each statement once a connection. Planning takes it three times as long as the
//! rest of a claim. Nor may a plan depend on what PostgreSQL has counted: it may have counted at
//! night, when nothing was queued, and of all there ever was next to nothing is. So where one row
//! leads to another it is led: `OFFSET 0` keeps a look-up from becoming a join.

use entity::benchmark;
use sea_orm::{ConnectionTrait, EntityTrait, IdenStatic, Iterable, Statement, Value};
use shared::{BenchmarkId, RunnerId};

use crate::{StoreError, clock};

/// Targets under load, and those that are to be left alone: by a pause, or after a run, whose end
/// is later than `$2`. Nothing ends after the upper bound; but of a range with one end PostgreSQL
/// expects a third of all benchmarks there ever were, and reads them all.
macro_rules! closed {
    (sqlite) => {
        closed!("CROSS JOIN benchmark_target AS target ON target.benchmark_id = ended.id")
    };
    (postgres) => {
        closed!(
            "CROSS JOIN LATERAL (SELECT held.target_key FROM benchmark_target AS held \
             WHERE held.benchmark_id = ended.id OFFSET 0) AS target"
        )
    };
    ($its_targets:literal) => {
        concat!(
            "busy AS (SELECT target_key FROM benchmark_target WHERE active), \
             closed AS (SELECT target_key FROM control UNION SELECT target.target_key \
             FROM benchmark AS ended ",
            $its_targets,
            " WHERE ended.finished_at_ms > (SELECT $2) \
             AND ended.finished_at_ms < 9223372036854775807 \
             AND ended.load_started_at_ms IS NOT NULL)"
        )
    };
}
pub(crate) use closed;

/// Whether the row `b` may begin at `$1`. The first target alone decides of most rows, at the price
/// of two look-ups in memory.
macro_rules! may_begin {
    () => {
        "b.status = 'queued' AND b.run_at_ms <= (SELECT $1) \
         AND (b.queued_deadline_ms IS NULL OR b.queued_deadline_ms > (SELECT $1)) \
         AND b.target_key NOT IN (SELECT target_key FROM closed) \
         AND NOT (b.\"exclusive\" AND b.target_key IN (SELECT target_key FROM busy)) \
         AND NOT EXISTS (SELECT 1 FROM benchmark_target mine WHERE mine.benchmark_id = b.id \
         AND mine.target_key IN (SELECT target_key FROM closed)) \
         AND NOT EXISTS (SELECT 1 FROM benchmark_target mine JOIN benchmark_target other \
         ON other.target_key = mine.target_key AND other.active \
         WHERE mine.benchmark_id = b.id AND (other.\"exclusive\" OR b.\"exclusive\")) \
         AND NOT EXISTS (SELECT 1 FROM control WHERE target_key = '')"
    };
}
pub(crate) use may_begin;

/// How many runners are there to make a load together, up to 64, the most that do; 1: nobody asks.
macro_rules! fleet {
    () => {
        "fleet AS (SELECT coalesce(nullif(count(*), 0), 1) AS live FROM (SELECT 1 FROM runner \
         WHERE state = 'active' AND drain_requested_at_ms IS NULL \
         AND last_seen_ms >= (SELECT $4) LIMIT 64) AS there)"
    };
}

/// Whether the row `b` takes no more runners than there are, of `$3` users each.
macro_rules! fits {
    () => {
        "b.runners <= (SELECT live FROM fleet) AND b.users <= (SELECT $3) * CASE b.runners \
         WHEN 0 THEN (SELECT live FROM fleet) ELSE b.runners END AND "
    };
}

/// Owners with something queued, what each has active, and when its last run began.
macro_rules! owners {
    () => {
        "owners(owner) AS (\
         SELECT (SELECT q.owner FROM benchmark q WHERE q.status = 'queued' \
         ORDER BY q.owner LIMIT 1) \
         UNION ALL SELECT (SELECT q.owner FROM benchmark q WHERE q.status = 'queued' \
         AND q.owner > owners.owner ORDER BY q.owner LIMIT 1) \
         FROM owners WHERE owners.owner IS NOT NULL), \
         share AS MATERIALIZED (SELECT owner, \
         (SELECT count(*) FROM benchmark a WHERE a.owner = owners.owner \
         AND a.status IN ('running', 'cancelling')) AS active, \
         coalesce((SELECT max(s.started_at_ms) FROM benchmark s WHERE s.owner = owners.owner \
         AND s.started_at_ms IS NOT NULL), 0) AS last \
         FROM owners WHERE owner IS NOT NULL)"
    };
}

/// First targets with something queued, but for those that no row may begin on.
macro_rules! targets {
    () => {
        "every_target(target_key) AS (\
         SELECT (SELECT q.target_key FROM benchmark q WHERE q.status = 'queued' \
         ORDER BY q.target_key LIMIT 1) \
         UNION ALL SELECT (SELECT q.target_key FROM benchmark q WHERE q.status = 'queued' \
         AND q.target_key > every_target.target_key ORDER BY q.target_key LIMIT 1) \
         FROM every_target WHERE every_target.target_key IS NOT NULL), \
         targets AS (SELECT target_key FROM every_target WHERE target_key IS NOT NULL \
         AND target_key NOT IN (SELECT target_key FROM closed) \
         AND target_key NOT IN (SELECT held.target_key FROM benchmark_target held \
         WHERE held.active AND held.\"exclusive\"))"
    };
}
pub(crate) use targets;

/// Whether a runner has every label that the row `b` asks for. Most ask for none.
macro_rules! has_labels_sqlite {
    ($runner:literal) => {
        concat!(
            "(b.labels IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(b.labels) AS asked \
             WHERE NOT EXISTS (SELECT 1 FROM runner, json_each(runner.labels) AS has \
             WHERE runner.id = ",
            $runner,
            " AND has.key = asked.key AND has.value = asked.value)))"
        )
    };
}
pub(crate) use has_labels_sqlite;

macro_rules! has_labels_postgres {
    ($runner:literal) => {
        concat!(
            "(b.labels IS NULL OR b.labels <@ \
             (SELECT runner.labels FROM runner WHERE runner.id = ",
            $runner,
            "))"
        )
    };
}
pub(crate) use has_labels_postgres;

/// SQLite has one writer at a time: the first of each owner is enough.
const SQLITE: &str = concat!(
    "WITH RECURSIVE ",
    closed!(sqlite),
    ", ",
    fleet!(),
    ", ",
    owners!(),
    ", head AS (SELECT active, last, (SELECT b.id FROM benchmark b \
     WHERE b.owner = share.owner AND ",
    fits!(),
    has_labels_sqlite!("(SELECT $5)"),
    " AND ",
    may_begin!(),
    " ORDER BY b.priority DESC, b.id LIMIT 1) AS id FROM share) \
     SELECT $columns FROM head JOIN benchmark b ON b.id = head.id \
     ORDER BY b.priority DESC, head.active, head.last, b.id LIMIT 1"
);

/// Several claim at once, and each passes over what another has locked. So of each owner the first
/// of a few targets, each a turn later than the one before; and of each target one only, since two
/// that take rows of the same would be in each other's way.
const FIRST_OF_OWNERS: &str = concat!(
    "WITH RECURSIVE ",
    closed!(postgres),
    ", ",
    fleet!(),
    ", ",
    owners!(),
    ", head AS (SELECT share.owner, share.active, share.last, first.id, first.priority, \
     first.target_key, row_number() OVER (PARTITION BY share.owner, first.target_key \
     ORDER BY first.priority DESC, first.id) AS of_target FROM share CROSS JOIN LATERAL (\
     SELECT b.id, b.priority, b.target_key FROM benchmark b \
     WHERE b.owner = share.owner AND ",
    fits!(),
    has_labels_postgres!("(SELECT $5)"),
    " AND ",
    may_begin!(),
    " ORDER BY b.priority DESC, b.id LIMIT 4) AS first), \
     turn AS (SELECT id, priority, last, target_key, active + row_number() OVER \
     (PARTITION BY owner ORDER BY priority DESC, id) AS turn FROM head WHERE of_target = 1), \
     best AS (SELECT id, priority, turn, last, row_number() OVER \
     (PARTITION BY target_key ORDER BY priority DESC, turn, last, id) AS of_target FROM turn), \
     line AS MATERIALIZED (SELECT id, priority, turn, last FROM best WHERE of_target = 1 \
     ORDER BY priority DESC, turn, last, id LIMIT 32) \
     SELECT $columns FROM line JOIN benchmark b ON b.id = line.id WHERE b.status || '' = 'queued' \
     ORDER BY line.priority DESC, line.turn, line.last, line.id LIMIT 1 \
     FOR UPDATE OF b SKIP LOCKED"
);

/// Where others are at the first of all owners: the first of each target. It finds something
/// wherever anything may begin.
macro_rules! first_of_targets {
    ($lock:literal) => {
        concat!(
            "WITH RECURSIVE ",
            closed!(postgres),
            ", ",
            fleet!(),
            ", ",
            targets!(),
            ", line AS MATERIALIZED (SELECT first.id, first.priority, \
             (SELECT count(*) FROM benchmark a WHERE a.owner = first.owner \
             AND a.status IN ('running', 'cancelling')) AS active \
             FROM targets CROSS JOIN LATERAL (SELECT b.id, b.priority, b.owner FROM benchmark b \
             WHERE b.target_key = targets.target_key AND ",
            fits!(),
            has_labels_postgres!("(SELECT $5)"),
            " AND ",
            may_begin!(),
            " ORDER BY b.priority DESC, b.id LIMIT 1) AS first) \
             SELECT $columns FROM line JOIN benchmark b ON b.id = line.id WHERE b.status || '' = 'queued' \
             ORDER BY line.priority DESC, line.active, line.id LIMIT 1",
            $lock
        )
    };
}

/// The next benchmark for `runner`, which takes `max_users`, locked; of several callers each gets
/// another, or an error that asks to try again.
///
/// - `seen_ms`: since when a runner must have been seen to be there for a load that takes several;
///   none: none of those.
pub(crate) async fn lock_next<C: ConnectionTrait>(
    c: &C,
    now_ms: i64,
    cooldown_ms: i64,
    runner: &RunnerId,
    max_users: u32,
    seen_ms: Option<i64>,
) -> Result<Option<benchmark::Model>, StoreError> {
    let values: [Value; 5] = [
        now_ms.into(),
        (now_ms - cooldown_ms).into(),
        i64::from(max_users).into(),
        seen_ms.unwrap_or(i64::MAX).into(),
        runner.0.as_str().into(),
    ];
    let find = async |sql: &str| -> Result<Option<benchmark::Model>, StoreError> {
        let backend = c.get_database_backend();
        let sql = sql.replacen("$columns", &columns(), 1);
        let asked = Statement::from_sql_and_values(backend, sql, values.clone());
        Ok(benchmark::Entity::find().from_raw_sql(asked).one(c).await?)
    };
    if !clock::is_postgres(c) {
        return find(SQLITE).await;
    }
    if let Some(row) = find(FIRST_OF_OWNERS).await? {
        return Ok(Some(row));
    }
    if let Some(row) = find(first_of_targets!(" FOR UPDATE OF b SKIP LOCKED")).await? {
        return Ok(Some(row));
    }
    // What somebody has locked was skipped. He may only have looked at it, or be about to roll
    // back; a ticket that gives up now would be missing later.
    match find(first_of_targets!("")).await? {
        Some(row) => Err(StoreError::Lost(BenchmarkId(row.id))),
        None => Ok(None),
    }
}

/// The first of a target, and of those that have it as a further one, which are few.
const OF_TARGET: &str = "SELECT id FROM (SELECT * FROM (SELECT b.id, b.priority FROM benchmark b \
     WHERE b.target_key = $1 AND b.status = 'queued' AND b.run_at_ms <= $2 \
     ORDER BY b.priority DESC, b.id LIMIT 1) AS first \
     UNION ALL SELECT b.id, b.priority FROM benchmark_target waiting \
     JOIN benchmark b ON b.id = waiting.benchmark_id \
     WHERE waiting.target_key = $1 AND waiting.waits \
     AND b.status || '' = 'queued' AND b.run_at_ms <= $2) AS next \
     ORDER BY priority DESC, id LIMIT 1";

/// The next benchmark due at `now_ms` that has `target_key` among its targets.
pub(crate) async fn of_target<C: ConnectionTrait>(
    c: &C,
    target_key: &str,
    now_ms: i64,
) -> Result<Option<BenchmarkId>, StoreError> {
    let values: [Value; 2] = [target_key.into(), now_ms.into()];
    let asked = Statement::from_sql_and_values(c.get_database_backend(), OF_TARGET, values);
    let next = c.query_one_raw(asked).await?;
    Ok(next.map(|row| row.try_get("", "id")).transpose()?.map(BenchmarkId))
}

/// The columns of `b` by their names. All that there are, `b.*`, would be other ones as soon as a
/// later version has added its own, and PostgreSQL refuses a statement whose result changes.
fn columns() -> String {
    let names: Vec<_> =
        benchmark::Column::iter().map(|column| format!("b.\"{}\"", column.as_str())).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{Lease, Store, Vault};

    /// What may be read: of those that wait or run, of the last that began or ended, and rows by
    /// their keys. Anything else has all that ever were in it, or all that wait.
    const MAY_READ: [&str; 9] = [
        "INTEGER PRIMARY KEY",
        "benchmark_queue_of_owner",
        "benchmark_queue_of_target",
        "benchmark_active_of_owner",
        "benchmark_started",
        "benchmark_finished",
        "benchmark_target_held",
        "benchmark_target_waits",
        "sqlite_autoindex_benchmark_target_1",
    ];
    /// What the statements call benchmarks and their targets.
    const OURS: [&str; 10] =
        ["q", "a", "s", "b", "ended", "target", "mine", "other", "waiting", "benchmark_target"];

    #[tokio::test]
    async fn sqlite_finds_what_is_next_by_the_indexes_that_are_made_for_it() {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite://{}/benchmarks.db", folder.path().display());
        let open = async || Store::open(&url, Vault::none(), Lease::default()).await.unwrap();
        open().await.migrate().await.unwrap();
        // Who has made the indexes knows them in another order, and may choose others.
        let store = open().await;
        let c = &store.inner.database.main;
        for (sql, reads) in [(SQLITE, 12), (OF_TARGET, 3)] {
            let sql = format!("EXPLAIN QUERY PLAN {}", sql.replacen("$columns", &columns(), 1));
            let asked = Statement::from_string(c.get_database_backend(), sql);
            let mut steps = Vec::new();
            for row in c.query_all_raw(asked).await.unwrap() {
                let step: String = row.try_get("", "detail").unwrap();
                let mut words = step.split(' ');
                let is_read = matches!(words.next(), Some("SCAN" | "SEARCH"));
                if is_read && words.next().is_some_and(|of| OURS.contains(&of)) {
                    steps.push(step);
                }
            }
            assert_eq!(steps.len(), reads, "{steps:#?}");
            let may_read = |step: &String| MAY_READ.iter().any(|index| step.contains(index));
            assert!(steps.iter().all(may_read), "{steps:#?}");
        }
    }
}
