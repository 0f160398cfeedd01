//! Ends a run before its time, once, and keeps why.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::Instant,
};

use shared::{
    Stops,
    report::{Stopped, StoppedBy},
};
use tokio_util::sync::CancellationToken;

use crate::metrics::ErrorWindow;

/// What ends a run before its time.
#[derive(Debug)]
pub(crate) struct Brake {
    origin: Instant,
    /// None: failures stop nothing.
    errors: Option<Mutex<ErrorWindow>>,
    /// Cancelled: no further request leaves, and open ones get their grace.
    no_more: CancellationToken,
    pulled: OnceLock<Stopped>,
}

impl Brake {
    /// One that cancels `no_more`.
    pub(super) fn new(stops: Stops, origin: Instant, no_more: CancellationToken) -> Self {
        let most = stops.max_error_rate.map(shared::MaxErrorRate::get);
        let errors = most.map(|most| Mutex::new(ErrorWindow::of(most)));
        Self { origin, errors, no_more, pulled: OnceLock::new() }
    }

    /// Takes a request that is over, and pulls where too many have failed.
    pub(super) fn ended(&self, failed: bool) {
        let Some(errors) = &self.errors else { return };
        let too_many = errors.lock().unwrap_or_else(PoisonError::into_inner).record(failed);
        if let Some(detail) = too_many {
            self.pull(StoppedBy::ErrorRate, detail);
        }
    }

    /// No further request leaves. The first one to pull is remembered.
    pub(super) fn pull(&self, by: StoppedBy, detail: String) {
        // Whatever ends after the last request was sent explains nothing.
        if !self.no_more.is_cancelled() {
            let at_s = self.origin.elapsed().as_secs_f64();
            let _ = self.pulled.set(Stopped { by, at_s, detail });
            self.no_more.cancel();
        }
    }

    /// Who pulled it, if anybody did.
    pub(super) fn pulled(&self) -> Option<&Stopped> {
        self.pulled.get()
    }
}
