//! How long a run may take, once it has begun to send load.

use std::time::Duration;

use shared::BenchmarkSpec;

use crate::milliseconds;

/// What a run may take beyond its load and grace: for its figures, and for what is slow.
const SLACK: Duration = Duration::from_mins(5);
/// What storing its end may take beyond that.
const STORING: Duration = Duration::from_mins(15);

/// Longest that driving the load of `spec` may take; its runner stops it then.
pub fn longest_load(spec: &BenchmarkSpec) -> Duration {
    // Users who start one after the other do so within the duration.
    let sending = Duration::from_secs(u64::from(spec.load.duration().get()));
    sending + Duration::from_secs_f64(spec.load.grace().get()) + SLACK
}

/// Longest until its end is stored; then somebody else ends it.
pub(crate) fn longest_run_ms(spec: &BenchmarkSpec) -> i64 {
    milliseconds(longest_load(spec) + STORING)
}
