//! A part of the load of a run that another runner holds.

use std::time::{Duration, Instant};

use daemon::causes;
use loadgen::{Control, Outcome, Prepared, Shard, Snapshot};
use shared::{Reason, ReasonCode, report::ShardEnvironment};
use store::{HeldShard, ShardClaim, Store, StoreError};
use tokio::{sync::watch, time::sleep};

use crate::{
    clock::Clock,
    ending,
    heard::{Heard, heard},
    job::{Inner, MOST_PREPARATION, within},
    lease::{StopCause, StopOrder, Tenure},
    measures::{self, Told},
    spool::{Owner, Spool},
};

/// Between two looks at when the load begins.
const LOOK_FOR_START_EVERY: Duration = Duration::from_millis(100);

/// How a shard ends.
enum End {
    /// It is for another runner: no load was sent.
    GivenBack,
    /// Nobody wants it any more.
    Over,
    /// It cannot be made.
    Failed(Reason),
    /// It was made, or broken off.
    Measured(Box<Outcome>),
}

impl Inner {
    pub(crate) async fn work_off_shard(&self, claim: ShardClaim, claimed_at: Instant) {
        let (held, holder) = (claim.held.clone(), claim.holder.clone());
        let keeping = self.keep(Tenure::Shard(held.clone()), claimed_at);
        let order = keeping.order();
        tracing::info!(benchmark = %held, fence = held.run.fence, "shard taken up");
        let owner = Owner { held: held.run, shard: held.shard, runner: holder };
        let mut spool = self.spools.of(owner);
        match Box::pin(self.run_shard(claim, order, &mut spool)).await {
            End::Over => tracing::info!(benchmark = %held, "shard is wanted no more"),
            End::GivenBack => match self.store.give_back_shard(&held).await {
                Ok(()) => tracing::info!(benchmark = %held, "shard given back unstarted"),
                Err(error) => {
                    tracing::warn!(benchmark = %held, error = %causes(&error), "shard could not be given back");
                }
            },
            End::Failed(reason) => self.store_shard(&held, Some(&reason), None, spool).await,
            End::Measured(outcome) => {
                let reason = broken_off(&outcome, order.cause());
                spool.close(outcome.report.recorded.as_ref());
                self.store_shard(&held, reason.as_ref(), Some(&outcome), spool).await;
            }
        }
        keeping.end().await;
    }

    async fn run_shard(&self, claim: ShardClaim, order: &StopOrder, spool: &mut Spool) -> End {
        let ShardClaim { held, of, spec, api_key, .. } = claim;
        let key = match api_key {
            Ok(key) => key,
            Err(error) => {
                return End::Failed(Reason::new(ReasonCode::SealedKey, error.to_string()));
            }
        };
        let Some(shard) = Shard::new(held.shard, of) else { return End::Over };
        let most = store::longest_load(&spec);
        let instrument = self.instrument_of(&held.run, shard);
        let preparing = async {
            let preparing = loadgen::prepare(spec, key, &instrument);
            let prepared = tokio::time::timeout(MOST_PREPARATION, preparing).await;
            let Ok(prepared) = prepared else {
                let detail = format!("not prepared within {MOST_PREPARATION:?}");
                return Err(Reason::new(ReasonCode::RunTimeout, detail));
            };
            let prepared = prepared.map_err(|error| error.reason())?;
            Ok((prepared, Clock::certain(&self.store).await))
        };
        let (prepared, clock) = tokio::select! {
            prepared = preparing => match prepared {
                Ok(prepared) => prepared,
                Err(reason) => return End::Failed(reason),
            },
            () = order.token().cancelled() => return before_load(order),
            () = self.shutdown.draining().cancelled() => return End::GivenBack,
        };
        let environment = environment(&prepared, shard, &clock);
        match self.store.shard_ready(&held, &environment).await {
            Ok(()) => {}
            Err(StoreError::Lost(_)) => return End::Over,
            Err(error) => {
                tracing::warn!(benchmark = %held, error = %causes(&error), "cannot tell that a shard is ready");
                return End::GivenBack;
            }
        }
        let start_at_us = tokio::select! {
            start = self.start_of(&held) => match start {
                Some(start_at_us) => start_at_us,
                None => return End::Over,
            },
            () = order.token().cancelled() => return before_load(order),
            () = self.shutdown.draining().cancelled() => return End::GivenBack,
        };
        // Begun later than the others it would be another load than the one asked for.
        let Some(origin) = clock.ahead(start_at_us) else {
            let detail = "it learned of the beginning only after it";
            return End::Failed(Reason::new(ReasonCode::ShardLost, detail));
        };
        let (snapshots, watched) = watch::channel(Snapshot::default());
        let observer = tokio::spawn(observe(self.store.clone(), held.clone(), watched));
        let control = Control { stop: order.token().clone(), snapshots };
        let prepared = spool.record(prepared).starting_at(origin).until(order.deadline().clone());
        let Some(outcome) = within(most, order, prepared.run(control)).await else {
            observer.abort();
            tracing::error!(benchmark = %held, "a shard does not stop");
            return End::Failed(Reason::new(ReasonCode::RunTimeout, "it did not stop"));
        };
        if order.deadline().is_missed() {
            order.give(StopCause::LeaseLost);
        }
        let _ = observer.await;
        End::Measured(Box::new(outcome))
    }

    /// When the load begins; none: it does not.
    async fn start_of(&self, held: &HeldShard) -> Option<i64> {
        loop {
            match self.store.shard_start(held).await {
                Ok(Some(start_at_us)) => return Some(start_at_us),
                Ok(None) => {}
                Err(StoreError::Lost(_)) => return None,
                Err(error) => {
                    tracing::warn!(benchmark = %held, error = %causes(&error), "cannot ask when the load begins");
                }
            }
            sleep(LOOK_FOR_START_EVERY).await;
        }
    }

    /// Tells what a shard came to, stores its rows and tells of them: the others wait for the first
    /// alone.
    async fn store_shard(
        &self,
        held: &HeldShard,
        reason: Option<&Reason>,
        outcome: Option<&Outcome>,
        spool: Spool,
    ) {
        let (id, mut told) = (held.run.id, Heard::Yes(()));
        if let Some(outcome) = outcome {
            let figures = outcome.measured.figures.to_bytes().inspect_err(|error| {
                tracing::error!(benchmark = %held, %error, "a shard's figures cannot be sent");
            });
            let measured = figures.ok().map(|figures| (&outcome.progress, figures));
            let telling = || self.store.shard_measured(held, reason, measured.clone());
            told = heard(id, held, telling).await;
        }
        if told == Heard::Yes(()) {
            let kept = spool.keep(&self.store, self.shutdown.now()).await;
            told = heard(id, held, || self.store.end_shard(held, reason, kept.as_ref())).await;
        }
        match told {
            Heard::Yes(()) => {
                spool.remove();
                tracing::info!(benchmark = %held, ?reason, "shard is over");
            }
            Heard::TooLate => spool.settle(&self.store, self.shutdown.now()).await,
            // What is left in the file is for whoever looks there later.
            Heard::No => {}
        }
    }
}

fn before_load(order: &StopOrder) -> End {
    match order.cause() {
        Some(StopCause::Shutdown) => End::GivenBack,
        _ => End::Over,
    }
}

/// Why a shard was not made to its end; none where it was, or where the whole run was to stop.
fn broken_off(outcome: &Outcome, cause: Option<StopCause>) -> Option<Reason> {
    match cause.filter(|_| outcome.stopped)? {
        StopCause::Cancelled | StopCause::ShardLost | StopCause::Braked => None,
        cause => ending::of_stop(cause).1,
    }
}

pub(crate) fn environment(prepared: &Prepared, shard: Shard, clock: &Clock) -> ShardEnvironment {
    let environment = prepared.environment().clone();
    ShardEnvironment {
        shard: shard.index(),
        runner: environment.runner,
        host: environment.host,
        version: environment.version,
        cpus: environment.cpus,
        load_threads: environment.load_threads,
        clock_error_ms: clock.error.as_secs_f64() * 1e3,
    }
}

/// Tells the runner that holds the run how a shard goes, while it goes.
async fn observe(store: Store, held: HeldShard, mut snapshots: watch::Receiver<Snapshot>) {
    let mut written = None;
    let mut told = Told::default();
    while snapshots.changed().await.is_ok() {
        let Snapshot { progress, measured, .. } = snapshots.borrow_and_update().clone();
        told.progress(&progress);
        let new = measured.as_ref().filter(|now| {
            written.as_ref().is_none_or(|before| !std::sync::Arc::ptr_eq(before, now))
        });
        let figures = new.and_then(|measured| measured.figures.to_bytes().ok());
        match store.shard_progress(&held, &progress, figures).await {
            Ok(()) => written = measured,
            Err(error) => {
                measures::failed(&error);
                tracing::warn!(benchmark = %held, error = %causes(&error), "cannot tell how a shard goes");
            }
        }
    }
}
