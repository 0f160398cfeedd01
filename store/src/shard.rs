//! A shard of a run, as the runner sees it that makes this part of the load. Every write names the
//! run's fence and the runner: once the run is lost or over, or the shard was given to another,
//! nothing has any effect.

use std::fmt;
use std::time::Duration;

use entity::{benchmark, benchmark_secret, benchmark_shard};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use secrecy::SecretString;
use shared::report::ShardEnvironment;
use shared::{BenchmarkId, BenchmarkSpec, Progress, Reason, RunnerId, State};

use crate::lease::{Held, in_time, still};
use crate::next::{has_labels_postgres, has_labels_sqlite};
use crate::{KeptRequests, Renewal, SealedKeyError, Store, StoreError, clock, rows};

/// Shards that one claim looks at.
const MOST_LOOKED_AT: u64 = 64;

/// Whether a shard's run goes on under the claim that it is a part of, and what else is asked of `b`.
macro_rules! of_a_run {
    () => {
        "EXISTS (SELECT 1 FROM benchmark b WHERE b.id = benchmark_shard.benchmark_id \
         AND b.fence = benchmark_shard.fence AND b.status IN ('running', 'cancelling') AND "
    };
}

/// How far the runner of a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nobody has it yet.
    Waiting,
    /// A runner loads prompts and tokenizer and asks the target.
    Preparing,
    /// A runner could begin at once, or has.
    Ready,
    /// Its part of the load has been made, and it has told its figures.
    Ended,
    /// It cannot be made, or was broken off; it has told what it measured until then.
    Failed,
}

impl Status {
    /// In which of these a runner has it.
    pub(crate) const HELD: [Self; 2] = [Self::Preparing, Self::Ready];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }

    /// Whether its runner is done with it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Ended | Self::Failed)
    }
}

/// A word that is none of these.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no status of a shard")]
pub struct UnknownStatus(String);

impl std::str::FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        [Self::Waiting, Self::Preparing, Self::Ready, Self::Ended, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| UnknownStatus(word.to_owned()))
    }
}

/// A shard that a runner holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldShard {
    /// The claim of its run.
    pub run: Held,
    /// Which, from 1 on.
    pub shard: u32,
    runner: String,
}

impl fmt::Display for HeldShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, shard {}", self.run.id, self.shard)
    }
}

/// A shard taken by a runner.
#[derive(Debug)]
pub struct ShardClaim {
    /// What to write with.
    pub held: HeldShard,
    /// Who holds the run.
    pub holder: RunnerId,
    /// How many shards there are, that of the run's own runner among them.
    pub of: u32,
    /// What the run does.
    pub spec: BenchmarkSpec,
    /// The target's key; an error where it is there and cannot be opened.
    pub api_key: Result<Option<SecretString>, SealedKeyError>,
}

impl Store {
    /// Takes a shard that waits for a runner, of at most `max_users`; none where there is none.
    pub async fn claim_shard(
        &self,
        runner: &RunnerId,
        max_users: u32,
    ) -> Result<Option<ShardClaim>, StoreError> {
        let c = &self.inner.database.main;
        let waiting = waiting_for(c, runner, max_users)
            .order_by_asc(benchmark_shard::Column::BenchmarkId)
            .order_by_asc(benchmark_shard::Column::Shard)
            .limit(MOST_LOOKED_AT)
            .all(c)
            .await?;
        for shard in waiting {
            if let Some(claim) = Box::pin(self.try_shard(runner, &shard)).await? {
                return Ok(Some(claim));
            }
        }
        Ok(None)
    }

    /// Takes the shard of `found` for `runner`, if it waits still.
    async fn try_shard(
        &self,
        runner: &RunnerId,
        found: &benchmark_shard::Model,
    ) -> Result<Option<ShardClaim>, StoreError> {
        let tx = self.inner.database.begin().await?;
        let now = clock::now(&tx).await?;
        let run = Held { id: BenchmarkId(found.benchmark_id), fence: found.fence };
        let benchmark = benchmark::Entity::find().filter(still(&run)).one(&tx).await?;
        let Some(benchmark) = benchmark else { return Ok(None) };
        let taken = benchmark_shard::Entity::update_many()
            .col_expr(benchmark_shard::Column::Status, word(Status::Preparing))
            .col_expr(benchmark_shard::Column::RunnerId, Expr::value(&*runner.0))
            .col_expr(
                benchmark_shard::Column::LeaseUntilMs,
                Expr::value(now + self.lease().ttl_ms()),
            )
            .filter(benchmark_shard::Column::BenchmarkId.eq(found.benchmark_id))
            .filter(benchmark_shard::Column::Fence.eq(found.fence))
            .filter(benchmark_shard::Column::Shard.eq(found.shard))
            .filter(benchmark_shard::Column::Status.eq(Status::Waiting.as_str()))
            .exec(&tx)
            .await?;
        if taken.rows_affected != 1 {
            return Ok(None);
        }
        let others: Option<i64> = benchmark_shard::Entity::find()
            .select_only()
            .expr(Expr::col(benchmark_shard::Column::Shard).count())
            .filter(benchmark_shard::Column::BenchmarkId.eq(found.benchmark_id))
            .into_tuple()
            .one(&tx)
            .await?;
        let secret = benchmark_secret::Entity::find_by_id(found.benchmark_id).one(&tx).await?;
        let spec = rows::spec(&benchmark)?;
        tx.commit().await?;
        let of = u32::try_from(others.unwrap_or(0) + 1).unwrap_or(u32::MAX);
        let held = HeldShard { run, shard: found.shard.cast_unsigned(), runner: runner.0.clone() };
        let holder = RunnerId(benchmark.runner_id.unwrap_or_default());
        Ok(Some(ShardClaim { held, holder, of, spec, api_key: self.opened(run.id, secret, now) }))
    }

    /// Renews the lease of a shard; how long that lets its runner send load, as of when the database
    /// answered: never longer than the runner that holds the run may, so that all of a run's load
    /// has ended when somebody else may take it up.
    pub async fn renew_shard(&self, held: &HeldShard) -> Result<(Renewal, Duration), StoreError> {
        let c = &self.inner.database.lease;
        let until = clock::expr(c.get_database_backend()).add(self.lease().ttl_ms());
        let renewing = benchmark_shard::Entity::update_many()
            .col_expr(benchmark_shard::Column::LeaseUntilMs, until)
            .filter(mine(held))
            .exec(c);
        if in_time(renewing).await?.rows_affected != 1 {
            return Ok((Renewal::Lost, Duration::ZERO));
        }
        self.shard_asked_to_stop(held).await
    }

    /// The same without renewing: cheap enough to ask twice a second.
    pub async fn shard_asked_to_stop(
        &self,
        held: &HeldShard,
    ) -> Result<(Renewal, Duration), StoreError> {
        let c = &self.inner.database.lease;
        let asking = benchmark::Entity::find()
            .select_only()
            .column(benchmark::Column::Status)
            .expr(
                Expr::col(benchmark::Column::LeaseUntilMs)
                    .sub(clock::expr(c.get_database_backend())),
            )
            .filter(still(&held.run))
            .into_tuple::<(String, Option<i64>)>()
            .one(c);
        let run = in_time(asking).await?;
        let asking = benchmark_shard::Entity::find()
            .select_only()
            .column(benchmark_shard::Column::Stop)
            .filter(mine(held))
            .into_tuple::<bool>()
            .one(c);
        let stop = in_time(asking).await?;
        let (Some((status, Some(left_ms))), Some(stop)) = (run, stop) else {
            return Ok((Renewal::Lost, Duration::ZERO));
        };
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        let asked = stop || status == State::Cancelling.as_str();
        let renewal = match (asked, left) {
            (_, Duration::ZERO) => Renewal::Lost,
            (true, _) => Renewal::CancelRequested,
            (false, _) => Renewal::Held,
        };
        Ok((renewal, left))
    }

    /// Notes that a runner could begin its shard at once.
    pub async fn shard_ready(
        &self,
        held: &HeldShard,
        environment: &ShardEnvironment,
    ) -> Result<(), StoreError> {
        self.write_shard(
            held,
            &[
                (benchmark_shard::Column::Status, word(Status::Ready)),
                (benchmark_shard::Column::Environment, Expr::value(rows::json(environment))),
            ],
        )
        .await
    }

    /// When its runner is to begin, in unix microseconds by the database's clock; none: not yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Lost`] where it is not held any more.
    pub async fn shard_start(&self, held: &HeldShard) -> Result<Option<i64>, StoreError> {
        let found: Option<Option<i64>> = benchmark_shard::Entity::find()
            .select_only()
            .column(benchmark_shard::Column::StartAtUs)
            .filter(mine(held))
            .into_tuple()
            .one(&self.inner.database.main)
            .await?;
        found.ok_or(StoreError::Lost(held.run.id))
    }

    /// Stores how a shard goes, and what it has measured so far where that is given.
    pub async fn shard_progress(
        &self,
        held: &HeldShard,
        progress: &Progress,
        figures: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let mut columns =
            vec![(benchmark_shard::Column::Progress, Expr::value(rows::json(progress)))];
        columns.extend(figures.into_iter().flat_map(told));
        self.write_shard(held, &columns).await
    }

    /// Notes that the load of a shard is over, and what it measured: its runner has only its rows to
    /// store. `reason`: why it did not end as it should. Doing so twice leaves the same.
    pub async fn shard_measured(
        &self,
        held: &HeldShard,
        reason: Option<&Reason>,
        measured: Option<(&Progress, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let mut columns = vec![(benchmark_shard::Column::Measured, Expr::value(true))];
        if let Some((progress, figures)) = measured {
            columns.push((benchmark_shard::Column::Progress, Expr::value(rows::json(progress))));
            columns.extend(told(figures));
        }
        columns.extend(why(reason));
        self.write_shard(held, &columns).await
    }

    /// Ends a shard. Its rows are its run's when that ends.
    ///
    /// - `reason`: why it did not end as it should.
    /// - `requests`: its rows; none: it has none to keep.
    pub async fn end_shard(
        &self,
        held: &HeldShard,
        reason: Option<&Reason>,
        requests: Option<&KeptRequests>,
    ) -> Result<(), StoreError> {
        let status = if reason.is_some() { Status::Failed } else { Status::Ended };
        let mut columns = vec![(benchmark_shard::Column::Status, word(status))];
        if let Some(requests) = requests {
            columns.push((benchmark_shard::Column::Requests, Expr::value(rows::json(requests))));
        }
        columns.extend(why(reason));
        self.write_shard(held, &columns).await
    }

    /// Puts a shard back for another runner, before the load has begun.
    pub async fn give_back_shard(&self, held: &HeldShard) -> Result<(), StoreError> {
        let tx = self.inner.database.begin().await?;
        let given = benchmark_shard::Entity::update_many()
            .col_expr(benchmark_shard::Column::Status, word(Status::Waiting))
            .col_expr(benchmark_shard::Column::RunnerId, Expr::value(None::<String>))
            .col_expr(benchmark_shard::Column::LeaseUntilMs, Expr::value(None::<i64>))
            .filter(mine(held))
            .filter(benchmark_shard::Column::StartAtUs.is_null())
            .exec(&tx)
            .await?;
        if given.rows_affected != 1 {
            return Err(StoreError::Lost(held.run.id));
        }
        crate::queue::push(&tx, held.run.id, None).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The database's clock, in unix microseconds; to the millisecond on SQLite.
    pub async fn clock_us(&self) -> Result<i64, StoreError> {
        clock::now_us(&self.inner.database.lease).await
    }

    async fn write_shard(
        &self,
        held: &HeldShard,
        columns: &[(benchmark_shard::Column, SimpleExpr)],
    ) -> Result<(), StoreError> {
        let writing = columns
            .iter()
            .fold(benchmark_shard::Entity::update_many(), |writing, (column, value)| {
                writing.col_expr(*column, value.clone())
            });
        let written = writing.filter(mine(held)).exec(&self.inner.database.main).await?;
        if written.rows_affected == 1 { Ok(()) } else { Err(StoreError::Lost(held.run.id)) }
    }
}

/// Shards that wait for a runner and that `runner`, which takes `max_users`, may take: it has the
/// labels that are asked for.
fn waiting_for<C: ConnectionTrait>(
    c: &C,
    runner: &RunnerId,
    max_users: u32,
) -> Select<benchmark_shard::Entity> {
    let of_its_runs = if clock::is_postgres(c) {
        concat!(of_a_run!(), has_labels_postgres!("(SELECT $1)"), ")")
    } else {
        concat!(of_a_run!(), has_labels_sqlite!("(SELECT ?)"), ")")
    };
    let waiting = benchmark_shard::Column::Status.eq(Status::Waiting.as_str());
    let fits = benchmark_shard::Column::Users.lte(i32::try_from(max_users).unwrap_or(i32::MAX));
    benchmark_shard::Entity::find()
        .filter(waiting.and(fits))
        .filter(Expr::cust_with_values(of_its_runs, [runner.0.as_str()]))
}

/// Whether a shard waits that `runner`, which takes `max_users`, may take.
pub(crate) async fn waits_for<C: ConnectionTrait>(
    c: &C,
    runner: &RunnerId,
    max_users: u32,
) -> Result<bool, StoreError> {
    let found: Option<i32> = waiting_for(c, runner, max_users)
        .select_only()
        .column(benchmark_shard::Column::Shard)
        .into_tuple()
        .one(c)
        .await?;
    Ok(found.is_some())
}

fn word(status: Status) -> SimpleExpr {
    Expr::value(status.as_str())
}

fn why(reason: Option<&Reason>) -> Option<(benchmark_shard::Column, SimpleExpr)> {
    reason.map(|reason| (benchmark_shard::Column::Reason, Expr::value(rows::json(reason))))
}

fn told(figures: Vec<u8>) -> [(benchmark_shard::Column, SimpleExpr); 2] {
    let next = Expr::col(benchmark_shard::Column::FiguresSeq).add(1);
    [
        (benchmark_shard::Column::Figures, Expr::value(figures)),
        (benchmark_shard::Column::FiguresSeq, next),
    ]
}

/// The row of `held`, as long as that runner has it and its run goes on under the same claim.
fn mine(held: &HeldShard) -> Expr {
    let run = Query::select()
        .column(benchmark::Column::Id)
        .from(benchmark::Entity)
        .and_where(still(&held.run))
        .to_owned();
    benchmark_shard::Column::BenchmarkId
        .eq(held.run.id.0)
        .and(benchmark_shard::Column::BenchmarkId.in_subquery(run))
        .and(benchmark_shard::Column::Fence.eq(held.run.fence))
        .and(benchmark_shard::Column::Shard.eq(held.shard.cast_signed()))
        .and(benchmark_shard::Column::RunnerId.eq(&*held.runner))
        .and(benchmark_shard::Column::Status.is_in(Status::HELD.map(Status::as_str)))
}
