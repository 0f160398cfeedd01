//! Who sends: a user of a closed loop, or a place for a request of an open one.

use std::collections::VecDeque;

use target::wire::Wire;

use super::{super::room::Place, exchange::Exchange};
use crate::{
    prompt::{Dialogue, Prompts},
    sample::Micros,
};

pub(super) struct Seat {
    pub(super) user: u32,
    pub(super) nth: u64,
    pub(super) due_us: Micros,
    /// The timer that is set for its next request.
    pub(super) timed_us: Micros,
    pub(super) doing: Doing,
    /// The conversation that it holds; none: its requests have nothing to do with each other.
    pub(super) dialogue: Option<Dialogue>,
    /// A request's place in an open loop.
    pub(super) place: Option<Place>,
    /// Stretches of time in which it may still send.
    spells: VecDeque<(Micros, Micros)>,
}

pub(super) enum Doing {
    /// Waiting for its next request to be due, perhaps with a connection.
    Waiting(Option<Wire>),
    /// Waiting for its answer.
    Asking(Box<Exchange>),
    /// Done for good.
    Nothing,
}

/// When a user sends next.
pub(super) enum Next {
    Now,
    Later(Micros),
    Never,
}

impl Seat {
    pub(super) fn new(user: u32, spells: Vec<(Micros, Micros)>) -> Self {
        let due_us = spells.first().map_or(0, |(from_us, _)| *from_us);
        Self {
            user,
            nth: 0,
            due_us,
            timed_us: due_us,
            doing: Doing::Waiting(None),
            dialogue: None,
            place: None,
            spells: spells.into(),
        }
    }

    /// A user who says what `prompts` have.
    pub(super) fn holding(prompts: &Prompts, user: u32, spells: Vec<(Micros, Micros)>) -> Self {
        Self { dialogue: prompts.dialogue(), ..Self::new(user, spells) }
    }

    /// When it sends next, within the stretches of time it has.
    pub(super) fn next(&mut self, now_us: Micros) -> Next {
        while let Some((from_us, to_us)) = self.spells.front().copied() {
            self.due_us = self.due_us.max(from_us);
            if self.due_us.max(now_us) >= to_us {
                self.spells.pop_front();
            } else if self.due_us > now_us {
                return Next::Later(self.due_us);
            } else {
                return Next::Now;
            }
        }
        Next::Never
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_sends_within_its_stretches_and_never_after() {
        let mut seat = Seat::new(0, vec![(10, 20), (30, 40)]);
        assert!(matches!(seat.next(5), Next::Later(10)));
        assert!(matches!(seat.next(10), Next::Now));
        seat.due_us = 19;
        assert!(matches!(seat.next(19), Next::Now));
        assert!(matches!(seat.next(20), Next::Later(30)));
        assert!(matches!(seat.next(39), Next::Now));
        assert!(matches!(seat.next(40), Next::Never));
        assert!(matches!(Seat::new(0, Vec::new()).next(0), Next::Never));
    }
}
