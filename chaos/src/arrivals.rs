//! Who began to send when, as seen on a line.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use crate::process;

/// The first request of each connection that says whose it is.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// Looking for who is behind a connection takes time, so it is done where it is asked for.
    is_watched: AtomicBool,
    seen: Mutex<Vec<Arrival>>,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    benchmark: i64,
    process: u32,
    at: Instant,
}

impl Arrivals {
    /// From now on each is noted.
    pub(crate) fn watch(&self) {
        self.is_watched.store(true, Relaxed);
    }

    /// Notes whose request `bytes` is the beginning of, from a connection's port; whether there is
    /// no more to note of that connection.
    pub(crate) fn note(self: &Arc<Self>, bytes: &[u8], port: u16) -> bool {
        if !self.is_watched.load(Relaxed) {
            return false;
        }
        let Some(benchmark) = named(bytes) else { return false };
        let (at, arrivals) = (Instant::now(), Arc::clone(self));
        // While it is open: then the system says whose it is.
        tokio::task::spawn_blocking(move || {
            if let Some(process) = process::owner_of(port) {
                let mut seen = arrivals.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push(Arrival { benchmark, process, at });
            }
        });
        true
    }

    /// When each process sent its first request of this benchmark, and how many milliseconds the
    /// last of them came after the first; none where fewer than two did.
    pub(crate) fn apart_ms(&self, benchmark: i64) -> Option<f64> {
        let mut first = BTreeMap::new();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for arrival in seen.iter().filter(|arrival| arrival.benchmark == benchmark) {
            let at = first.entry(arrival.process).or_insert(arrival.at);
            *at = arrival.at.min(*at);
        }
        let (earliest, latest) = (first.values().min()?, first.values().max()?);
        (first.len() > 1).then(|| latest.duration_since(*earliest).as_secs_f64() * 1e3)
    }
}

/// The benchmark in a request's `User-Agent: … (benchmark 7; run 1)`.
fn named(request: &[u8]) -> Option<i64> {
    let words = b"(benchmark ";
    let at = request.windows(words.len()).position(|window| window == words)? + words.len();
    let digits: Vec<u8> = request[at..].iter().copied().take_while(u8::is_ascii_digit).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_whose_it_is() {
        let request = b"POST /v1 HTTP/1.1\r\nuser-agent: x/1 (benchmark 71; run 2)\r\n\r\n";
        assert_eq!(named(request), Some(71));
        assert_eq!(named(b"POST /v1 HTTP/1.1\r\nuser-agent: x/1\r\n\r\n"), None);
    }
}
