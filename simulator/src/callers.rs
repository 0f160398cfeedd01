//! Whose requests came: clients that name their benchmark and run in their `user-agent`.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Runs that are remembered, the newest ones.
const MOST: usize = 4_096;

/// One run of a benchmark, as its requests name it: `… (benchmark 42; run 1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The benchmark's number.
    pub benchmark: u64,
    /// Which run of it.
    pub run: u64,
    /// Its requests for an answer, refused ones included.
    pub requests: u64,
    /// When the first arrived, in unix milliseconds by this server's clock.
    pub first_ms: u64,
    /// When the last one did.
    pub last_ms: u64,
}

/// Oldest first.
#[derive(Debug, Default)]
pub(crate) struct Callers(Mutex<VecDeque<Caller>>);

impl Callers {
    /// Counts a request of whoever calls himself so.
    pub(crate) fn arrived(&self, name: &[u8]) {
        let Some((benchmark, run)) = std::str::from_utf8(name).ok().and_then(named) else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = now.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest_first = callers.iter_mut().rev();
        let known = newest_first.find(|known| (known.benchmark, known.run) == (benchmark, run));
        if let Some(known) = known {
            known.requests += 1;
            known.last_ms = known.last_ms.max(now_ms);
            return;
        }
        if callers.len() == MOST {
            callers.pop_front();
        }
        let (first_ms, last_ms) = (now_ms, now_ms);
        callers.push_back(Caller { benchmark, run, requests: 1, first_ms, last_ms });
    }

    pub(crate) fn read(&self) -> Vec<Caller> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

fn named(name: &str) -> Option<(u64, u64)> {
    let (_, said) = name.split_once("(benchmark ")?;
    let (benchmark, said) = said.split_once("; run ")?;
    Some((benchmark.parse().ok()?, said.strip_suffix(')')?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_the_run_that_they_name() {
        let callers = Callers::default();
        for name in
            ["x/1 (benchmark 7; run 2)", "x/1 (benchmark 7; run 3)", "y (benchmark 7; run 2)"]
        {
            callers.arrived(name.as_bytes());
        }
        for nobody in ["x/1", "x (benchmark 7)", "x (benchmark a; run 2)", "x (benchmark 7; run 2"]
        {
            callers.arrived(nobody.as_bytes());
        }
        let seen: Vec<_> =
            callers.read().iter().map(|c| (c.benchmark, c.run, c.requests)).collect();
        assert_eq!(seen, [(7, 2, 2), (7, 3, 1)]);
        assert!(callers.read().iter().all(|c| c.first_ms <= c.last_ms && c.first_ms > 0));
    }

    #[test]
    fn the_oldest_run_is_forgotten_when_there_are_too_many() {
        let callers = Callers::default();
        for benchmark in 0..=MOST {
            callers.arrived(format!("x (benchmark {benchmark}; run 1)").as_bytes());
        }
        let known = callers.read();
        assert_eq!((known.len(), known[0].benchmark), (MOST, 1));
    }
}
