//! How a process is asked to end: first to take up nothing more, then to stop what it does.

use std::{process::exit, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a process that was told to stop at once still gets, to store what it has.
const LAST_WORDS: Duration = Duration::from_mins(1);
/// What a process that a signal has ended before its time returns.
const INTERRUPTED: i32 = 130;

/// The two steps in which a process ends. Whoever stops at once drains, too.
#[derive(Clone, Debug)]
pub struct Shutdown {
    draining: CancellationToken,
    now: CancellationToken,
}

impl Shutdown {
    /// Begins with the first SIGTERM or Ctrl-C, and stops what is under way `patience` later or with
    /// the second. A third ends the process, and so does a minute after the second.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or where the system has no signals.
    pub fn on_signal(patience: Duration) -> Self {
        let shutdown = Self::at_once(CancellationToken::new()).step();
        let told = shutdown.clone();
        let mut signals = Signals::listen();
        tokio::spawn(async move {
            signals.next().await;
            told.draining.cancel();
            let again = tokio::select! {
                () = signals.next() => true,
                () = tokio::time::sleep(patience) => false,
            };
            told.now.cancel();
            if !again {
                signals.next().await;
            }
            tokio::select! {
                () = signals.next() => {}
                () = tokio::time::sleep(LAST_WORDS) => {}
            }
            exit(INTERRUPTED);
        });
        shutdown
    }

    /// Both steps at once, with `token`.
    pub fn at_once(token: CancellationToken) -> Self {
        Self { draining: token.clone(), now: token }
    }

    /// The same for a part of the process, which may be asked to end before the rest is.
    #[must_use]
    pub fn step(&self) -> Self {
        let now = self.now.child_token();
        Self { draining: self.draining.child_token(), now }
    }

    /// Cancelled: nothing new is taken up.
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Cancelled: what is under way stops and is stored.
    pub fn now(&self) -> &CancellationToken {
        &self.now
    }
}

/// SIGTERM and Ctrl-C.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Self {
        let of = |kind| signal(kind).expect("the system has signals");
        Self { terminate: of(SignalKind::terminate()), interrupt: of(SignalKind::interrupt()) }
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_may_drain_alone_and_ends_with_the_whole() {
        let token = CancellationToken::new();
        let whole = Shutdown::at_once(token.clone());
        let part = whole.step();
        part.draining().cancel();
        assert!(!whole.draining().is_cancelled() && !part.now().is_cancelled());
        token.cancel();
        assert!(part.now().is_cancelled());
    }
}
