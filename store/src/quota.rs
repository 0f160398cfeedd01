//! How much one owner may ask for.

use sea_orm::{ConnectionTrait, Statement, Value};

use crate::{Rules, StoreError};

const HOUR_MS: i64 = 60 * 60 * 1_000;
/// After how long somebody with too much in the queue may ask again.
const RETRY_QUEUED_S: u64 = 30;

/// A limit that an owner has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// `queued` or `runs`.
    pub name: &'static str,
    /// How many there may be.
    pub limit: u32,
    /// Of how many seconds; none: at once.
    pub window_s: Option<u64>,
    /// After how many seconds it makes sense to ask again.
    pub retry_after_s: u64,
}

/// Charges `owner` for one more benchmark, within the transaction that makes it: of several at once
/// each waits for the one before, so that they cannot all be the last that is allowed.
pub(crate) async fn charge<C: ConnectionTrait>(
    c: &C,
    rules: &Rules,
    owner: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    if rules.quota_queued.is_none() && rules.quota_runs_per_hour.is_none() {
        return Ok(());
    }
    // An hour begins with the first benchmark after the last hour.
    let sql = "INSERT INTO quota (owner, hour_from_ms, used) VALUES ($1, $2, 1) \
         ON CONFLICT (owner) DO UPDATE SET \
         used = CASE WHEN quota.hour_from_ms <= $3 THEN 1 ELSE quota.used + 1 END, \
         hour_from_ms = CASE WHEN quota.hour_from_ms <= $3 THEN $2 ELSE quota.hour_from_ms END \
         RETURNING used, hour_from_ms";
    let values = [owner.into(), now_ms.into(), (now_ms - HOUR_MS).into()];
    let row = one(c, sql, values.to_vec()).await?;
    let (used, from_ms): (i64, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    if let Some(limit) = rules.quota_runs_per_hour.filter(|limit| used > i64::from(*limit)) {
        let left_ms = u64::try_from(from_ms + HOUR_MS - now_ms).unwrap_or(0);
        return Err(StoreError::Quota(QuotaExceeded {
            name: "runs",
            limit,
            window_s: Some(3_600),
            retry_after_s: left_ms.div_ceil(1_000).max(1),
        }));
    }
    let Some(limit) = rules.quota_queued else { return Ok(()) };
    let sql = "SELECT (SELECT count(*) FROM benchmark WHERE owner = $1 AND status = 'queued') + \
         (SELECT count(*) FROM benchmark WHERE owner = $1 AND status IN ('running', 'cancelling'))";
    let row = one(c, sql, vec![owner.into()]).await?;
    if row.try_get_by_index::<i64>(0)? < i64::from(limit) {
        return Ok(());
    }
    let retry_after_s = RETRY_QUEUED_S;
    Err(StoreError::Quota(QuotaExceeded { name: "queued", limit, window_s: None, retry_after_s }))
}

async fn one<C: ConnectionTrait>(
    c: &C,
    sql: &str,
    values: Vec<Value>,
) -> Result<sea_orm::QueryResult, StoreError> {
    let asked = Statement::from_sql_and_values(c.get_database_backend(), sql, values);
    c.query_one_raw(asked).await?.ok_or(StoreError::NoAnswer)
}

/// Forgets hours that are over; how many.
pub(crate) async fn prune<C: ConnectionTrait>(c: &C, now_ms: i64) -> Result<u64, StoreError> {
    let sql = "DELETE FROM quota WHERE hour_from_ms <= $1";
    let values: [Value; 1] = [(now_ms - HOUR_MS).into()];
    let gone = Statement::from_sql_and_values(c.get_database_backend(), sql, values);
    Ok(c.execute_raw(gone).await?.rows_affected())
}
