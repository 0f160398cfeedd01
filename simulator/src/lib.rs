//! A simulated LLM server: the OpenAI dialect with chosen timing, chosen faults, and its own count.
//!
//! People try the service on it and tests hold the instrument against it: token `k` of an answer is
//! due at a time computed from the request's arrival, never from the token before, so the truth is
//! known. It must know nothing of the instrument, or both would share their mistakes.

mod answer;
mod callers;
mod dialect;
mod frame;
mod prometheus;
mod server;
mod settings;
mod stats;
mod stream;
mod words;

pub use callers::Caller;
pub use server::serve;
pub use settings::{InvalidSettings, Settings};
pub use stats::{Faults, Stats};
