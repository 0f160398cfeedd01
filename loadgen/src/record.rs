//! A request as its row in the requests file tells it.

use records::{Connection, Record};
use shared::report::TokenSource;

use crate::{
    failure::RequestFailure,
    metrics::Settled,
    sample::{ConnectionUse, Outcome},
};

/// Most bytes of a failure's words: enough to know it by, and a server may say a lot.
const MESSAGE_BYTES: usize = 512;

/// The row of `settled`, the `index`th to end.
///
/// - `counted`: whether the report's latencies count it.
/// - `by_user`: whether a user sent it, and not a schedule.
/// - `token_times`: whether it says when each token event came.
pub(crate) fn record(
    settled: &Settled,
    index: u64,
    counted: bool,
    by_user: bool,
    token_times: bool,
) -> Record {
    let sample = &settled.sample;
    let (first_us, last_us) = (sample.first_token_us(), sample.answered_us());
    let stream_us = last_us.zip(first_us).map(|(last, first)| last.saturating_sub(first));
    let after_first = settled.tokens_after_first();
    let gaps = settled.token_gaps().map(|gap| (gap.length_us, u64::from(gap.tokens)));
    let (gaps_us, gap_tokens) = gaps.fold((0, 0), |sums, gap| (sums.0 + gap.0, sums.1 + gap.1));
    let (outcome, failure) = match &sample.outcome {
        Outcome::Completed => (records::Outcome::Completed, None),
        Outcome::Failed(failure) => (records::Outcome::Failed, Some(failure)),
        Outcome::Cancelled => (records::Outcome::Cancelled, None),
    };
    Record {
        index,
        user: by_user.then_some(sample.user),
        nth: sample.nth,
        target: sample.target,
        turn: sample.turn,
        intended_us: sample.intended_us,
        picked_up_us: sample.picked_up_us,
        sent_us: sample.sent_us,
        first_event_us: sample.first_event_us,
        first_token_us: first_us,
        first_answer_us: sample.first_answer_us,
        last_token_us: last_us,
        end_us: sample.end_us,
        outcome,
        failure: failure.map(|failure| failure.class().as_str()),
        message: failure.map(|failure| shortened(failure.to_string())),
        http_status: status(failure, sample.first_event_us.or(sample.whole_us).is_some()),
        counted,
        tpot_ms: stream_us.and_then(|us| quotient_ms(us, after_first)),
        itl_mean_ms: quotient_ms(gaps_us, gap_tokens),
        stall_us: settled.event_gaps_us().max(),
        token_events: sample.events.len() as u64,
        input_tokens: settled.input_tokens,
        output_tokens: settled.output_tokens,
        reasoning_tokens: settled.reasoning_tokens,
        output_by_tokenizer: settled.output_by_tokenizer,
        token_source: word(settled.source),
        asked_tokens: sample.asked_tokens,
        finish_reason: sample.finish_reason.clone(),
        connection: sample.connection.map(|how| match how {
            ConnectionUse::Opened { connect_us, .. } => Connection::Opened { connect_us },
            ConnectionUse::Reused => Connection::Reused,
        }),
        token_reads: sample.token_reads,
        coalesced_reads: sample.coalesced_reads,
        token_times_us: if token_times && sample.whole_us.is_none() {
            sample.events.iter().map(|event| event.at_us).collect()
        } else {
            Vec::new()
        },
    }
}

/// The status, as far as what came of it tells: no event and no answer comes but in a 200.
fn status(failure: Option<&RequestFailure>, answered: bool) -> Option<u16> {
    match failure {
        Some(RequestFailure::Status { status, .. }) => Some(*status),
        _ if answered => Some(200),
        _ => None,
    }
}

fn word(source: TokenSource) -> &'static str {
    match source {
        TokenSource::Usage => "usage",
        TokenSource::Tokenizer => "tokenizer",
        TokenSource::Events => "events",
        TokenSource::Mixed => "mixed",
    }
}

/// `us / parts` in milliseconds; none for 0 parts.
#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn quotient_ms(us: u64, parts: u64) -> Option<f64> {
    (parts > 0).then(|| us as f64 / parts as f64 / 1e3)
}

fn shortened(mut words: String) -> String {
    words.truncate(words.floor_char_boundary(MESSAGE_BYTES));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::samples::sample;

    #[test]
    fn the_row_of_an_answer_that_was_not_streamed_has_no_token_times() {
        let row = record(&sample(100, &[300]).whole().settled(), 0, true, true, true);
        assert_eq!((row.first_token_us, row.last_token_us), (None, Some(300_000)));
        assert_eq!((row.http_status, row.tpot_ms), (Some(200), None));
        assert!(row.token_times_us.is_empty());
    }
}
