//! How much one owner may ask for.

use sea_orm::{ConnectionTrait, Statement, Value};

use crate::{Rules, StoreError};

const HOUR_MS: i64 = 60 * 60 * 1_000;
/// After how long somebody with too much in the queue may ask again.
const RETRY_QUEUED_S: u64 = 30;

/// A limit on what one owner may have, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// `queued` or `runs`.
    pub name: &'static str,
    /// How many there may be.
    pub limit: u32,
    /// Of how many seconds; none: at once.
    pub window_s: Option<u64>,
    /// How many more there may be now.
    pub left: u32,
    /// After how many seconds it makes sense to ask for more than that; none: nobody can say.
    pub more_in_s: Option<u64>,
}

/// Charges `owner` for one more benchmark, within the transaction that makes it: of several at once
/// each waits for the one before, so that they cannot all be the last that is allowed.
///
/// What is left then of each limit that there is; [`StoreError::Quota`] with the one that has been
/// reached.
pub(crate) async fn charge<C: ConnectionTrait>(
    c: &C,
    rules: &Rules,
    owner: &str,
    now_ms: i64,
) -> Result<Vec<Quota>, StoreError> {
    let mut quotas = Vec::new();
    if rules.quota_queued.is_none() && rules.quota_runs_per_hour.is_none() {
        return Ok(quotas);
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
    if let Some(limit) = rules.quota_runs_per_hour {
        let over_in_ms = u64::try_from(from_ms + HOUR_MS - now_ms).unwrap_or(0);
        let more_in_s = Some(over_in_ms.div_ceil(1_000).max(1));
        let runs = Quota { name: "runs", limit, window_s: Some(3_600), left: 0, more_in_s };
        quotas.push(runs.with(used)?);
    }
    if let Some(limit) = rules.quota_queued {
        let sql = "SELECT (SELECT count(*) FROM benchmark WHERE owner = $1 AND status = 'queued') \
             + (SELECT count(*) FROM benchmark WHERE owner = $1 \
             AND status IN ('running', 'cancelling'))";
        let row = one(c, sql, vec![owner.into()]).await?;
        let queued = Quota { name: "queued", limit, window_s: None, left: 0, more_in_s: None };
        let taken = queued.with(row.try_get_by_index::<i64>(0)? + 1);
        quotas.push(taken?);
    }
    Ok(quotas)
}

impl Quota {
    /// The same when `used` of it are taken.
    ///
    /// # Errors
    ///
    /// [`StoreError::Quota`] where those are more than there may be.
    fn with(self, used: i64) -> Result<Self, StoreError> {
        if let Ok(left) = u32::try_from(i64::from(self.limit) - used) {
            return Ok(Self { left, ..self });
        }
        let more_in_s = self.more_in_s.or(Some(RETRY_QUEUED_S));
        Err(StoreError::Quota(Self { more_in_s, ..self }))
    }
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
