//! Samples in, report out.
//!
//! Every figure is defined in docs/metrics.md, and each of its rows has a test here. Pure: no
//! clock, nothing async, nothing of the network; the same samples give the same report.

mod aliases;
mod counted;
mod early_stopping;
mod error_window;
mod figures;
mod goodput;
mod histogram;
mod latency;
mod overload;
mod ranks;
mod recorder;
mod report;
#[cfg(test)]
pub(crate) mod samples;
mod series;
mod settle;
mod shares;
mod sketch;
mod tally;
mod target_side;
mod throughput;
mod token_sums;
pub mod validity;
mod window;

pub use counted::Counted;
pub use error_window::ErrorWindow;
pub use figures::{Figures, UnreadableFigures};
pub use histogram::{Histogram, Lag, UnreadableHistogram};
pub use overload::{Counts, Overload};
pub use recorder::{Instrument, Pacing, Plan, Recorder};
pub use settle::{Settled, settle};
pub use shares::Server;
pub use target_side::TargetSide;
