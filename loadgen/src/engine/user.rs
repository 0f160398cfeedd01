//! One virtual user of a closed loop.

use std::{rc::Rc, sync::mpsc, time::Duration};

use bytes::Bytes;
use target::client::Connection;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{prepare::Run, readiness::PAUSE_AFTER_FAILURE_US};
use crate::{
    arrival::closed_loop::{self, ThinkTime},
    exchange::{Attempt, Exchanger},
    sample::{Micros, Outcome, Sample},
};

/// Everything a user needs; it lives on its load thread.
pub(super) struct User {
    pub(super) index: u32,
    pub(super) spawn_rate: u32,
    pub(super) think: ThinkTime,
    /// When the last request may be sent, from the origin.
    pub(super) sending_us: Micros,
    pub(super) origin: Instant,
    pub(super) run: std::sync::Arc<Run>,
    pub(super) exchanger: Rc<Exchanger>,
    pub(super) stop: CancellationToken,
    pub(super) cut_off: CancellationToken,
    pub(super) samples: mpsc::Sender<Sample>,
}

impl User {
    /// Sends one request after another until its time is over.
    pub(super) async fn live(self) {
        let mut connection = None;
        let mut due_us = closed_loop::start_us(self.index, self.spawn_rate);
        for nth in 0.. {
            if !self.wait_until(due_us).await {
                return;
            }
            let (sample, failed) = self.request(nth, due_us, &mut connection).await;
            let end_us = sample.end_us;
            if self.samples.send(sample).is_err() {
                return;
            }
            let earliest_us = if failed { due_us + PAUSE_AFTER_FAILURE_US } else { 0 };
            let think_us = self.think.draw_us(self.run.seed, self.index, nth);
            due_us = (end_us + think_us).max(earliest_us);
        }
    }

    /// Waits until a request is due; false when it never will be.
    async fn wait_until(&self, due_us: Micros) -> bool {
        if due_us >= self.sending_us || self.stop.is_cancelled() {
            return false;
        }
        let due = self.origin + Duration::from_micros(due_us);
        // Not by the time axis: before the origin it stands at 0, and the first would leave early.
        if Instant::now() < due {
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.stop.cancelled() => return false,
            }
        }
        self.exchanger.now_us() < self.sending_us && !self.stop.is_cancelled()
    }

    async fn request(
        &self,
        nth: u64,
        due_us: Micros,
        connection: &mut Option<Connection>,
    ) -> (Sample, bool) {
        let Self { run, exchanger, .. } = self;
        let mut attempt = Attempt::new(due_us, exchanger);
        exchanger.live.add_started();
        let prompt = run.prompts.prompt(run.seed, self.index, nth);
        let body = Bytes::from(run.request.body(&prompt));
        let outcome = tokio::select! {
            biased;
            outcome = exchanger.exchange(&mut attempt, connection, body) => match outcome {
                Ok(()) => Outcome::Completed,
                Err(failure) => Outcome::Failed(failure),
            },
            () = self.cut_off.cancelled() => Outcome::Cancelled,
        };
        match &outcome {
            Outcome::Completed => exchanger.live.add_completed(),
            Outcome::Failed(_) => exchanger.live.add_failed(),
            Outcome::Cancelled => exchanger.live.add_cancelled(),
        }
        let failed = matches!(outcome, Outcome::Failed(_));
        (attempt.into_sample(prompt, outcome, exchanger), failed)
    }
}
