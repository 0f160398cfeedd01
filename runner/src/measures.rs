//! What this runner does, counted for Prometheus.

use std::time::Duration;

use shared::Progress;
use store::StoreError;

const IN_FLIGHT: &str = "llm_bench_load_in_flight";
const REQUESTS: &str = "llm_bench_load_requests_total";
const ERRORS: &str = "llm_bench_load_errors_total";
const TOKENS: &str = "llm_bench_load_output_tokens_total";
const RENEWAL: &str = "llm_bench_lease_renewal_age_seconds";
const REFUSED: &str = "llm_bench_fenced_writes_refused_total";

/// Says what each figure means, and begins those that only grow at 0.
pub(crate) fn describe() {
    metrics::describe_gauge!(IN_FLIGHT, "Requests to a target that are open now.");
    metrics::describe_counter!(REQUESTS, "Requests to targets that ended, well or not.");
    metrics::describe_counter!(ERRORS, "Of them, those that failed.");
    metrics::describe_counter!(TOKENS, "Output tokens received; a rate of it is events a second.");
    metrics::describe_histogram!(RENEWAL, "Age of a lease when it was renewed: its lag.");
    metrics::describe_counter!(
        REFUSED,
        "Writes refused because the run belongs to somebody else now."
    );
    for counter in [REQUESTS, ERRORS, TOKENS, REFUSED] {
        metrics::counter!(counter).increment(0);
    }
    metrics::gauge!(IN_FLIGHT).set(0.0);
}

/// What one run has come to so far; told anew as it goes on.
#[derive(Default)]
pub(crate) struct Told(Progress);

impl Told {
    pub(crate) fn progress(&mut self, now: &Progress) {
        #[expect(clippy::cast_precision_loss, reason = "no runner has 2^53 requests open")]
        metrics::gauge!(IN_FLIGHT).set(now.in_flight as f64);
        for (counter, now, before) in [
            (REQUESTS, now.requests, self.0.requests),
            (ERRORS, now.errors, self.0.errors),
            (TOKENS, now.output_tokens, self.0.output_tokens),
        ] {
            metrics::counter!(counter).increment(now.saturating_sub(before));
        }
        self.0 = now.clone();
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        metrics::gauge!(IN_FLIGHT).set(0.0);
    }
}

/// A lease was renewed when its last renewal was so long ago.
pub(crate) fn renewed(age: Duration) {
    metrics::histogram!(RENEWAL).record(age);
}

/// A write has failed; counted, where a fence refused it.
pub(crate) fn failed(write: &StoreError) {
    if matches!(write, StoreError::Lost(_)) {
        metrics::counter!(REFUSED).increment(1);
    }
}
