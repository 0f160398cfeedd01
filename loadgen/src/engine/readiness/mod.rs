//! A load thread's loop: asks the kernel which streams have something, and gives each its turn.
//!
//! No runtime, no task, no waker stands between a segment and its stream: a token costs its read,
//! its stamp and its parsing. Timers are few (a request has one deadline) and looked at lazily.

mod exchange;

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use mio::{Events, Poll, Token};
use shared::ClosedLoop;
use target::wire::{ReadBuffer, Wire};
use tokio_util::sync::CancellationToken;

use self::exchange::{Exchange, Standing};
use super::{load_thread::Duty, prepare::Run};
use crate::{
    arrival::{ThinkTime, start_us},
    exchange::{Attempt, Exchanger},
    metrics::Lag,
    sample::{Micros, Outcome, Sample},
};

/// How often the loop looks how late it is, and whether it is to stop.
const TICK_US: Micros = 10_000;
/// Ticks between two comparisons of the clocks, and between two words to the analyst.
const TICKS_A_ROUND: u32 = 25;
/// A failed request is not followed by the next sooner than this after it was due: a target that
/// refuses at once shall not be stormed.
pub(super) const PAUSE_AFTER_FAILURE_US: Micros = 100_000;

/// One thread's share of a closed loop.
pub(super) struct Readiness {
    pub(super) plan: ClosedLoop,
    pub(super) run: Arc<Run>,
    pub(super) exchanger: Exchanger,
    pub(super) stop: CancellationToken,
    pub(super) cut_off: CancellationToken,
    pub(super) samples: mpsc::Sender<Sample>,
    pub(super) duty: Arc<Mutex<Duty>>,
}

/// A virtual user.
struct User {
    index: u32,
    nth: u64,
    due_us: Micros,
    doing: Doing,
}

enum Doing {
    /// Waiting for its next request to be due, perhaps with a connection.
    Waiting(Option<Wire>),
    /// Waiting for its answer.
    Asking(Box<Exchange>),
    /// Done for good.
    Nothing,
}

impl Readiness {
    /// Drives `users` to their end.
    pub(super) fn drive(self, users: impl Iterator<Item = u32>) -> io::Result<()> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(1_024);
        let mut buffer = ReadBuffer::default();
        let mut timers = BinaryHeap::new();
        let mut users: Vec<User> = users
            .map(|index| {
                let due_us = start_us(index, self.plan.spawn_rate.get());
                User { index, nth: 0, due_us, doing: Doing::Waiting(None) }
            })
            .collect();
        timers.extend(users.iter().enumerate().map(|(seat, user)| Reverse((user.due_us, seat))));
        let mut left = users.len();
        let mut watch = Watch::default();
        while left > 0 {
            let now_us = self.exchanger.now_us();
            watch.look(now_us, &self);
            if self.cut_off.is_cancelled() {
                break;
            }
            if self.stop.is_cancelled() {
                left -= retire(&mut users);
            }
            while let Some(Reverse((at_us, seat))) = timers.peek().copied()
                && at_us <= now_us
            {
                timers.pop();
                let user = &mut users[seat];
                let standing = match &mut user.doing {
                    Doing::Nothing => continue,
                    // A deadline of a request that is over.
                    Doing::Waiting(_) if user.due_us > now_us => continue,
                    Doing::Waiting(_) if !self.may_send(now_us) => {
                        user.doing = Doing::Nothing;
                        left -= 1;
                        continue;
                    }
                    Doing::Waiting(_) => self.ask(user, Token(seat), &poll),
                    Doing::Asking(exchange) => {
                        if exchange.deadline_us(&self.exchanger) > now_us {
                            exchange.postpone();
                            Standing::Open
                        } else {
                            exchange.on_deadline(&self.exchanger)
                        }
                    }
                };
                self.settle(user, seat, standing, &mut timers);
            }
            let next_us = timers.peek().map_or(Micros::MAX, |Reverse((at_us, _))| *at_us);
            let until_us = next_us.min(watch.next_us).saturating_sub(self.exchanger.now_us());
            if let Err(error) = poll.poll(&mut events, Some(Duration::from_micros(until_us)))
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            for event in &events {
                let seat = event.token().0;
                let user = &mut users[seat];
                match &mut user.doing {
                    Doing::Asking(exchange) => {
                        let closing = event.is_read_closed() || event.is_error();
                        let registry = poll.registry();
                        let standing =
                            exchange.on_ready(&self.exchanger, registry, &mut buffer, closing);
                        self.settle(user, seat, standing, &mut timers);
                    }
                    // The server has closed it, or says what nobody asked for.
                    Doing::Waiting(kept) if event.is_readable() => *kept = None,
                    Doing::Waiting(_) | Doing::Nothing => {}
                }
            }
        }
        for user in users {
            if let Doing::Asking(exchange) = user.doing {
                self.exchanger.live.add_cancelled();
                self.hand_over(*exchange, Outcome::Cancelled);
            }
        }
        watch.report(&self);
        Ok(())
    }

    fn may_send(&self, now_us: Micros) -> bool {
        now_us < Micros::from(self.plan.duration_s.get()) * 1_000_000 && !self.stop.is_cancelled()
    }

    /// Has a user ask.
    fn ask(&self, user: &mut User, token: Token, poll: &Poll) -> Standing {
        let Self { run, exchanger, .. } = self;
        let kept = match std::mem::replace(&mut user.doing, Doing::Nothing) {
            Doing::Waiting(kept) => kept,
            Doing::Asking(_) | Doing::Nothing => None,
        };
        exchanger.live.add_started();
        let attempt = Attempt::new(user.due_us, exchanger);
        let prompt = run.prompts.prompt(run.seed, user.index, user.nth);
        let body = run.request.body(&prompt);
        let now_us = exchanger.now_us();
        let exchange = Exchange::new(attempt, prompt, body, token, kept, now_us);
        user.doing = Doing::Asking(Box::new(exchange));
        match &mut user.doing {
            Doing::Asking(exchange) => exchange.begin(exchanger, poll.registry()),
            Doing::Waiting(_) | Doing::Nothing => Standing::Open,
        }
    }

    /// Notes how an exchange stands, and when its user is to be looked at next.
    fn settle(
        &self,
        user: &mut User,
        seat: usize,
        standing: Standing,
        timers: &mut BinaryHeap<Reverse<(Micros, usize)>>,
    ) {
        let (outcome, kept) = match standing {
            Standing::Over(outcome, kept) => (outcome, kept),
            Standing::Open => {
                if let Doing::Asking(exchange) = &mut user.doing
                    && let Some(at_us) = exchange.earlier_deadline_us(&self.exchanger)
                {
                    timers.push(Reverse((at_us, seat)));
                }
                return;
            }
        };
        let Doing::Asking(exchange) = std::mem::replace(&mut user.doing, Doing::Waiting(kept))
        else {
            return;
        };
        let outcome = match outcome {
            Ok(()) => {
                self.exchanger.live.add_completed();
                Outcome::Completed
            }
            Err(failure) => {
                self.exchanger.live.add_failed();
                Outcome::Failed(failure)
            }
        };
        let failed = matches!(outcome, Outcome::Failed(_));
        let end_us = self.hand_over(*exchange, outcome);
        let earliest_us = if failed { user.due_us + PAUSE_AFTER_FAILURE_US } else { 0 };
        let think_us = ThinkTime::of(&self.plan).draw_us(self.run.seed, user.index, user.nth);
        user.nth += 1;
        user.due_us = (end_us + think_us).max(earliest_us);
        timers.push(Reverse((user.due_us, seat)));
    }

    /// Gives a request to the analyst; when it ended.
    fn hand_over(&self, exchange: Exchange, outcome: Outcome) -> Micros {
        let Exchange { attempt, prompt, .. } = exchange;
        let sample = attempt.into_sample(prompt, outcome, &self.exchanger);
        let end_us = sample.end_us;
        // Nobody listens only when the run is given up.
        let _ = self.samples.send(sample);
        end_us
    }
}

/// Sends those home who wait for their next request; how many they are.
fn retire(users: &mut [User]) -> usize {
    let waiting = users.iter_mut().filter(|user| matches!(user.doing, Doing::Waiting(_)));
    waiting.map(|user| user.doing = Doing::Nothing).count()
}

/// How late the loop is, by its own ticks.
#[derive(Default)]
struct Watch {
    next_us: Micros,
    ticks: u32,
    lag: Lag,
}

impl Watch {
    fn look(&mut self, now_us: Micros, load: &Readiness) {
        if now_us < self.next_us {
            return;
        }
        self.lag.record_us(now_us - self.next_us);
        self.next_us = now_us + TICK_US;
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_A_ROUND) {
            load.exchanger.clock.align();
            self.report(load);
        }
    }

    fn report(&mut self, load: &Readiness) {
        super::load_thread::report(&load.exchanger, &mut self.lag, &load.duty);
    }
}
