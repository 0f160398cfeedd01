//! Keeping what was claimed, and noticing when it is no longer ours.

use std::time::{Duration, Instant};

use daemon::causes;
use futures::StreamExt;
use loadgen::Deadline;
use shared::BenchmarkId;
use store::{Held, HeldShard, Lease, Renewal, Store, StoreError};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::measures;

/// How often a runner looks whether somebody asked to cancel, where nothing tells it.
const LOOK_FOR_CANCEL_EVERY: Duration = Duration::from_millis(500);

/// How often a lease is renewed.
pub(crate) fn renew_interval(lease: &Lease) -> Duration {
    (lease.ttl / 12).clamp(Duration::from_millis(100), Duration::from_secs(5))
}

/// How long after the last renewal a runner stops by itself: well before anybody else may think
/// that the target is free. Only the rate of clocks matters, not what they show.
fn self_fence_after(lease: &Lease) -> Duration {
    lease.ttl.mul_f64(0.75)
}

/// Why a run is to stop before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopCause {
    /// Somebody asked.
    Cancelled,
    /// The lease is lost, or could not be renewed for too long.
    LeaseLost,
    /// This runner is to stop.
    Shutdown,
    /// It takes longer than any such run may.
    Overrun,
    /// Another runner that makes the load with this one found that it must end.
    Braked,
    /// Another runner that makes the load with this one is lost, or stopped before its time.
    ShardLost,
}

/// What a runner holds: a run, or a part of one that another holds.
#[derive(Clone, Debug)]
pub(crate) enum Tenure {
    Run(Held),
    Shard(HeldShard),
}

impl Tenure {
    fn id(&self) -> BenchmarkId {
        match self {
            Self::Run(held) => held.id,
            Self::Shard(held) => held.run.id,
        }
    }

    /// Renews it; for how long from the question on that may be relied on, where not for the whole
    /// of a lease.
    async fn renew(&self, store: &Store) -> Result<(Renewal, Duration), StoreError> {
        match self {
            Self::Run(held) => Ok((store.renew(held).await?, Duration::MAX)),
            Self::Shard(held) => store.renew_shard(held).await,
        }
    }

    async fn is_asked_to_stop(&self, store: &Store) -> Result<bool, StoreError> {
        let renewal = match self {
            Self::Run(held) => store.cancel_requested(held).await?,
            Self::Shard(held) => store.shard_asked_to_stop(held).await?.0,
        };
        Ok(renewal == Renewal::CancelRequested)
    }
}

/// The order to stop, given once: the first cause stays.
#[derive(Clone)]
pub(crate) struct StopOrder {
    token: CancellationToken,
    cause: watch::Sender<Option<StopCause>>,
    /// Until when load may be sent without a further renewal.
    deadline: Deadline,
}

impl StopOrder {
    /// None yet, for a run whose claim was asked for at `claimed_at`.
    pub(crate) fn none(claimed_at: Instant, lease: &Lease) -> Self {
        Self {
            token: CancellationToken::new(),
            cause: watch::Sender::new(None),
            deadline: Deadline::at(claimed_at + self_fence_after(lease)),
        }
    }

    pub(crate) fn give(&self, cause: StopCause) {
        self.cause
            .send_if_modified(|given| given.is_none().then(|| *given = Some(cause)).is_some());
        self.token.cancel();
    }

    pub(crate) fn cause(&self) -> Option<StopCause> {
        *self.cause.borrow()
    }

    pub(crate) fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

/// A lease that is renewed, from its claim on.
pub(crate) struct Keeping {
    order: StopOrder,
    over: CancellationToken,
    keeper: JoinHandle<()>,
}

impl Keeping {
    /// Begins to keep `held`, whose claim was asked for at `claimed_at`.
    pub(crate) fn begin(
        store: Store,
        held: Tenure,
        claimed_at: Instant,
        shutdown: CancellationToken,
    ) -> Self {
        let order = StopOrder::none(claimed_at, &store.lease());
        let over = CancellationToken::new();
        let keeper = tokio::spawn(keep(store, held, order.clone(), shutdown, over.clone()));
        Self { order, over, keeper }
    }

    /// The order that is given where it cannot be kept, or is not wanted any more.
    pub(crate) fn order(&self) -> &StopOrder {
        &self.order
    }

    /// Renews it no more.
    pub(crate) async fn end(self) {
        self.over.cancel();
        let _ = self.keeper.await;
    }
}

/// Renews the lease until `over`, and gives the order to stop when it is lost, when somebody asked
/// to cancel, or when the runner is to stop.
async fn keep(
    store: Store,
    held: Tenure,
    order: StopOrder,
    shutdown: CancellationToken,
    over: CancellationToken,
) {
    let renewing = async {
        let lease = store.lease();
        let every = renew_interval(&lease);
        let mut renewed_at = Instant::now();
        loop {
            let asked_at = Instant::now();
            match tokio::time::timeout(self_fence_after(&lease) / 4, held.renew(&store)).await {
                Ok(Ok((Renewal::Held, at_most))) => {
                    measures::renewed(asked_at - renewed_at);
                    renewed_at = asked_at;
                    order.deadline.put_off(asked_at + self_fence_after(&lease).min(at_most));
                }
                Ok(Ok((Renewal::CancelRequested, _))) => {
                    renewed_at = asked_at;
                    order.give(StopCause::Cancelled);
                }
                Ok(Ok((Renewal::Lost, _))) => order.give(StopCause::LeaseLost),
                Ok(Err(error)) => {
                    tracing::warn!(benchmark = %held.id(), error = %causes(&error), "cannot renew the lease");
                }
                Err(_) => {
                    tracing::warn!(benchmark = %held.id(), "renewing the lease takes too long");
                }
            }
            if renewed_at.elapsed() >= self_fence_after(&lease) {
                order.give(StopCause::LeaseLost);
            }
            tokio::time::sleep(every).await;
        }
    };
    tokio::select! {
        () = renewing => {}
        () = watch_for_cancel(&store, &held, &order) => {}
        () = watch_for_shutdown(&order, &shutdown) => {}
        () = over.cancelled() => {}
    }
}

async fn watch_for_cancel(store: &Store, held: &Tenure, order: &StopOrder) {
    let mut told = store.cancellations();
    loop {
        let wake = async {
            while let Some(id) = told.next().await {
                if id == held.id() {
                    return;
                }
            }
            // Nobody tells any more; the clock does.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = wake => {}
            () = tokio::time::sleep(LOOK_FOR_CANCEL_EVERY) => {}
        }
        if let Ok(true) = held.is_asked_to_stop(store).await {
            order.give(StopCause::Cancelled);
            return std::future::pending().await;
        }
    }
}

async fn watch_for_shutdown(order: &StopOrder, shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    order.give(StopCause::Shutdown);
    std::future::pending::<()>().await;
}

/// What is logged of a lost lease.
pub(crate) fn log_lost(id: BenchmarkId) {
    tracing::warn!(benchmark = %id, "this run belongs to somebody else now; its figures are dropped");
}
