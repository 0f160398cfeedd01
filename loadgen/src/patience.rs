//! How long a request and each of its stages may take.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use shared::Timeouts;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::failure::RequestFailure;

/// How long a server may keep the stream open after `[DONE]`.
pub(crate) const CLOSING_TIME: Duration = Duration::from_secs(1);

/// When a request is given up.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) first_token: Duration,
    pub(crate) idle: Duration,
    pub(crate) total: Duration,
}

impl Limits {
    /// The limits of a request; one whose answer is not `streamed` has but the last of them.
    pub(crate) fn of(timeouts: &Timeouts, streamed: bool) -> Self {
        let total = Duration::from_secs_f64(timeouts.total_s.get());
        if !streamed {
            return Self { first_token: total, idle: total, total };
        }
        Self {
            first_token: Duration::from_secs_f64(timeouts.first_token_s.get()),
            idle: Duration::from_secs_f64(timeouts.idle_s.get()),
            total,
        }
    }
}

/// How long a request is waited for. Its timer is set anew only when it has fired: a token costs
/// one look at the clock.
pub(crate) struct Patience {
    limits: Limits,
    pub(crate) began: Instant,
    last_byte: Instant,
    closing_at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Patience {
    pub(crate) fn new(limits: Limits) -> Self {
        let now = Instant::now();
        let timer = Box::pin(sleep_until(now + limits.first_token.min(limits.total)));
        Self { limits, began: now, last_byte: now, closing_at: None, timer }
    }

    /// The server has said that it is done.
    pub(crate) fn close_soon(&mut self) {
        self.closing_at = Some(Instant::now() + CLOSING_TIME);
    }

    /// Waits for `wanted` while `events` token events have come.
    pub(crate) async fn within<T>(
        &mut self,
        events: usize,
        wanted: impl Future<Output = T>,
    ) -> Result<T, RequestFailure> {
        let mut wanted = pin!(wanted);
        loop {
            let deadline = self.deadline(events);
            if deadline < self.timer.deadline() {
                self.timer.as_mut().reset(deadline);
            }
            tokio::select! {
                biased;
                outcome = &mut wanted => {
                    self.last_byte = Instant::now();
                    return Ok(outcome);
                }
                () = &mut self.timer => {
                    if Instant::now() >= deadline {
                        return Err(self.timeout(events));
                    }
                    self.timer.as_mut().reset(deadline);
                }
            }
        }
    }

    fn deadline(&self, events: usize) -> Instant {
        let total = self.began + self.limits.total;
        let stage = match events {
            0 => self.began + self.limits.first_token,
            _ => self.last_byte + self.limits.idle,
        };
        let deadline = total.min(stage);
        self.closing_at.map_or(deadline, |closing| deadline.min(closing))
    }

    fn timeout(&self, events: usize) -> RequestFailure {
        if self.began.elapsed() >= self.limits.total {
            RequestFailure::TimeoutTotal(self.limits.total)
        } else if events == 0 {
            RequestFailure::TimeoutFirstToken(self.limits.first_token)
        } else {
            RequestFailure::TimeoutIdle { idle: self.limits.idle, events }
        }
    }
}
