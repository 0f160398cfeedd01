//! Sends one request, whoever wants it sent, and hands its sample over.

use std::{
    rc::Rc,
    sync::{Arc, mpsc},
};

use bytes::Bytes;
use target::{client::Connection, request::Said};
use tokio_util::sync::CancellationToken;

use super::prepare::Run;
use crate::{
    exchange::{Attempt, Exchanger},
    sample::{Micros, Outcome, Sample},
};

/// What all requests of a load thread are sent with.
pub(super) struct Sender {
    pub(super) run: Arc<Run>,
    pub(super) exchanger: Rc<Exchanger>,
    pub(super) cut_off: CancellationToken,
    pub(super) samples: mpsc::Sender<Sample>,
}

/// What is known of a request that is over, beside its sample.
pub(super) struct Over {
    pub(super) end_us: Micros,
    pub(super) failed: bool,
}

impl Sender {
    /// Sends user `user`'s request `nth` over the connection that is kept, or one of its own.
    /// None: nobody takes samples any more.
    pub(super) async fn send(
        &self,
        (user, nth): (u32, u64),
        due_us: Micros,
        kept: &mut Option<Connection>,
    ) -> Option<Over> {
        let Self { run, exchanger, .. } = self;
        let mut attempt = Attempt::new(due_us, exchanger);
        exchanger.live.add_started();
        let prompt = run.prompts.prompt(run.seed, user, nth);
        let body = Bytes::from(run.request.body(Said::Text(&prompt), run.length));
        let outcome = tokio::select! {
            biased;
            outcome = exchanger.exchange(&mut attempt, kept, body) => match outcome {
                Ok(()) => Outcome::Completed,
                Err(failure) => Outcome::Failed(failure),
            },
            () = self.cut_off.cancelled() => Outcome::Cancelled,
        };
        match &outcome {
            Outcome::Completed => exchanger.live.add_completed(),
            Outcome::Failed(failure) => exchanger.live.add_failed(failure),
            Outcome::Cancelled => exchanger.live.add_cancelled(),
        }
        let failed = matches!(outcome, Outcome::Failed(_));
        let sample = attempt.into_sample(prompt, outcome, exchanger);
        let end_us = sample.end_us;
        self.samples.send(sample).ok()?;
        Some(Over { end_us, failed })
    }
}
