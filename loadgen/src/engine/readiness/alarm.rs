//! A timer that rings to the microsecond: epoll itself waits in whole milliseconds.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use mio::{Interest, Poll, Token, unix::SourceFd};
use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

use crate::sample::Micros;

/// What the alarm's events are marked with.
pub(super) const ALARM: Token = Token(usize::MAX);

pub(super) struct Alarm {
    timer: TimerFd,
    set_to_us: Micros,
}

impl Alarm {
    pub(super) fn ringing_in(poll: &Poll) -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        let fd = timer.as_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), ALARM, Interest::READABLE)?;
        Ok(Self { timer, set_to_us: Micros::MAX })
    }

    /// It has rung; what it was set to may be set again.
    pub(super) fn rang(&mut self) {
        self.set_to_us = Micros::MAX;
    }

    /// Has it ring at `at_us`; it is `now_us`.
    pub(super) fn set(&mut self, at_us: Micros, now_us: Micros) -> io::Result<()> {
        if at_us == self.set_to_us || at_us == Micros::MAX {
            return Ok(());
        }
        self.set_to_us = at_us;
        // Nothing is how a timer is switched off.
        let wait = Duration::from_micros(at_us.saturating_sub(now_us).max(1));
        let once = Expiration::OneShot(TimeSpec::from(wait));
        Ok(self.timer.set(once, TimerSetTimeFlags::empty())?)
    }
}
