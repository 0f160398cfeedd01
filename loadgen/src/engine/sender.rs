//! Sends one request, whoever wants it sent, and hands its sample over.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, mpsc},
    time::Duration,
};

use bytes::Bytes;
use target::client::Connection;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{deadline::Permit, kept::Kept, prepare::Run, room::Budget};
use crate::{
    exchange::{Attempt, Exchanger},
    prompt::Dialogue,
    sample::{Micros, Outcome, Sample},
};

/// What all requests of a load thread are sent with.
pub(super) struct Sender {
    pub(super) run: Arc<Run>,
    pub(super) exchanger: Rc<Exchanger>,
    /// Connections that are nobody's own.
    pub(super) kept: RefCell<Kept<Connection>>,
    pub(super) origin: Instant,
    /// What a closed loop takes its requests from; nobody takes any in an open one.
    pub(super) budget: Arc<Budget>,
    pub(super) permit: Permit,
    pub(super) stop: CancellationToken,
    pub(super) cut_off: CancellationToken,
    pub(super) samples: mpsc::Sender<Vec<Sample>>,
}

/// What is known of a request that is over, beside its sample.
pub(super) struct Over {
    pub(super) end_us: Micros,
    pub(super) failed: bool,
}

impl Sender {
    /// Waits until a request is due; false when no further one may be sent.
    pub(super) async fn wait_until(&self, due_us: Micros) -> bool {
        let due = self.origin + Duration::from_micros(due_us);
        // Not by the time axis: before the origin it stands at 0, and the first would leave early.
        if Instant::now() < due {
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.stop.cancelled() => {}
                () = self.budget.spent() => return false,
            }
        }
        !self.stop.is_cancelled()
    }

    /// Sends user `user`'s request `nth` over its `own` connection, or one that is nobody's: that
    /// of a schedule, and those of users whose requests go to several servers. `dialogue` is the
    /// conversation that the user holds. None: it may not be sent, or nobody takes samples any more.
    pub(super) async fn send(
        &self,
        (user, nth): (u32, u64),
        due_us: Micros,
        own: Option<&mut Option<Connection>>,
        mut dialogue: Option<&mut Dialogue>,
    ) -> Option<Over> {
        let Self { run, exchanger, .. } = self;
        let target = run.turn_of(nth);
        let own = own.filter(|_| !run.targets.are_several());
        if !self.permit.holds() {
            return None;
        }
        exchanger.live.add_started();
        let mut kept = match &own {
            Some(_) => None,
            None => self.kept.borrow_mut().take(target),
        };
        let is_own = own.is_some();
        let connection = own.unwrap_or(&mut kept);
        let (who, said) = ((user, nth), dialogue.as_deref_mut());
        let mut attempt = Attempt::new(who, target, due_us, &run.prompts, said, exchanger);
        let body = Bytes::from(run.request.body(attempt.ask.said(), attempt.ask.length));
        let outcome = tokio::select! {
            biased;
            outcome = exchanger.exchange(&mut attempt, connection, body) => match outcome {
                Ok(()) => Outcome::Completed,
                Err(failure) => Outcome::Failed(failure),
            },
            () = self.cut_off.cancelled() => Outcome::Cancelled,
        };
        if !is_own {
            self.kept.borrow_mut().put(target, kept);
        }
        match &outcome {
            Outcome::Completed => exchanger.live.add_completed(),
            Outcome::Failed(failure) => exchanger.live.add_failed(failure),
            Outcome::Cancelled => exchanger.live.add_cancelled(),
        }
        let failed = matches!(outcome, Outcome::Failed(_));
        let sample = attempt.into_sample(outcome, dialogue, exchanger);
        let end_us = sample.end_us;
        self.samples.send(vec![sample]).ok()?;
        Some(Over { end_us, failed })
    }
}
