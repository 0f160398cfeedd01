//! One benchmark, from its claim to its end.

use std::{
    path::Path,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use daemon::{Shutdown, causes};
use loadgen::{Control, Prepared, Shard, Snapshot};
use shared::{BenchmarkId, Phase, Reason, ReasonCode, Report, RunnerId, State};
use store::{Claim, Ending, Held, Neighbour, Store, StoreError};
use tokio::sync::{Semaphore, watch};

use crate::{
    Settings, ending,
    gathering::{Gathering, Together},
    heard::{Heard, heard},
    lease::{Keeping, StopCause, StopOrder, Tenure},
    measures, observer, recorded,
    registry::Registry,
    shard,
    spool::{self, Owner, Spool, Spools},
};

/// How long loading prompts and tokenizer and asking the target may take.
pub(crate) const MOST_PREPARATION: Duration = Duration::from_mins(10);
/// How long a run that was told to stop may take to do so.
const MOST_STOPPING: Duration =
    if cfg!(test) { Duration::from_millis(100) } else { Duration::from_mins(1) };
/// Where runs are taken up, one at a time: two at once would measure each other.
#[derive(Clone)]
pub(crate) struct Desk(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    runner: RunnerId,
    max_users: u32,
    instrument: loadgen::Settings,
    pub(crate) spools: Spools,
    seat: Arc<Semaphore>,
    pub(crate) shutdown: Shutdown,
}

impl Desk {
    pub(crate) fn new(
        settings: &Settings,
        store: Store,
        data_dir: &Path,
        registry: &Registry,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let own = store.server().into_iter().collect();
        let checkpoint_every = Duration::from_secs(settings.checkpoint_s.into());
        Ok(Self(Arc::new(Inner {
            instrument: settings.instrument(own, data_dir, registry.name())?,
            spools: Spools::new(spool::folder(data_dir), checkpoint_every),
            runner: registry.id().clone(),
            max_users: registry.max_users(),
            store,
            seat: Arc::new(Semaphore::new(1)),
            shutdown,
        })))
    }

    /// Looks for work and does it until there is none. May be dropped at any await: what was taken
    /// up goes on in its own task.
    pub(crate) async fn look(self) {
        let Ok(seat) = Arc::clone(&self.0.seat).acquire_owned().await else { return };
        let working = tokio::spawn(async move {
            let _seat = seat;
            while !self.0.shutdown.draining().is_cancelled() {
                match self.0.work_next().await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(error = %causes(&error), "cannot look for work");
                        break;
                    }
                }
            }
        });
        if let Err(panicked) = working.await {
            tracing::error!(%panicked, "a run broke off; its lease will run out");
        }
    }

    /// Takes up nothing more and waits for what is under way.
    pub(crate) async fn close(&self) {
        let _seat = self.0.seat.acquire().await;
        self.0.seat.close();
    }
}

impl Inner {
    /// Takes up what is next and does it; false where there is nothing.
    async fn work_next(&self) -> Result<bool, StoreError> {
        let claimed_at = Instant::now();
        match self.store.claim(&self.runner, self.max_users).await {
            Ok(Some(claim)) => Box::pin(self.work_off(claim, claimed_at)).await,
            Ok(None) => return Ok(false),
            // Parts first: others wait for them, with their hands full.
            Err(StoreError::ShardWaits) => {
                let claimed_at = Instant::now();
                // None: somebody else was quicker.
                if let Some(claim) = self.store.claim_shard(&self.runner, self.max_users).await? {
                    Box::pin(self.work_off_shard(claim, claimed_at)).await;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    async fn work_off(&self, claim: Claim, claimed_at: Instant) {
        let held = claim.held;
        let keeping = self.keep(Tenure::Run(held), claimed_at);
        let order = keeping.order();
        tracing::info!(benchmark = %held.id, fence = held.fence, "run taken up");
        let mut spool = self.spool_of(held);
        match Box::pin(self.run(claim, order, &mut spool)).await {
            Some(ending) => Box::pin(self.store_ending(&held, ending, spool)).await,
            None => self.give_back(&held).await,
        }
        keeping.end().await;
    }

    /// Keeps what was claimed at `claimed_at`.
    pub(crate) fn keep(&self, tenure: Tenure, claimed_at: Instant) -> Keeping {
        Keeping::begin(self.store.clone(), tenure, claimed_at, self.shutdown.now().clone())
    }

    /// Runs it; none when it is to be given back, because this runner is to take up nothing more and
    /// no load was sent.
    async fn run(&self, claim: Claim, order: &StopOrder, spool: &mut Spool) -> Option<Ending> {
        let Claim { held, spec, shards, attempt, api_key } = claim;
        let key = match api_key {
            Ok(key) => key,
            Err(error) => {
                let reason = Reason::new(ReasonCode::SealedKey, error.to_string());
                return Some(ending::without_load(State::Failed, reason));
            }
        };
        let most = store::longest_load(&spec);
        observer::announce(&self.store, &held, Phase::Preparing).await;
        let gathering = Gathering::of(&self.store, held, shards);
        let first = Shard::new(0, shards).unwrap_or_default();
        let instrument = self.instrument_of(&held, first);
        let prepared = tokio::select! {
            prepared = tokio::time::timeout(MOST_PREPARATION, loadgen::prepare(spec, key, &instrument)) => prepared,
            () = order.token().cancelled() => return stopped_before_load(order),
            () = self.shutdown.draining().cancelled() => return stopped_before_load(order),
        };
        let prepared = match prepared {
            Ok(Ok(prepared)) => prepared.as_attempt(attempt),
            Ok(Err(error)) => return Some(ending::without_load(State::Failed, error.reason())),
            Err(_) => {
                let detail = format!("not prepared within {MOST_PREPARATION:?}");
                let reason = Reason::new(ReasonCode::RunTimeout, detail);
                return Some(ending::without_load(State::TimedOut, reason));
            }
        };
        let clock = match &gathering {
            Some(gathering) => {
                observer::announce(&self.store, &held, Phase::Gathering).await;
                let ready = tokio::select! {
                    ready = gathering.ready() => ready,
                    () = order.token().cancelled() => return stopped_before_load(order),
                    () = self.shutdown.draining().cancelled() => return stopped_before_load(order),
                };
                match ready {
                    Ok(clock) => Some(clock),
                    Err(reason) => return Some(ending::without_load(State::Failed, reason)),
                }
            }
            None => None,
        };
        if self.shutdown.draining().is_cancelled() {
            return stopped_before_load(order);
        }
        if let Err(error) = self.store.note_addresses(&held, &prepared.addresses()).await {
            tracing::warn!(benchmark = %held.id, error = %causes(&error), "cannot note where the target is");
        }
        // Committed before the first request: from here on this run is never started again.
        let started = match (gathering, clock) {
            (Some(gathering), Some(clock)) => {
                let own = shard::environment(&prepared, first, &clock);
                gathering.start(prepared.model(), own, clock).await.map(Some)
            }
            _ => self.store.load_starts(&held, prepared.model()).await.map(|()| None),
        };
        match started {
            Ok(together) => {
                Some(Box::pin(self.drive(prepared, &held, most, order, together, spool)).await)
            }
            Err(lost @ StoreError::Lost(_)) => {
                measures::failed(&lost);
                order.give(StopCause::LeaseLost);
                stopped_before_load(order)
            }
            Err(StoreError::CancelRequested(_)) => {
                order.give(StopCause::Cancelled);
                stopped_before_load(order)
            }
            Err(error) => {
                tracing::warn!(benchmark = %held.id, error = %causes(&error), "cannot begin the load");
                None
            }
        }
    }

    async fn drive(
        &self,
        prepared: Prepared,
        held: &Held,
        most: Duration,
        order: &StopOrder,
        together: Option<Together>,
        spool: &mut Spool,
    ) -> Ending {
        let (snapshots, watched) = watch::channel(Snapshot::default());
        let gathering = together.as_ref().map(|together| together.gathering.clone());
        let observer =
            tokio::spawn(observer::observe(self.store.clone(), *held, watched, gathering));
        let control = Control { stop: order.token().clone(), snapshots };
        let prepared = spool.record(prepared);
        let prepared = match &together {
            Some(together) => together.begin(prepared, order),
            None => prepared,
        };
        let run = prepared.until(order.deadline().clone()).run(control);
        let watcher = together.as_ref().map(|together| together.watch(order));
        let outcome = within(most, order, run).await;
        if let Some(watcher) = watcher {
            watcher.abort();
        }
        let Some(mut outcome) = outcome else {
            observer.abort();
            tracing::error!(benchmark = %held.id, "a run does not stop");
            let (to, reason) = ending::of_stop(order.cause().unwrap_or(StopCause::Overrun));
            return ending::of_nothing(to, reason);
        };
        if order.deadline().is_missed() {
            order.give(StopCause::LeaseLost);
        }
        let _ = observer.await;
        let lost = match &together {
            Some(together) => together.end(&mut outcome, order, most).await,
            None => None,
        };
        if let Err(error) = self.store.progress(held, &outcome.progress, None).await {
            tracing::warn!(benchmark = %held.id, error = %causes(&error), "cannot store progress");
        }
        spool.close(outcome.report.recorded.as_ref());
        let keeping = spool.keep(&self.store, self.shutdown.now());
        let kept = if let Some(together) = &together {
            let others = together.rows(self.shutdown.now());
            let (own, others) = tokio::join!(keeping, others);
            let kept: Vec<_> = std::iter::once(own.clone()).chain(others).collect();
            recorded::together(&mut outcome.report, &kept);
            own
        } else {
            let own = keeping.await;
            recorded::alone(&mut outcome.report, own.as_ref());
            own
        };
        match self.store.neighbours(held).await {
            Ok(neighbours) => tell_of(&neighbours, &mut outcome.report),
            Err(error) => {
                tracing::warn!(benchmark = %held.id, error = %causes(&error), "cannot look for others at its target");
            }
        }
        ending::of_outcome(outcome, order.cause(), lost, kept.and_then(Result::ok))
    }

    /// Where the rows of the run `held` lie that this runner sends itself.
    fn spool_of(&self, held: Held) -> Spool {
        self.spools.of(Owner { held, shard: 0, runner: self.runner.clone() })
    }

    /// What the instrument needs to make a shard of a run.
    pub(crate) fn instrument_of(&self, held: &Held, shard: Shard) -> loadgen::Settings {
        let label = format!("benchmark {}; run {}", held.id, held.fence);
        loadgen::Settings { label, shard, ..self.instrument.clone() }
    }

    /// Stores the end, and tries again as long as the database is out of reach.
    async fn store_ending(&self, held: &Held, ending: Ending, spool: Spool) {
        match heard(held.id, held.id, || self.store.finish(held, ending.clone())).await {
            Heard::Yes(state) => {
                spool.remove();
                tracing::info!(benchmark = %held.id, %state, reason = ?ending.reason, "run is over");
            }
            Heard::TooLate => spool.settle(&self.store, self.shutdown.now()).await,
            // What is left in the file is for whoever looks there later.
            Heard::No => {}
        }
    }

    async fn give_back(&self, held: &Held) {
        match self.store.give_back(held).await {
            Ok(()) => tracing::info!(benchmark = %held.id, "run given back unstarted"),
            Err(StoreError::CancelRequested(_)) => {
                let (to, reason) = ending::of_stop(StopCause::Cancelled);
                let ending = ending::of_nothing(to, reason);
                Box::pin(self.store_ending(held, ending, self.spool_of(*held))).await;
            }
            Err(error) => {
                measures::failed(&error);
                log_not_given_back(held.id, &error);
            }
        }
    }
}

/// What comes of `run`, which is told to stop after `most`; none where it does not even then.
pub(crate) async fn within<T>(
    most: Duration,
    order: &StopOrder,
    run: impl Future<Output = T>,
) -> Option<T> {
    let mut run = pin!(run);
    tokio::select! {
        outcome = &mut run => return Some(outcome),
        () = tokio::time::sleep(most) => order.give(StopCause::Overrun),
    }
    tokio::time::timeout(MOST_STOPPING, run).await.ok()
}

/// Says in the report who else had load where its target is.
fn tell_of(neighbours: &[Neighbour], report: &mut Report) {
    let told = neighbours.iter().map(|Neighbour { id, address }| {
        format!(
            "benchmark {id} had load at {address} meanwhile, where this one's target is, too: names in \
             TARGET_ALIASES wait for each other"
        )
    });
    report.validity.reasons.extend(told);
}

fn stopped_before_load(order: &StopOrder) -> Option<Ending> {
    match order.cause() {
        Some(StopCause::Cancelled) => {
            let (to, reason) = ending::of_stop(StopCause::Cancelled);
            Some(ending::of_nothing(to, reason))
        }
        _ => None,
    }
}

fn log_not_given_back(id: BenchmarkId, error: &StoreError) {
    tracing::warn!(benchmark = %id, error = %causes(error), "run could not be given back; its lease will run out");
}

#[cfg(test)]
mod tests {
    use store::Lease;

    use super::*;

    fn order() -> StopOrder {
        StopOrder::none(Instant::now(), &Lease::default())
    }

    #[tokio::test]
    async fn what_ends_in_time_is_left_alone() {
        let order = order();
        assert_eq!(within(Duration::from_mins(1), &order, async { 1 }).await, Some(1));
        assert_eq!(order.cause(), None);
    }

    #[tokio::test]
    async fn what_does_not_is_told_to_stop_and_given_up_where_it_will_not() {
        let told = order();
        let stops = async {
            told.token().cancelled().await;
            2
        };
        assert_eq!(within(Duration::from_millis(10), &told, stops).await, Some(2));
        assert_eq!(told.cause(), Some(StopCause::Overrun));
        let (to, reason) = ending::of_stop(StopCause::Overrun);
        assert_eq!((to, reason.unwrap().code), (State::TimedOut, ReasonCode::RunTimeout));

        let hanging = order();
        let hung = within(Duration::from_millis(10), &hanging, std::future::pending::<()>());
        assert_eq!(hung.await, None);
    }
}
