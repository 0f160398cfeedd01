//! The server under test: the only crate that opens a connection to one.
//!
//! One place holds the egress policy ([`Egress`]), the key and the dialect: what is sent
//! ([`request`]), how bytes become events ([`sse`]) and what those say ([`chunk`]). It knows no
//! database, no queue and no schedule; who measures brings the clock.

pub mod chunk;
pub mod client;
mod control;
mod egress;
pub mod excerpt;
mod frames;
mod multiplexed;
pub mod probe;
pub mod request;
pub mod response;
pub mod scrape;
pub mod sse;
mod stream;
mod tls;
pub mod wire;

pub use control::{Control, Model, Question, TargetError, Turn};
pub use egress::{Blocked, Egress, InvalidEgress, ResolveFailure};

/// How this service names itself to a target.
pub const USER_AGENT: &str = concat!("llm-benchmark/", env!("CARGO_PKG_VERSION"));
