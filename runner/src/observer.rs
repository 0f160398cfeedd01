//! Tells the database how a run goes, while it goes.

use std::sync::Arc;

use daemon::causes;
use loadgen::Snapshot;
use shared::{Phase, Progress};
use store::{Held, Store};
use tokio::sync::watch;

use crate::{
    gathering::{Gathering, Joined},
    measures::{self, Told},
};

/// Writes each snapshot, until the run is over. The figures so far are written when there are new
/// ones. A write that fails is left out: the next one says more. `gathering`: the others that make
/// the load too, whose figures are told with this runner's.
pub(crate) async fn observe(
    store: Store,
    held: Held,
    mut snapshots: watch::Receiver<Snapshot>,
    gathering: Option<Gathering>,
) {
    let mut written = None;
    let mut told = Told::default();
    let mut joined = Joined::default();
    while snapshots.changed().await.is_ok() {
        let mut snapshot = snapshots.borrow_and_update().clone();
        told.progress(&snapshot.progress);
        if let Some(gathering) = &gathering {
            snapshot = gathering.join(snapshot, &mut joined).await;
        }
        let Snapshot { progress, partial, .. } = snapshot;
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

/// Says where a run is, before there is anything to measure.
pub(crate) async fn announce(store: &Store, held: &Held, phase: Phase) {
    let progress = Progress { phase, ..Progress::default() };
    if let Err(error) = store.progress(held, &progress, None).await {
        tracing::warn!(benchmark = %held.id, error = %causes(&error), "cannot store progress");
    }
}
