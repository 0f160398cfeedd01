use target::request::Length;

use super::*;
use crate::{
    metrics::samples::{ms, sample},
    prompt::{Ask, tokenizer_tests::words},
};

/// A sample whose events carry these pieces of text.
fn speaking(pieces: &[&str]) -> Sample {
    let times: Vec<u64> = (1..).map(|i| i * 10).take(pieces.len()).collect();
    let mut sample = sample(0, &times);
    for (event, piece) in sample.events.iter_mut().zip(pieces) {
        sample.text.push_str(piece);
        event.text_end = u32::try_from(sample.text.len()).unwrap();
    }
    let length = Length { max_tokens: 10, min_tokens: 0 };
    sample.ask = Some(Ask::text("hello world".to_owned(), length));
    sample
}

fn gaps(settled: &Settled) -> Vec<(u64, u32)> {
    settled.token_gaps().map(|gap| (gap.length_us / 1_000, gap.tokens)).collect()
}

#[test]
fn usage_counts_before_the_tokenizer_and_the_tokenizer_before_events() {
    let pieces = ["hello ", "world hello"];
    let by_usage = settle(speaking(&pieces).counted(9, 5), Some(&words()));
    assert_eq!((by_usage.output_tokens, by_usage.source), (5, TokenSource::Usage));
    assert_eq!((by_usage.input_tokens, by_usage.output_by_tokenizer), (Some(9), Some(3)));

    let by_tokenizer = settle(speaking(&pieces), Some(&words()));
    assert_eq!((by_tokenizer.output_tokens, by_tokenizer.source), (3, TokenSource::Tokenizer));
    assert_eq!(by_tokenizer.input_tokens, Some(2));

    let by_events = settle(speaking(&pieces), None);
    assert_eq!((by_events.output_tokens, by_events.source), (2, TokenSource::Events));
    assert_eq!((by_events.input_tokens, by_events.output_by_tokenizer), (None, None));
}

#[test]
fn the_texts_are_let_go() {
    let settled = settle(speaking(&["hello"]), Some(&words()));
    assert!(settled.sample.text.is_empty() && settled.sample.ask.is_none());
}

#[test]
fn a_server_that_counts_zero_does_not_count() {
    let settled = sample(0, &[10, 20]).counted(0, 0).settled();
    assert_eq!((settled.output_tokens, settled.source), (2, TokenSource::Events));
    assert_eq!(settled.input_tokens, None);
}

#[test]
fn a_difference_of_one_is_the_end_token_and_no_mismatch() {
    let mismatched = |completion| {
        settle(speaking(&["hello ", "world"]).counted(9, completion), Some(&words())).mismatched()
    };
    assert_eq!([2, 3, 1].map(mismatched), [Some(false); 3]);
    assert_eq!(mismatched(4), Some(true));
    assert_eq!(sample(0, &[10]).counted(1, 9).settled().mismatched(), None);
    assert_eq!(settle(speaking(&["hello"]), Some(&words())).mismatched(), None);
}

#[test]
fn k_is_what_each_chunk_s_usage_adds() {
    let settled = sample(0, &[10, 30, 60]).in_chunks_of(&[1, 2, 3]).settled();
    assert_eq!(settled.per_event, Some(vec![1, 2, 3]));
    assert_eq!(gaps(&settled), [(20, 2), (30, 3)]);
}

#[test]
fn k_is_by_the_tokenizer_where_usage_gives_only_a_sum() {
    let settled = settle(speaking(&["hello ", "world hello ", "wor", "ld"]), Some(&words()));
    // "world" is complete with the last event: the one before passes its gap on
    assert_eq!(settled.per_event, Some(vec![1, 2, 0, 1]));
    assert_eq!(gaps(&settled), [(10, 2), (20, 1)]);
}

#[test]
fn k_is_one_where_the_server_counted_one_for_each_event() {
    for counted in [3, 4] {
        let settled = sample(0, &[10, 20, 30]).counted(1, counted).settled();
        assert_eq!(settled.per_event, Some(vec![1, 1, 1]), "{counted} tokens");
    }
}

#[test]
fn k_is_unknown_otherwise() {
    assert_eq!(sample(0, &[10, 20, 30]).counted(1, 7).settled().per_event, None);
    assert_eq!(sample(0, &[10, 20, 30]).counted(1, 2).settled().per_event, None);
    let by_events = sample(0, &[10, 20, 40]).settled();
    assert_eq!(by_events.per_event, None, "counting events says nothing about their tokens");
    assert_eq!(gaps(&by_events), [(10, 1), (20, 1)]);
}

#[test]
fn hidden_reasoning_is_counted_but_was_not_streamed() {
    let reasoning = |saw_reasoning| {
        let mut sample = sample(0, &[500, 510, 520]).counted(1, 103);
        sample.usage.as_mut().unwrap().reasoning_tokens = Some(100);
        sample.saw_reasoning = saw_reasoning;
        sample.settled()
    };
    let hidden = reasoning(false);
    assert_eq!((hidden.output_tokens, hidden.streamed_tokens()), (103, 3));
    assert_eq!(hidden.reasoning_tokens, Some(100));
    assert_eq!(hidden.per_event, Some(vec![1, 1, 1]));
    assert_eq!(hidden.arrivals, [101, 1, 1]);
    let streamed = reasoning(true);
    assert_eq!((streamed.output_tokens, streamed.streamed_tokens()), (103, 103));
}

#[test]
fn arrivals_always_sum_to_the_output_tokens() {
    let arrivals = |sample: Sample| sample.settled().arrivals;
    // one more than events: the end token, counted with the last
    assert_eq!(arrivals(sample(0, &[1, 2, 3]).counted(1, 4)), [1, 1, 2]);
    // unknown: dealt evenly
    assert_eq!(arrivals(sample(0, &[1, 2, 3]).counted(1, 8)), [2, 3, 3]);
    assert_eq!(arrivals(sample(0, &[1, 2, 3]).counted(1, 2)), [0, 1, 1]);
    // by the tokenizer 3, by the server 2
    let less = settle(speaking(&["hello ", "world hello"]).counted(1, 2), Some(&words()));
    assert_eq!(
        (less.per_event.as_deref(), less.arrivals.as_slice()),
        (Some(&[1, 2][..]), &[1, 1][..])
    );
    assert_eq!(arrivals(sample(0, &[]).counted(1, 5)), [0; 0]);
}

#[test]
fn a_token_belongs_to_the_event_that_completed_it() {
    // a character of four bytes that took three tokens came with the second event
    assert_eq!(deal(&[1, 5, 5, 5, 6], &[1, 5, 6]), [1, 3, 1]);
    // an end beyond the text (a normalizer's doing) is the last event's
    assert_eq!(deal(&[9], &[1, 5]), [0, 1]);
    assert_eq!(deal(&[1], &[]), [0; 0]);
}

#[test]
fn gaps_never_run_backwards() {
    let settled = sample(0, &[20, 10]).settled();
    assert_eq!(settled.event_gaps_us().collect::<Vec<_>>(), [0]);
    assert_eq!(settled.token_gaps().next(), Some(Gap { at_us: ms(10), length_us: 0, tokens: 1 }));
}
