//! Which benchmark is next.
//!
//! Of those that may begin now: the highest priority; then whoever has the fewest runs active; then
//! whoever's last run began the longest ago; then the oldest. So owners take turns, however many
//! one of them has queued.
//!
//! The order is never computed for the whole queue. Owners are found by stepping over the index,
//! and of each only the first that may begin are looked at: the cost is that of the owners, and of
//! rows that are passed over because their target is busy.

use entity::benchmark;
use sea_orm::{ConnectionTrait, EntityTrait, Statement, Value};
use shared::RunnerId;

use crate::{StoreError, clock};

/// Targets under load, and those that are to be left alone: by a pause, or after a run, whose end
/// is later than `$2`.
macro_rules! closed {
    () => {
        "busy AS (SELECT target_key FROM benchmark_target WHERE active), \
         closed AS (SELECT target_key FROM control UNION SELECT target.target_key \
         FROM benchmark AS ended JOIN benchmark_target AS target ON target.benchmark_id = ended.id \
         WHERE ended.finished_at_ms > $2 AND ended.load_started_at_ms IS NOT NULL)"
    };
}
pub(crate) use closed;

/// Whether the row `b` may begin at `$1`. The first target alone decides of most rows, at the price
/// of two look-ups in memory.
macro_rules! may_begin {
    () => {
        "b.status = 'queued' AND b.run_at_ms <= $1 \
         AND (b.queued_deadline_ms IS NULL OR b.queued_deadline_ms > $1) \
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

/// Owners with something queued, what each has active, and when its last run began.
macro_rules! owners {
    () => {
        "owners(owner) AS (\
         SELECT (SELECT q.owner FROM benchmark q WHERE q.status = 'queued' \
         ORDER BY q.owner LIMIT 1) \
         UNION ALL SELECT (SELECT q.owner FROM benchmark q WHERE q.status = 'queued' \
         AND q.owner > owners.owner ORDER BY q.owner LIMIT 1) \
         FROM owners WHERE owners.owner IS NOT NULL), \
         share AS (SELECT owner, \
         (SELECT count(*) FROM benchmark a WHERE a.owner = owners.owner \
         AND a.status IN ('running', 'cancelling')) AS active, \
         coalesce((SELECT max(s.started_at_ms) FROM benchmark s WHERE s.owner = owners.owner \
         AND s.started_at_ms IS NOT NULL), 0) AS last \
         FROM owners WHERE owner IS NOT NULL)"
    };
}

/// Whether the runner `$4` has every label that the row `b` asks for. Most ask for none.
macro_rules! has_labels_sqlite {
    () => {
        "(b.labels IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(b.labels) AS asked WHERE NOT EXISTS \
         (SELECT 1 FROM runner, json_each(runner.labels) AS has WHERE runner.id = (SELECT $4) \
         AND has.key = asked.key AND has.value = asked.value)))"
    };
}
macro_rules! has_labels_postgres {
    () => {
        "(b.labels IS NULL OR b.labels <@ (SELECT runner.labels FROM runner WHERE runner.id = (SELECT $4)))"
    };
}

/// SQLite has one writer at a time: the first of each owner is enough.
const SQLITE: &str = concat!(
    "WITH RECURSIVE ",
    closed!(),
    ", ",
    owners!(),
    ", head AS (SELECT active, last, (SELECT b.id FROM benchmark b \
     WHERE b.owner = share.owner AND b.users <= $3 AND ",
    has_labels_sqlite!(),
    " AND ",
    may_begin!(),
    " ORDER BY b.priority DESC, b.id LIMIT 1) AS id FROM share) \
     SELECT b.* FROM head JOIN benchmark b ON b.id = head.id \
     ORDER BY b.priority DESC, head.active, head.last, b.id LIMIT 1"
);

/// Several claim at once, and each passes over what another has locked: so of each owner the
/// first of several targets, each a turn later than the one before.
macro_rules! postgres {
    ($lock:literal) => {
        concat!(
            "WITH RECURSIVE ",
            closed!(),
            ", ",
            owners!(),
            ", head AS MATERIALIZED (SELECT share.owner, share.active, share.last, first.id, \
             first.priority, row_number() OVER \
             (PARTITION BY share.owner, first.target_key ORDER BY first.priority DESC, first.id) \
             AS of_target FROM share CROSS JOIN LATERAL (\
             SELECT b.id, b.priority, b.target_key FROM benchmark b \
             WHERE b.owner = share.owner AND b.users <= $3 AND ",
            has_labels_postgres!(),
            " AND ",
            may_begin!(),
            " ORDER BY b.priority DESC, b.id LIMIT 64) AS first), \
             turn AS MATERIALIZED (SELECT id, priority, last, active + row_number() OVER \
             (PARTITION BY owner ORDER BY priority DESC, id) AS turn FROM head WHERE of_target = 1) \
             SELECT b.* FROM turn JOIN benchmark b ON b.id = turn.id WHERE b.status = 'queued' \
             ORDER BY turn.priority DESC, turn.turn, turn.last, turn.id LIMIT 1",
            $lock
        )
    };
}

/// The next benchmark for `runner`, which takes `max_users`, locked; of several callers each gets
/// another, or an error that asks to try again.
pub(crate) async fn lock_next<C: ConnectionTrait>(
    c: &C,
    now_ms: i64,
    cooldown_ms: i64,
    runner: &RunnerId,
    max_users: u32,
) -> Result<Option<benchmark::Model>, StoreError> {
    let values: [Value; 4] = [
        now_ms.into(),
        (now_ms - cooldown_ms).into(),
        i64::from(max_users).into(),
        runner.0.as_str().into(),
    ];
    let find = async |sql: &str| -> Result<Option<benchmark::Model>, StoreError> {
        let backend = c.get_database_backend();
        let asked = Statement::from_sql_and_values(backend, sql, values.clone());
        Ok(benchmark::Entity::find().from_raw_sql(asked).one(c).await?)
    };
    if !clock::is_postgres(c) {
        return find(SQLITE).await;
    }
    if let Some(row) = find(postgres!(" FOR UPDATE OF b SKIP LOCKED")).await? {
        return Ok(Some(row));
    }
    // What somebody has locked was skipped. He may only have looked at it, or be about to roll
    // back; a ticket that gives up now would be missing later.
    match find(postgres!("")).await? {
        Some(row) => Err(StoreError::Lost(shared::BenchmarkId(row.id))),
        None => Ok(None),
    }
}
