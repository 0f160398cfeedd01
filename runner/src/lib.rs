//! The worker: waits for a ticket, claims a benchmark, drives it, stores what came of it.
//!
//! A ticket only says "look for work"; the truth is the benchmark's row, claimed by
//! compare-and-set. The run lives in a task of its own, so that nothing that happens to the queue
//! can drop it, and the load on threads of its own, so that nothing here can disturb it.

mod capacity;
mod clock;
mod ending;
mod gathering;
mod heard;
mod job;
mod lease;
mod measures;
mod observer;
mod recorded;
mod registry;
mod settings;
mod shard;
mod spool;

use std::{path::Path, time::Duration};

use daemon::{Shutdown, causes};
use store::Store;
use tokio_util::sync::CancellationToken;

pub use self::settings::Settings;
use self::{capacity::Offer, job::Desk, registry::Registry};

/// Between two looks at whether the database has been set up.
const LOOK_FOR_SCHEMA_EVERY: Duration = Duration::from_millis(500);
/// Between two looks of a runner with labels that nothing asked for.
const LOOK_FOR_LABELS_EVERY: Duration = Duration::from_secs(1);
/// Between two tries to get the queue back.
const RETRY_QUEUE_AFTER: Duration = Duration::from_secs(1);

/// Works off benchmarks until it is to drain, by `shutdown` or because somebody asked over the API:
/// then the run under way may go on until `shutdown` says now, and only when its end is stored this
/// returns. Data sets and tokenizers lie under
/// `data_dir`.
///
/// # Errors
///
/// When this runner cannot be made known to the database.
pub async fn run(
    settings: Settings,
    store: Store,
    data_dir: &Path,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let shutdown = shutdown.step();
    let draining = shutdown.draining();
    if !wait_for_schema(&store, draining).await {
        return Ok(());
    }
    measures::describe();
    let instrument = settings.instrument(Vec::new(), data_dir, "")?;
    let offer = tokio::select! {
        () = draining.cancelled() => return Ok(()),
        offer = Offer::find(&settings, &instrument) => offer,
    };
    let registry = Registry::enter(&settings, offer, store.clone()).await?;
    tracing::info!(runner = %registry.id(), name = registry.name(), "runner is ready");
    let over = CancellationToken::new();
    let housekeeping = tokio::spawn(housekeeping(store.clone(), over.clone()));
    let recovery = tokio::spawn(spool::recover_until(
        store.clone(),
        spool::folder(data_dir),
        store.lease().sweep_every(),
        over.clone(),
    ));
    let beats = tokio::spawn(registry.clone().beat_until(over.clone(), draining.clone()));
    let desk = Desk::new(&settings, store.clone(), data_dir, &registry, shutdown.clone())?;

    while !draining.is_cancelled() {
        let look = {
            let desk = desk.clone();
            move || desk.clone().look()
        };
        let worked = store.work(registry.id(), look, draining.clone());
        tokio::select! {
            // The worker loop is dropped, not drained: a run under way is not its concern.
            () = draining.cancelled() => break,
            () = look_again_and_again(&desk), if !settings.runner_labels.is_empty() => {}
            outcome = worked => if let Err(error) = outcome {
                tracing::warn!(error = %causes(&error), "the queue is out of reach; trying again");
            },
        }
        pause(RETRY_QUEUE_AFTER, draining).await;
    }
    tracing::info!("runner is draining: it takes up nothing more");
    desk.close().await;
    over.cancel();
    let _ = tokio::join!(housekeeping, recovery, beats);
    registry.leave().await;
    tracing::info!("runner has stopped");
    Ok(())
}

async fn wait_for_schema(store: &Store, shutdown: &CancellationToken) -> bool {
    let mut told = false;
    while let Err(error) = store.ready().await {
        if !told {
            tracing::info!(error = %causes(&error), "waiting for the database; `api` or `llm-bench migrate` sets it up");
            told = true;
        }
        tokio::select! {
            () = shutdown.cancelled() => return false,
            () = tokio::time::sleep(LOOK_FOR_SCHEMA_EVERY) => {}
        }
    }
    true
}

/// Looks for work without a ticket: one wakes any runner, and that may be none that has the labels
/// its benchmark asks for.
async fn look_again_and_again(desk: &Desk) {
    loop {
        tokio::time::sleep(LOOK_FOR_LABELS_EVERY).await;
        desk.clone().look().await;
    }
}

/// Finds what others left behind: lost runs, lost tickets.
async fn housekeeping(store: Store, over: CancellationToken) {
    let every = store.lease().sweep_every();
    while !pause(every, &over).await {
        match store.sweep_if_due().await {
            Ok(Some(swept)) if swept != store::Swept::default() => tracing::info!(?swept, "swept"),
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %causes(&error), "cannot sweep"),
        }
    }
}

/// Waits; true when `shutdown` came first.
async fn pause(time: Duration, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => true,
        () = tokio::time::sleep(time) => false,
    }
}
