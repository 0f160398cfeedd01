//! A load thread's loop: asks the kernel which streams have something, and gives each its turn.
//!
//! No runtime, no task, no waker stands between a segment and its stream: a token costs its read,
//! its stamp and its parsing. Timers are few (a request has one deadline) and looked at lazily.

mod alarm;
mod exchange;
mod seat;
mod watch;

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    iter::Peekable,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use mio::{Events, Poll, Token};
use target::wire::{ReadBuffer, Wire};
use tokio_util::sync::CancellationToken;

use self::{
    alarm::{ALARM, Alarm},
    exchange::{Exchange, Standing},
    seat::{Doing, Next, Seat},
    watch::Watch,
};
use super::{
    deadline::Permit,
    kept::Kept,
    load_thread::Duty,
    prepare::Run,
    room::{Budget, Room},
};
use crate::{
    arrival::ThinkTime,
    exchange::{Attempt, Exchanger},
    prompt::Prompts,
    sample::{Micros, Outcome, Sample},
};

/// A failed request is not followed by the next sooner than this after it was due: a target that
/// refuses at once shall not be stormed.
pub(super) const PAUSE_AFTER_FAILURE_US: Micros = 100_000;
/// The user that an open loop's prompts are drawn for: its requests are numbered on.
pub(super) const OPEN_LOOP_USER: u32 = 0;

/// Number and due time of each request of an open loop, in order.
pub(super) type Due = Box<dyn Iterator<Item = (u64, Micros)>>;

/// Users of a closed loop.
#[derive(Default)]
pub(super) struct Crowd {
    /// Each with the stretches of time in which it may send, in order.
    pub(super) users: Vec<(u32, Vec<(Micros, Micros)>)>,
    pub(super) think: ThinkTime,
    /// Requests of each of them, after which it sends no more; none: any number.
    pub(super) requests_each: Option<u64>,
}

/// What a load thread has to send.
pub(super) enum Share {
    /// Users of a closed loop.
    Users(Crowd),
    /// An open loop's requests.
    Schedule(Due),
}

/// What drives one thread's share.
pub(super) struct Readiness {
    pub(super) run: Arc<Run>,
    pub(super) exchanger: Exchanger,
    pub(super) room: Arc<Room>,
    pub(super) budget: Arc<Budget>,
    pub(super) permit: Permit,
    pub(super) stop: CancellationToken,
    pub(super) cut_off: CancellationToken,
    pub(super) samples: mpsc::Sender<Vec<Sample>>,
    pub(super) duty: Arc<Mutex<Duty>>,
}

/// The loop's own state.
struct Turn {
    poll: Poll,
    seats: Vec<Seat>,
    timers: BinaryHeap<Reverse<(Micros, usize)>>,
    think: ThinkTime,
    /// Requests of each user; none: any number.
    requests_each: Option<u64>,
    alarm: Alarm,
    /// What is still due, of an open loop.
    schedule: Option<Peekable<Due>>,
    is_open_loop: bool,
    /// Connections that no seat has for its own, because its requests go to several servers; none:
    /// they go to one.
    kept: Option<Kept<Wire>>,
    /// Seats of an open loop that nobody uses; the one left last is the first to be taken again.
    free: Vec<usize>,
    /// Requests that are open.
    asking: usize,
    /// Users who wait for their next request.
    waiting: usize,
    /// Requests that are over, to be handed over at the next tick: to wake the analyst for each
    /// would cost more than the request.
    over: Vec<Sample>,
}

impl Readiness {
    /// Sends its share and waits for the answers.
    pub(super) fn drive(self, share: Share) -> io::Result<()> {
        let targets = &self.run.targets;
        let kept =
            targets.are_several().then(|| Kept::of(targets.each().len(), self.run.sockets_each));
        let mut turn = Turn { kept, ..Turn::of(share, &self.run.prompts)? };
        let mut events = Events::with_capacity(1_024);
        let mut buffer = ReadBuffer::default();
        let mut watch = Watch::default();
        while !self.cut_off.is_cancelled() {
            let now_us = self.exchanger.now_us();
            if watch.look(now_us, &self) {
                self.hand_over(&mut turn);
            }
            if turn.is_sending() && (self.stop.is_cancelled() || self.budget.is_spent()) {
                turn.retire();
            }
            self.send_due(&mut turn, now_us);
            self.look_at_timers(&mut turn, now_us);
            if turn.is_over() {
                break;
            }
            let now_us = self.exchanger.now_us();
            let next_us = watch.next_us.min(turn.next_us());
            turn.alarm.set(next_us, now_us)?;
            let wait_us = next_us.saturating_sub(now_us);
            if let Err(error) = turn.poll.poll(&mut events, Some(Duration::from_micros(wait_us)))
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            self.exchanger.wakes.note(now_us, || self.exchanger.now_us());
            for event in &events {
                let index = event.token().0;
                if event.token() == ALARM {
                    turn.alarm.rang();
                    continue;
                }
                let seat = &mut turn.seats[index];
                match &mut seat.doing {
                    Doing::Asking(exchange) => {
                        let registry = turn.poll.registry();
                        let told = event.into();
                        let standing =
                            exchange.on_ready(&self.exchanger, registry, &mut buffer, told);
                        self.settle(&mut turn, index, standing);
                    }
                    // The server has closed it, or says what nobody asked for.
                    Doing::Waiting(kept) if event.is_readable() => *kept = None,
                    Doing::Waiting(_) | Doing::Nothing => {}
                }
            }
        }
        for seat in std::mem::take(&mut turn.seats) {
            if let Doing::Asking(exchange) = seat.doing {
                self.exchanger.live.add_cancelled();
                turn.over.push(exchange.attempt.into_sample(
                    Outcome::Cancelled,
                    None,
                    &self.exchanger,
                ));
            }
        }
        self.hand_over(&mut turn);
        watch.report(&self);
        Ok(())
    }

    /// Sends what an open loop has due; what finds no room is dropped.
    fn send_due(&self, turn: &mut Turn, now_us: Micros) {
        while let Some((nth, due_us)) =
            turn.schedule.as_mut().and_then(|due| due.next_if(|(_, due_us)| *due_us <= now_us))
        {
            if !self.permit.holds() {
                return;
            }
            let Some(place) = self.room.enter() else {
                self.exchanger.live.add_dropped();
                continue;
            };
            let index = turn.free.pop().unwrap_or_else(|| {
                turn.seats.push(Seat::new(OPEN_LOOP_USER, Vec::new()));
                turn.seats.len() - 1
            });
            let seat = &mut turn.seats[index];
            (seat.nth, seat.due_us, seat.place) = (nth, due_us, Some(place));
            let standing = self.ask(turn, index);
            self.settle(turn, index, standing);
        }
    }

    /// Looks at the users whose time has come, and at the deadlines.
    fn look_at_timers(&self, turn: &mut Turn, now_us: Micros) {
        while let Some(Reverse((at_us, index))) = turn.timers.peek().copied()
            && at_us <= now_us
        {
            turn.timers.pop();
            let seat = &mut turn.seats[index];
            let standing = match &mut seat.doing {
                Doing::Nothing => continue,
                // The deadline of a request that is over.
                Doing::Waiting(_) if turn.is_open_loop => continue,
                Doing::Waiting(_) => match seat.next(now_us) {
                    // Either its own time, or the deadline of a request that is over.
                    Next::Later(due_us) => {
                        if seat.timed_us != due_us {
                            seat.timed_us = due_us;
                            turn.timers.push(Reverse((due_us, index)));
                        }
                        continue;
                    }
                    Next::Now if self.permit.holds() && self.budget.take() => {
                        turn.waiting -= 1;
                        self.ask(turn, index)
                    }
                    Next::Now | Next::Never => {
                        turn.waiting -= 1;
                        seat.doing = Doing::Nothing;
                        continue;
                    }
                },
                Doing::Asking(exchange) => {
                    if exchange.deadline_us(&self.exchanger) > now_us {
                        exchange.postpone();
                        Standing::Open
                    } else {
                        exchange.on_deadline(&self.exchanger)
                    }
                }
            };
            self.settle(turn, index, standing);
        }
    }

    /// Has a seat ask, over the connection it has or one of its own.
    fn ask(&self, turn: &mut Turn, index: usize) -> Standing {
        let Self { run, exchanger, .. } = self;
        let seat = &mut turn.seats[index];
        let own = match std::mem::replace(&mut seat.doing, Doing::Nothing) {
            Doing::Waiting(own) => own,
            Doing::Asking(_) | Doing::Nothing => None,
        };
        let target = run.turn_of(seat.nth);
        let registry = turn.poll.registry();
        let kept = match &mut turn.kept {
            None => own,
            // What came meanwhile was told of under the token of the seat that had it last.
            Some(kept) => kept.take_if(target, |wire| {
                wire.is_quiet() && wire.register_anew(registry, Token(index)).is_ok()
            }),
        };
        exchanger.live.add_started();
        turn.asking += 1;
        let (who, dialogue) = ((seat.user, seat.nth), seat.dialogue.as_mut());
        let attempt = Attempt::new(who, target, seat.due_us, &run.prompts, dialogue, exchanger);
        let body = run.request.body(attempt.ask.said(), attempt.ask.length);
        let now_us = exchanger.now_us();
        let request = exchanger.client(target).written(&body);
        let mut exchange = Exchange::new(attempt, request, Token(index), kept, now_us);
        let standing = exchange.begin(exchanger, registry);
        seat.doing = Doing::Asking(Box::new(exchange));
        standing
    }

    /// Notes how an exchange stands, and when its seat is to be looked at next.
    fn settle(&self, turn: &mut Turn, index: usize, standing: Standing) {
        let seat = &mut turn.seats[index];
        let (outcome, wire) = match standing {
            Standing::Over(outcome, wire) => {
                (outcome, wire.filter(|_| self.exchanger.keeps_connections()))
            }
            Standing::Open => {
                if let Doing::Asking(exchange) = &mut seat.doing
                    && let Some(at_us) = exchange.earlier_deadline_us(&self.exchanger)
                {
                    turn.timers.push(Reverse((at_us, index)));
                }
                return;
            }
        };
        let Doing::Asking(exchange) = std::mem::replace(&mut seat.doing, Doing::Waiting(None))
        else {
            return;
        };
        match &mut turn.kept {
            None => seat.doing = Doing::Waiting(wire),
            Some(kept) => kept.put(exchange.attempt.target, wire),
        }
        let outcome = match outcome {
            Ok(()) => {
                self.exchanger.live.add_completed();
                Outcome::Completed
            }
            Err(failure) => {
                self.exchanger.live.add_failed(&failure);
                Outcome::Failed(failure)
            }
        };
        let failed = matches!(outcome, Outcome::Failed(_));
        let dialogue = seat.dialogue.as_mut();
        let sample = exchange.attempt.into_sample(outcome, dialogue, &self.exchanger);
        let end_us = sample.end_us;
        turn.over.push(sample);
        turn.asking -= 1;
        if seat.place.take().is_some() {
            turn.free.push(index);
            return;
        }
        if turn.requests_each == Some(seat.nth + 1) {
            seat.doing = Doing::Nothing;
            return;
        }
        turn.waiting += 1;
        let earliest_us = if failed { seat.due_us + PAUSE_AFTER_FAILURE_US } else { 0 };
        let think_us = turn.think.draw_us(self.run.seed, seat.user, seat.nth);
        seat.nth += 1;
        seat.due_us = (end_us + think_us).max(earliest_us);
        seat.timed_us = seat.due_us;
        turn.timers.push(Reverse((seat.due_us, index)));
    }

    /// Gives the requests that are over to the analyst.
    fn hand_over(&self, turn: &mut Turn) {
        if !turn.over.is_empty() {
            // Nobody listens only when the run is given up.
            let _ = self.samples.send(std::mem::take(&mut turn.over));
        }
    }
}

impl Turn {
    fn of(share: Share, prompts: &Prompts) -> io::Result<Self> {
        let (crowd, schedule) = match share {
            Share::Users(crowd) => (crowd, None),
            Share::Schedule(due) => (Crowd::default(), Some(due.peekable())),
        };
        let Crowd { users, think, requests_each } = crowd;
        let seats: Vec<Seat> =
            users.into_iter().map(|(user, spells)| Seat::holding(prompts, user, spells)).collect();
        let timers = seats.iter().enumerate().map(|(index, seat)| Reverse((seat.timed_us, index)));
        let poll = Poll::new()?;
        Ok(Self {
            alarm: Alarm::ringing_in(&poll)?,
            poll,
            timers: timers.collect(),
            waiting: seats.len(),
            over: Vec::new(),
            asking: 0,
            seats,
            think,
            requests_each,
            is_open_loop: schedule.is_some(),
            schedule,
            kept: None,
            free: Vec::new(),
        })
    }

    /// Whether anything may still be sent.
    fn is_sending(&self) -> bool {
        self.waiting > 0 || self.schedule.is_some()
    }

    /// Nobody sends any more; what is open goes on.
    fn retire(&mut self) {
        self.schedule = None;
        self.waiting = 0;
        for seat in &mut self.seats {
            if matches!(seat.doing, Doing::Waiting(_)) {
                seat.doing = Doing::Nothing;
            }
        }
    }

    /// Whether nothing is open and nothing will be.
    fn is_over(&mut self) -> bool {
        let is_due = self.schedule.as_mut().is_some_and(|due| due.peek().is_some());
        self.asking == 0 && self.waiting == 0 && !is_due
    }

    /// When something is due next.
    fn next_us(&mut self) -> Micros {
        let due_us = self.schedule.as_mut().and_then(|due| due.peek().map(|(_, due_us)| *due_us));
        let timer_us = self.timers.peek().map(|Reverse((at_us, _))| *at_us);
        due_us.unwrap_or(Micros::MAX).min(timer_us.unwrap_or(Micros::MAX))
    }
}
