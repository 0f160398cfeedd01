//! When each request is due.
//!
//! Arrival knows nothing of how requests are sent or how long they take. Everything here is pure:
//! the same seed, the same times, whatever the number of load threads. The engine brings the clock.

pub mod closed_loop;

pub use closed_loop::{ThinkTime, start_us};
