//! The instrument: makes load, measures, computes.
//!
//! [`prepare`] does whatever can fail before the first request; [`Prepared::run`] drives the load
//! and gives the figures. Knows no database, no queue and no HTTP API, so that figures cannot
//! depend on our storage and the command line gets the instrument whole.

mod answer;
mod arrival;
pub mod capacity;
mod engine;
mod exchange;
mod failure;
mod metrics;
mod patience;
mod prompt;
mod record;
mod sample;
mod trace;

pub use arrival::Shard;
pub use engine::{
    Control, Deadline, Driver, Handicap, Measured, Outcome, PrepareError, Prepared, Settings,
    Snapshot, prepare, socket_capacity,
};
pub use metrics::{Figures, Histogram, UnreadableFigures, UnreadableHistogram};
pub use prompt::{Hub, InvalidHub};
