//! What the server itself counted, so that a client's sums can be held against it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};

use crate::{
    answer::Fault,
    callers::{Caller, Callers},
};

/// What `GET /stats` answers. Sums since the server started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Requests for an answer, refused ones included.
    pub requests: u64,
    /// Answers handed over in full.
    pub completed: u64,
    /// Requests refused because of what they asked or of their key.
    pub refused: u64,
    /// Answers whose client left before their end, stalled ones included.
    pub left: u64,
    /// Answers open now.
    pub open: u64,
    /// Output tokens sent, those of answers that never ended included.
    pub tokens: u64,
    /// Output tokens of the answers handed over in full.
    pub completed_tokens: u64,
    /// Prompt tokens of the answers handed over in full.
    pub completed_prompt_tokens: u64,
    /// Faults, by kind.
    pub faults: Faults,
    /// The runs whose requests came, of those that name themselves.
    #[serde(default)]
    pub runs: Vec<Caller>,
}

/// Faults that were injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// Refusals with 429.
    pub http_429: u64,
    /// Refusals with 500.
    pub http_500: u64,
    /// Connections cut half-way.
    pub cut: u64,
    /// Answers that stood still.
    pub stall: u64,
    /// Answers with an event that was no JSON.
    pub malformed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    requests: AtomicU64,
    completed: AtomicU64,
    pub(crate) refused: AtomicU64,
    left: AtomicU64,
    open: AtomicU64,
    tokens: AtomicU64,
    completed_tokens: AtomicU64,
    completed_prompt_tokens: AtomicU64,
    http_429: AtomicU64,
    http_500: AtomicU64,
    cut: AtomicU64,
    stall: AtomicU64,
    malformed: AtomicU64,
    pub(crate) callers: Callers,
}

impl Counters {
    /// Counts a request and gives its number, from 0.
    pub(crate) fn request(&self) -> u64 {
        self.requests.fetch_add(1, Relaxed)
    }

    pub(crate) fn fault(&self, fault: Fault) {
        let counter = match fault {
            Fault::TooManyRequests => &self.http_429,
            Fault::ServerError => &self.http_500,
            Fault::Cut => &self.cut,
            Fault::Stall => &self.stall,
            Fault::Malformed => &self.malformed,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        Stats {
            connections: get(&self.connections),
            requests: get(&self.requests),
            completed: get(&self.completed),
            refused: get(&self.refused),
            left: get(&self.left),
            open: get(&self.open),
            tokens: get(&self.tokens),
            completed_tokens: get(&self.completed_tokens),
            completed_prompt_tokens: get(&self.completed_prompt_tokens),
            faults: Faults {
                http_429: get(&self.http_429),
                http_500: get(&self.http_500),
                cut: get(&self.cut),
                stall: get(&self.stall),
                malformed: get(&self.malformed),
            },
            runs: self.callers.read(),
        }
    }
}

/// An answer that is open, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenAnswer {
    counters: Arc<Counters>,
    prompt_tokens: u64,
    tokens: u64,
    ended: bool,
}

impl OpenAnswer {
    pub(crate) fn new(counters: &Arc<Counters>, prompt_tokens: u64) -> Self {
        counters.open.fetch_add(1, Relaxed);
        Self { counters: Arc::clone(counters), prompt_tokens, tokens: 0, ended: false }
    }

    /// Counts tokens that were handed over.
    pub(crate) fn sent(&mut self, tokens: u64) {
        self.tokens += tokens;
        self.counters.tokens.fetch_add(tokens, Relaxed);
    }

    /// Counts the answer as handed over in full.
    pub(crate) fn completed(&mut self) {
        self.ended = true;
        self.counters.completed.fetch_add(1, Relaxed);
        self.counters.completed_tokens.fetch_add(self.tokens, Relaxed);
        self.counters.completed_prompt_tokens.fetch_add(self.prompt_tokens, Relaxed);
    }

    /// Counts the fault the answer ends or has ended with.
    pub(crate) fn fault(&self, fault: Fault) {
        self.counters.fault(fault);
    }

    /// Ends the answer without completing it.
    pub(crate) fn broken(&mut self) {
        self.ended = true;
    }
}

impl Drop for OpenAnswer {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Relaxed);
        if !self.ended {
            self.counters.left.fetch_add(1, Relaxed);
        }
    }
}
