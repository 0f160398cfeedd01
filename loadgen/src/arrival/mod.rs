//! When each request is due.
//!
//! Arrival knows nothing of how requests are sent or how long they take. It must not: a schedule
//! that waits for slow answers lets the server choose when it is measured. Everything here is pure:
//! the same seed, the same times, whatever the number of load threads. The engine brings the clock.

mod all_at_once;
mod chance;
pub mod closed_loop;
mod constant;
mod gamma;
mod poisson;
mod schedule;
mod shard;
pub mod staged;
mod trace;

pub use closed_loop::{ThinkTime, start_us};
pub use schedule::Schedule;
pub use shard::{Shard, Slice};
pub use trace::replayed_us;

use crate::sample::Micros;

/// Due times in order, in microseconds from the run's origin.
type DueTimes = Box<dyn Iterator<Item = Micros>>;

/// Seconds as stamps are kept.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates, and times count from 0"
)]
pub(crate) fn micros(seconds: f64) -> Micros {
    (seconds * 1e6).round() as u64
}

/// Due times from the gaps between them; the first is a gap after the origin.
fn after_gaps(gaps: impl Iterator<Item = f64>) -> impl Iterator<Item = Micros> {
    gaps.scan(0.0, |seconds, gap| {
        *seconds += gap;
        Some(micros(*seconds))
    })
}
