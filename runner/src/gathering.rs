//! The runners that make the load of one run together, as seen by the one that holds the run: it
//! waits until all of them are ready, has them begin at one instant, stops them all where one is
//! lost, and puts together what they measured.

use std::{sync::Arc, time::Duration};

use daemon::causes;
use loadgen::{Figures, Measured, Outcome, Prepared, Snapshot};
use shared::{Progress, Reason, ReasonCode, Report, SecondRow, report::ShardEnvironment};
use store::{Held, KeptRequests, ShardState, ShardStatus, Store, StoreError};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    lease::{StopCause, StopOrder},
    spool,
};

/// From the moment at which all are ready to the first request: time for all to learn of it.
pub(crate) const START_AHEAD: Duration = Duration::from_secs(2);
/// How long the others may take to be ready once this runner is.
const MOST_GATHERING: Duration = Duration::from_secs(30);
/// How long they may take to tell what they measured once they are to stop.
const MOST_STOPPING: Duration = Duration::from_secs(30);
/// Between two looks at whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two looks at whether they still make their load.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// Between two offers of what nobody has taken.
const OFFER_EVERY: Duration = Duration::from_secs(5);

/// The other runners of a run.
#[derive(Clone)]
pub(crate) struct Gathering {
    store: Store,
    held: Held,
    of: u32,
}

/// A load that is made together.
pub(crate) struct Together {
    pub(crate) gathering: Gathering,
    /// Where this runner's part is made.
    own: ShardEnvironment,
    /// When all begin; none: that has been.
    origin: Option<std::time::Instant>,
}

/// What was put together last of what all of them told.
#[derive(Default)]
pub(crate) struct Joined(Option<(Arc<Measured>, Arc<Told>)>);

/// The figures so far, as they are told.
type Told = (Report, Vec<SecondRow>);

/// What has become of the other runners' shards.
struct Gathered {
    figures: Vec<Figures>,
    environments: Vec<ShardEnvironment>,
    /// Why the run is no whole one; none: all of them ended as they should.
    lost: Option<Reason>,
}

impl Together {
    /// `prepared` as it is to begin; at once where the beginning has been, only to be stopped.
    pub(crate) fn begin(&self, prepared: Prepared, order: &StopOrder) -> Prepared {
        let Some(origin) = self.origin else {
            order.give(StopCause::ShardLost);
            return prepared;
        };
        prepared.starting_at(origin)
    }

    /// Watches the others, in a task of its own.
    pub(crate) fn watch(&self, order: &StopOrder) -> JoinHandle<()> {
        let (gathering, order) = (self.gathering.clone(), order.clone());
        tokio::spawn(async move { gathering.watch(&order).await })
    }

    /// Makes `outcome`, which is this runner's, that of all, and says why it is no whole one, if so.
    ///
    /// - `most`: how long the others may take to end.
    pub(crate) async fn end(
        &self,
        outcome: &mut Outcome,
        order: &StopOrder,
        most: Duration,
    ) -> Option<Reason> {
        // What was measured ended it, not somebody's order.
        let is_braked = order.cause() == Some(StopCause::Braked);
        outcome.stopped = outcome.stopped && !is_braked;
        let stop = order.cause().is_some() || outcome.report.stopped.is_some();
        let most = if stop { most.min(MOST_STOPPING) } else { most };
        let gathered = self.gathering.ended(stop, most).await;
        outcome.join(&gathered.figures);
        let shards = std::iter::once(self.own.clone()).chain(gathered.environments);
        outcome.report.environment.shards = shards.collect();
        outcome.progress = self.gathering.progress(&outcome.progress).await;
        gathered.lost
    }

    /// What has become of the rows of the others, in the order of their shards, once all have told;
    /// none: that one has not, and will not.
    pub(crate) async fn rows(&self, shutdown: &CancellationToken) -> Vec<Option<KeptRequests>> {
        let shards = tokio::select! {
            shards = self.gathering.stored() => shards,
            () = spool::too_late(shutdown) => self.gathering.known().await,
        };
        let of = |number| shards.iter().find(|shard| shard.shard == number);
        (1..self.gathering.of).map(|number| of(number)?.requests.clone()).collect()
    }
}

impl Gathering {
    /// None where one runner makes the whole load.
    pub(crate) fn of(store: &Store, held: Held, of: u32) -> Option<Self> {
        (of > 1).then(|| Self { store: store.clone(), held, of })
    }

    /// Waits until all are ready, this runner too: until it knows the database's clock.
    ///
    /// # Errors
    ///
    /// Why they will not be.
    pub(crate) async fn ready(&self) -> Result<Clock, Reason> {
        let Ok(clock) = timeout(MOST_GATHERING, Clock::certain(&self.store)).await else {
            let detail = "the database's clock is too far away to begin together with others";
            return Err(Reason::new(ReasonCode::GatherTimeout, detail));
        };
        self.others_ready().await.map(|()| clock)
    }

    async fn others_ready(&self) -> Result<(), Reason> {
        let begun = Instant::now();
        let mut offered_at = begun;
        loop {
            let shards = match self.store.shards(&self.held).await {
                Ok(shards) => shards,
                Err(error) => {
                    tracing::warn!(benchmark = %self.held.id, error = %causes(&error), "cannot look for the other runners");
                    Vec::new()
                }
            };
            if let Some(failed) = shards.iter().find(|shard| shard.status == ShardStatus::Failed) {
                let why = failed.reason.clone();
                return Err(why.unwrap_or_else(|| lost(failed)));
            }
            let ready = |shard: &ShardState| shard.status == ShardStatus::Ready && !shard.is_silent;
            let count = shards.iter().filter(|shard| ready(shard)).count();
            if u32::try_from(count).is_ok_and(|count| count + 1 == self.of) {
                return Ok(());
            }
            if begun.elapsed() >= MOST_GATHERING {
                return Err(self.not_ready(&shards, count + 1));
            }
            let is_silent = shards.iter().any(|shard| shard.is_silent);
            if is_silent || offered_at.elapsed() >= OFFER_EVERY {
                offered_at = Instant::now();
                if let Err(error) = self.store.offer_shards_again(&self.held).await {
                    tracing::warn!(benchmark = %self.held.id, error = %causes(&error), "cannot call the other runners");
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn not_ready(&self, shards: &[ShardState], ready: usize) -> Reason {
        let others =
            shards.iter().filter(|shard| shard.status != ShardStatus::Ready).map(|shard| {
                let (number, runner) = (shard.shard, shard.runner.as_deref());
                match runner {
                    Some(runner) => format!("shard {number} is being prepared by runner {runner}"),
                    None => format!("shard {number} has no runner"),
                }
            });
        let others: Vec<String> = others.collect();
        let detail = format!(
            "{ready} of {} runners were ready within {} s; {}",
            self.of,
            MOST_GATHERING.as_secs(),
            others.join(", ")
        );
        Reason::new(ReasonCode::GatherTimeout, detail)
    }

    /// Notes that the load begins: all of them begin at one instant.
    ///
    /// - `own`: where this runner's part is made.
    pub(crate) async fn start(
        self,
        model: &str,
        own: ShardEnvironment,
        clock: Clock,
    ) -> Result<Together, StoreError> {
        let Self { store, held, of } = &self;
        let start_at_us = store.load_starts_together(held, model, *of, START_AHEAD).await?;
        Ok(Together { gathering: self, own, origin: clock.ahead(start_at_us) })
    }

    /// Gives the order to stop where a runner is lost, or has stopped before its time. Never ends.
    async fn watch(&self, order: &StopOrder) {
        let mut over_before = 0;
        loop {
            sleep(WATCH_EVERY).await;
            let shards = match self.store.shards(&self.held).await {
                Ok(shards) => shards,
                Err(error) => {
                    tracing::warn!(benchmark = %self.held.id, error = %causes(&error), "cannot watch the other runners");
                    continue;
                }
            };
            if shards.iter().any(is_lost) {
                order.give(StopCause::ShardLost);
            }
            // Of those that have ended, one may have because of what it measured.
            let over = shards.iter().filter(|shard| shard.is_measured).count();
            if over > over_before {
                over_before = over;
                if self.figures().await.iter().any(|figures| figures.stopped().is_some()) {
                    order.give(StopCause::Braked);
                }
            }
        }
    }

    /// Waits until the others have told all they measured, for `most` at most. `stop`: they are to
    /// stop at once.
    async fn ended(&self, stop: bool, most: Duration) -> Gathered {
        let give_up_at = Instant::now() + most;
        let mut stop = stop;
        let mut told = false;
        let shards = loop {
            if stop && !told {
                match self.store.stop_shards(&self.held).await {
                    Ok(()) => told = true,
                    Err(StoreError::Lost(_)) => break Vec::new(),
                    Err(error) => {
                        tracing::warn!(benchmark = %self.held.id, error = %causes(&error), "cannot stop the other runners");
                    }
                }
            }
            match self.store.shards(&self.held).await {
                Ok(shards) => {
                    let is_done = |shard: &ShardState| shard.is_measured || shard.is_silent;
                    if shards.iter().all(is_done) || Instant::now() >= give_up_at {
                        break shards;
                    }
                    stop = stop || shards.iter().any(is_lost);
                }
                Err(error) => {
                    tracing::warn!(benchmark = %self.held.id, error = %causes(&error), "cannot hear the other runners");
                    if Instant::now() >= give_up_at {
                        break Vec::new();
                    }
                }
            }
            sleep(LOOK_EVERY).await;
        };
        let lost = match shards.iter().find(|shard| is_lost(shard) || !shard.is_measured) {
            Some(shard) => Some(lost(shard)),
            None if shards.is_empty() => {
                let detail = "the other runners could not be heard";
                Some(Reason::new(ReasonCode::ShardLost, detail))
            }
            None => None,
        };
        let figures = self.figures().await;
        let is_whole = figures.len() + 1 == self.of as usize;
        let untold = || {
            let detail =
                "what another runner measured cannot be read; its log and this one's say why";
            Reason::new(ReasonCode::ShardLost, detail)
        };
        let environments = shards.into_iter().filter_map(|shard| shard.environment).collect();
        let lost = lost.or_else(|| (!is_whole).then(untold));
        Gathered { figures, environments, lost }
    }

    /// The others' shards once all of them have stored their rows, or will not.
    async fn stored(&self) -> Vec<ShardState> {
        let mut heard_at = Instant::now();
        loop {
            match self.store.shards(&self.held).await {
                Ok(shards) => {
                    let is_done = |shard: &ShardState| shard.status.is_over() || shard.is_silent;
                    if shards.iter().all(is_done) {
                        return shards;
                    }
                    heard_at = Instant::now();
                }
                Err(error) => {
                    tracing::warn!(benchmark = %self.held.id, error = %causes(&error), "cannot hear of the other runners' rows");
                    if heard_at.elapsed() >= MOST_STOPPING {
                        return Vec::new();
                    }
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The others' shards as far as they can be asked for.
    async fn known(&self) -> Vec<ShardState> {
        self.store.shards(&self.held).await.unwrap_or_default()
    }

    /// What the others have measured so far, as far as they told.
    async fn figures(&self) -> Vec<Figures> {
        let told = match self.store.shard_figures(&self.held).await {
            Ok(told) => told,
            Err(error) => {
                tracing::warn!(benchmark = %self.held.id, error = %causes(&error), "cannot read the other runners' figures");
                return Vec::new();
            }
        };
        let read = |(shard, bytes): (u32, Vec<u8>)| match Figures::from_bytes(&bytes) {
            Ok(figures) => Some(figures),
            Err(error) => {
                tracing::error!(benchmark = %self.held.id, shard, %error, "another runner's figures cannot be read");
                None
            }
        };
        told.into_iter().filter_map(read).collect()
    }

    /// This runner's snapshot with what the others have told; its figures where they are new, those
    /// of before where they are not.
    pub(crate) async fn join(&self, own: Snapshot, joined: &mut Joined) -> Snapshot {
        if let Some(measured) = &own.measured {
            let is_told = joined.0.as_ref().is_some_and(|(last, _)| Arc::ptr_eq(last, measured));
            if !is_told {
                let mut all = (**measured).clone();
                all.join(&self.figures().await);
                let figures = Arc::new((all.report(), all.series()));
                joined.0 = Some((Arc::clone(measured), figures));
            }
        }
        let partial = joined.0.as_ref().map(|(_, figures)| Arc::clone(figures));
        Snapshot { progress: self.progress(&own.progress).await, partial, ..own }
    }

    /// `own` and what the others have told of themselves, together.
    async fn progress(&self, own: &Progress) -> Progress {
        let shards = self.known().await;
        let others = shards.iter().filter_map(|shard| shard.progress.as_ref());
        others.fold(own.clone(), |sum, other| Progress {
            requests: sum.requests + other.requests,
            errors: sum.errors + other.errors,
            in_flight: sum.in_flight + other.in_flight,
            output_tokens: sum.output_tokens + other.output_tokens,
            ..sum
        })
    }
}

/// Whether its part of the load is not made to the end.
fn is_lost(shard: &ShardState) -> bool {
    let is_silent = shard.is_silent && !shard.is_measured;
    let is_left = matches!(shard.status, ShardStatus::Failed | ShardStatus::Waiting);
    is_silent || is_left || shard.reason.is_some()
}

fn lost(shard: &ShardState) -> Reason {
    let number = shard.shard;
    let runner = shard.runner.as_deref().unwrap_or("unknown");
    let detail = match &shard.reason {
        Some(reason) => format!("shard {number} of runner {runner}: {}", reason.detail),
        None if shard.is_silent => format!("runner {runner} of shard {number} went silent"),
        None => format!("runner {runner} of shard {number} did not end it"),
    };
    Reason::new(ReasonCode::ShardLost, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_lost_where_its_load_is_not_made_and_not_where_only_its_rows_are_missing() {
        let making = ShardState {
            shard: 1,
            status: ShardStatus::Ready,
            runner: Some("b".to_owned()),
            is_silent: false,
            environment: None,
            reason: None,
            progress: None,
            figures_seq: 1,
            is_measured: false,
            requests: None,
        };
        let storing = ShardState { is_measured: true, ..making.clone() };
        let over = ShardState { status: ShardStatus::Ended, ..storing.clone() };
        let silent = |shard: &ShardState| ShardState { is_silent: true, ..shard.clone() };
        for well in [&making, &storing, &over, &silent(&storing)] {
            assert!(!is_lost(well), "{well:?}");
        }
        let why = Reason::new(ReasonCode::RunnerShutdown, "the runner was stopped");
        let broken_off = ShardState { reason: Some(why), ..storing.clone() };
        let failed = ShardState { status: ShardStatus::Failed, ..broken_off.clone() };
        let taken_back = ShardState { status: ShardStatus::Waiting, ..making.clone() };
        for badly in [&silent(&making), &broken_off, &failed, &taken_back] {
            assert!(is_lost(badly), "{badly:?}");
        }
    }
}
