//! Other tools' figures of the same stream, by their formulas: docs/metrics.md has each with the
//! version it was read from.

use serde::{Deserialize, Serialize};
use shared::report;

use super::{histogram::Histogram, settle::Settled};
use crate::sample::{Micros, Outcome};

/// Figures of the requests so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Aliases {
    vllm_ttft: Histogram,
    vllm_tpot: Histogram,
    vllm_itl: Histogram,
    guidellm_tpot: Histogram,
    guidellm_itl: Histogram,
    aiperf_itl: Histogram,
    genai_perf_itl: Histogram,
}

impl Aliases {
    /// Takes one request, however it ended.
    pub(super) fn record(&mut self, settled: &Settled) {
        let sample = &settled.sample;
        let (Outcome::Completed, Some(sent), Some(first_us), Some(last)) =
            (&sample.outcome, sample.sent_us, sample.first_token_us(), sample.events.last())
        else {
            return;
        };
        let stream_us = last.at_us.saturating_sub(first_us);
        let after_first = settled.output_tokens.saturating_sub(1);
        self.record_vllm(&choices_us(settled), sent, after_first);

        self.guidellm_tpot.record_split(last.at_us.saturating_sub(sent), settled.output_tokens);
        self.guidellm_itl.record_split(stream_us, after_first);

        let by_client = settled.output_by_tokenizer.unwrap_or(settled.output_tokens);
        self.aiperf_itl.record_quotient(stream_us, by_client.saturating_sub(1));
        if sample.events.len() > 1 && !sample.saw_reasoning {
            self.genai_perf_itl.record_quotient(stream_us, by_client.saturating_sub(1));
        }
    }

    /// Adds what `other` holds of other requests.
    pub(super) fn merge(&mut self, other: &Self) {
        self.vllm_ttft.merge(&other.vllm_ttft);
        self.vllm_tpot.merge(&other.vllm_tpot);
        self.vllm_itl.merge(&other.vllm_itl);
        self.guidellm_tpot.merge(&other.guidellm_tpot);
        self.guidellm_itl.merge(&other.guidellm_itl);
        self.aiperf_itl.merge(&other.aiperf_itl);
        self.genai_perf_itl.merge(&other.genai_perf_itl);
    }

    fn record_vllm(&mut self, choices_us: &[Micros], sent_us: Micros, after_first: u64) {
        let [first, .., last] = choices_us else {
            if let [only] = choices_us {
                self.vllm_ttft.record_us(only.saturating_sub(sent_us));
                self.vllm_tpot.record_quotient(0, after_first);
            }
            return;
        };
        self.vllm_ttft.record_us(first.saturating_sub(sent_us));
        self.vllm_tpot.record_quotient(last - first, after_first);
        for pair in choices_us.windows(2) {
            self.vllm_itl.record_us(pair[1] - pair[0]);
        }
    }

    pub(super) fn figures(&self) -> report::Aliases {
        report::Aliases {
            vllm_ttft_ms: self.vllm_ttft.distribution(),
            vllm_tpot_ms: self.vllm_tpot.distribution(),
            vllm_itl_ms: self.vllm_itl.distribution(),
            guidellm_tpot_ms: self.guidellm_tpot.distribution(),
            guidellm_itl_ms: self.guidellm_itl.distribution(),
            aiperf_itl_ms: self.aiperf_itl.distribution(),
            genai_perf_itl_ms: self.genai_perf_itl.distribution(),
        }
    }
}

/// When each event with a choice came, with a token or without, in order.
fn choices_us(settled: &Settled) -> Vec<Micros> {
    let sample = &settled.sample;
    let with_token = sample.events.iter().map(|event| event.at_us);
    let mut choices_us: Vec<Micros> =
        with_token.chain(sample.bare_choices_us.iter().copied()).collect();
    choices_us.sort_unstable();
    choices_us
}

#[cfg(test)]
mod tests {
    use shared::report::Distribution;

    use super::*;
    use crate::{
        metrics::{
            samples::{ms, overloaded, sample},
            settle,
        },
        prompt::tokenizer_tests::words,
        sample::Sample,
    };

    fn figures(settled: impl IntoIterator<Item = Settled>) -> report::Aliases {
        let mut aliases = Aliases::default();
        for settled in settled {
            aliases.record(&settled);
        }
        aliases.figures()
    }

    /// Sent at 1,000 ms: the role at 1,100, tokens at 1,200, 1,300 and 1,500, the finish reason at
    /// 1,520; usage counts 5 tokens.
    fn answer() -> Sample {
        let mut answer = sample(1_000, &[1_200, 1_300, 1_500]).counted(9, 5);
        answer.bare_choices_us = vec![ms(1_100), ms(1_520)];
        answer
    }

    /// Count, mean, least and greatest.
    fn told(distribution: Option<Distribution>) -> (u64, f64, f64, f64) {
        let d = distribution.unwrap();
        (d.n, d.mean, d.min, d.max)
    }

    #[test]
    fn vllm_s_first_token_is_the_first_event_with_a_choice() {
        let figures = figures([answer().settled()]);
        assert_eq!(told(figures.vllm_ttft_ms), (1, 100.0, 100.0, 100.0));
    }

    #[test]
    fn vllm_s_tpot_is_from_the_first_to_the_last_event_with_a_choice() {
        // (1,520 - 1,100) / (5 - 1)
        let figures = figures([answer().settled()]);
        assert_eq!(told(figures.vllm_tpot_ms), (1, 105.0, 105.0, 105.0));
    }

    #[test]
    fn vllm_s_itl_is_the_gaps_between_events_with_a_choice() {
        // 100, 100, 200 and 20
        let figures = figures([answer().settled()]);
        assert_eq!(told(figures.vllm_itl_ms), (4, 105.0, 20.0, 200.0));
    }

    #[test]
    fn guidellm_s_tpot_has_ttft_in_it_and_weighs_by_tokens() {
        // (1,500 - 1,000) / 5, five times; and 50 / 1, once
        let figures = figures([answer().settled(), sample(0, &[50]).counted(9, 1).settled()]);
        let (n, mean, min, max) = told(figures.guidellm_tpot_ms);
        assert_eq!((n, min, max), (6, 50.0, 100.0));
        assert!((mean - 550.0 / 6.0).abs() < 1e-5, "{mean}");
    }

    #[test]
    fn guidellm_s_itl_is_a_mean_that_weighs_by_tokens() {
        // (1,500 - 1,200) / (5 - 1), four times; a single token has none
        let figures = figures([answer().settled(), sample(0, &[50]).counted(9, 1).settled()]);
        assert_eq!(told(figures.guidellm_itl_ms), (4, 75.0, 75.0, 75.0));
    }

    #[test]
    fn aiperf_s_and_genai_perf_s_itl_divide_by_the_tokenizer_s_count() {
        let mut answer = answer();
        answer.text = "hello world hello".to_owned();
        for (event, end) in answer.events.iter_mut().zip([5, 11, 17]) {
            event.text_end = end;
        }
        // (1,500 - 1,200) / (3 - 1)
        let with_tokenizer = figures([settle(answer, Some(&words()))]);
        assert_eq!(told(with_tokenizer.aiperf_itl_ms), (1, 150.0, 150.0, 150.0));
        assert_eq!(told(with_tokenizer.genai_perf_itl_ms), (1, 150.0, 150.0, 150.0));
    }

    #[test]
    fn without_a_tokenizer_aiperf_s_and_genai_perf_s_itl_divide_by_ours() {
        let mut thinking = answer();
        thinking.saw_reasoning = true;
        let figures = figures([answer().settled(), thinking.settled()]);
        assert_eq!(told(figures.aiperf_itl_ms), (2, 75.0, 75.0, 75.0));
        // genai-perf does not read reasoning
        assert_eq!(told(figures.genai_perf_itl_ms), (1, 75.0, 75.0, 75.0));
    }

    #[test]
    fn an_answer_in_one_event_is_zero_to_those_who_divide_and_nothing_to_genai_perf() {
        let figures = figures([sample(0, &[300]).counted(9, 4).settled()]);
        assert_eq!(told(figures.vllm_ttft_ms), (1, 300.0, 300.0, 300.0));
        assert_eq!(told(figures.vllm_tpot_ms), (1, 0.0, 0.0, 0.0));
        assert_eq!(told(figures.guidellm_itl_ms), (3, 0.0, 0.0, 0.0));
        assert_eq!(told(figures.aiperf_itl_ms), (1, 0.0, 0.0, 0.0));
        assert_eq!((figures.vllm_itl_ms, figures.genai_perf_itl_ms), (None, None));
    }

    #[test]
    fn only_completed_requests_are_in_them() {
        let figures =
            figures([answer().failed(overloaded()).settled(), answer().cancelled().settled()]);
        assert_eq!(figures, report::Aliases::default());
    }
}
