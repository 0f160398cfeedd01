//! Tells the database how a run goes, while it goes.

use std::sync::Arc;

use daemon::causes;
use loadgen::Snapshot;
use shared::{Phase, Progress};
use store::{Held, Store};
use tokio::sync::watch;

use crate::measures::{self, Told};

/// Writes each snapshot, until the run is over. The figures so far are written when there are new
/// ones. A write that fails is left out: the next one says more.
pub(crate) async fn observe(store: Store, held: Held, mut snapshots: watch::Receiver<Snapshot>) {
    let mut written = None;
    let mut told = Told::default();
    while snapshots.changed().await.is_ok() {
        let Snapshot { progress, partial } = snapshots.borrow_and_update().clone();
        told.progress(&progress);
        let is_new =
            |figures: &&Arc<_>| !written.as_ref().is_some_and(|w| Arc::ptr_eq(w, *figures));
        let figures = partial.as_ref().filter(is_new);
        let outcome = store
            .progress(&held, &progress, figures.map(|figures| (&figures.0, figures.1.as_slice())))
            .await;
        match outcome {
            Ok(()) => written = partial,
            Err(error) => {
                measures::failed(&error);
                tracing::warn!(benchmark = %held.id, error = %causes(&error), "cannot store progress");
            }
        }
    }
}

/// Says that a run has begun, before there is anything to measure.
pub(crate) async fn announce(store: &Store, held: &Held) {
    let progress = Progress { phase: Phase::Preparing, ..Progress::default() };
    if let Err(error) = store.progress(held, &progress, None).await {
        tracing::warn!(benchmark = %held.id, error = %causes(&error), "cannot store progress");
    }
}
