//! The tables as sea-orm sees them: one file a table, no logic.
//!
//! Columns are plain here; what a status or a JSON value means is known to `store` alone. Times
//! are unix milliseconds by the database's clock and end in `_ms`.

#![expect(missing_docs, reason = "sea-orm's derives make public items that cannot carry comments")]

pub mod benchmark;
pub mod benchmark_artifact;
pub mod benchmark_event;
pub mod benchmark_histogram;
pub mod benchmark_partial;
pub mod benchmark_secret;
pub mod benchmark_series;
pub mod benchmark_shard;
pub mod benchmark_target;
pub mod idempotency;
pub mod runner;
