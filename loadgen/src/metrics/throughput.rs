//! How much was served a second: counts of a stretch of time over its length.

use shared::report::{Rates, Throughput};

use super::{series::Served, window::Steady};
use crate::sample::Micros;

/// Rates over what counts of the run, `counted_us` long, and over the steady window.
///
/// `input_is_whole`: whether every completed request's prompt tokens are known.
pub(super) fn throughput(
    whole: Served,
    counted_us: Micros,
    steady: Option<(Steady, Served)>,
    input_is_whole: bool,
) -> Throughput {
    let over_all = rates(whole, counted_us, input_is_whole);
    Throughput {
        requests_per_s: over_all.requests_per_s,
        input_tokens_per_s: over_all.input_tokens_per_s,
        output_tokens_per_s: over_all.output_tokens_per_s,
        total_tokens_per_s: over_all.total_tokens_per_s,
        steady: steady.map(|(window, served)| {
            rates(served, u64::from(window.seconds()) * 1_000_000, input_is_whole)
        }),
    }
}

fn rates(served: Served, length_us: Micros, input_is_whole: bool) -> Rates {
    let output_tokens_per_s = per_s(served.output_tokens, length_us);
    let input_tokens_per_s = input_is_whole.then(|| per_s(served.input_tokens, length_us));
    Rates {
        requests_per_s: per_s(served.completed, length_us),
        input_tokens_per_s,
        output_tokens_per_s,
        total_tokens_per_s: input_tokens_per_s.map(|input| input + output_tokens_per_s),
    }
}

/// A rate; 0 for no time, in which nothing was served.
#[expect(clippy::cast_precision_loss, reason = "counts and microseconds of one run")]
pub(super) fn per_s(count: u64, length_us: Micros) -> f64 {
    if length_us == 0 { 0.0 } else { count as f64 / (length_us as f64 / 1e6) }
}
