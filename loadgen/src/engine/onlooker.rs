//! Asks the target once a second how it is, beside the load.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use target::scrape::Scrape;
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval_at},
};

use crate::{metrics::TargetSide, sample::Micros};

const EVERY: Duration = Duration::from_secs(1);
/// Where in its second a reading is taken.
const WITHIN_A_SECOND: Duration = Duration::from_millis(500);
/// Readings in a row that bring nothing before it is given up.
const PATIENCE: u32 = 5;

/// What the target has said so far; shared with the analyst.
#[derive(Clone, Debug)]
pub(super) struct Said(Arc<Mutex<TargetSide>>);

impl Said {
    pub(super) fn so_far(&self) -> MutexGuard<'_, TargetSide> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An onlooker at work, until it is dropped.
pub(super) struct Onlooker {
    said: Said,
    looking: JoinHandle<()>,
}

impl Onlooker {
    /// Looks on from `origin`, on the caller's runtime.
    pub(super) fn start(scrape: Scrape, origin: Instant) -> Self {
        let side = TargetSide::of(scrape.server().as_str());
        let said = Said(Arc::new(Mutex::new(side)));
        let looking = tokio::spawn(look_on(scrape, origin, said.clone()));
        Self { said, looking }
    }

    pub(super) fn said(&self) -> Said {
        self.said.clone()
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

async fn look_on(scrape: Scrape, origin: Instant, said: Said) {
    let mut ticks = interval_at((origin + WITHIN_A_SECOND).into(), EVERY);
    // A slow answer costs the seconds that it took.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut missed_in_a_row = 0;
    while missed_in_a_row < PATIENCE {
        ticks.tick().await;
        let gauges = scrape.read().await;
        missed_in_a_row = if gauges.is_some() { 0 } else { missed_in_a_row + 1 };
        let since = origin.elapsed().as_micros();
        said.so_far().note(Micros::try_from(since).unwrap_or(Micros::MAX), gauges);
    }
    tracing::warn!(
        "the target's metrics are given up: {PATIENCE} readings in a row brought nothing"
    );
}
