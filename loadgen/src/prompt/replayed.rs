//! Prompts of a trace: each request says what its row tells of it.

use shared::BenchmarkSpec;
use target::request::Length;

use super::{
    Ask, PromptError, Prompts, Source, Tokenizer, apart,
    chance::{Draws, Purpose},
    context::{Context, TooLong},
    words::Words,
};
use crate::trace::{BLOCK_TOKENS, Row, Said};

/// What the requests of a trace say, by their number.
#[derive(Clone, Debug)]
pub(super) struct Replayed {
    rows: Vec<Row>,
    /// What texts of a length are made of; none: no row is known by its length alone.
    words: Option<Words>,
    /// What requests say of which nothing is known; none: there are none.
    others: Option<Prompts>,
}

impl Prompts {
    /// Prompts for the `rows` of a trace: request `nth` says what the `nth` tells.
    ///
    /// - `tokenizer` counts those that are known by their length.
    /// - `others` are those of which nothing is known.
    pub(crate) async fn replaying(
        rows: Vec<Row>,
        spec: &BenchmarkSpec,
        tokenizer: Option<&Tokenizer>,
        others: Option<Self>,
    ) -> Result<Self, PromptError> {
        let (tokenizer, seed) = (tokenizer.cloned(), spec.seed.get());
        let replayed =
            apart(move || Replayed::of(rows, tokenizer.as_ref(), others, seed)).await??;
        Ok(Self::from(Source::Replayed(Box::new(replayed)), spec))
    }
}

impl Replayed {
    fn of(
        rows: Vec<Row>,
        tokenizer: Option<&Tokenizer>,
        others: Option<Prompts>,
        seed: u64,
    ) -> Result<Self, PromptError> {
        let mut replayed = Self { rows, words: None, others };
        if let Some(tokenizer) = tokenizer
            && replayed.rows.iter().any(|row| matches!(row.said, Said::Tokens { .. }))
        {
            let words = Words::of(tokenizer)?;
            let made = (0..).zip(&replayed.rows).filter_map(|(nth, row)| match &row.said {
                Said::Tokens { tokens, blocks } => {
                    Some((written(&words, *tokens, blocks, seed, nth), *tokens))
                }
                Said::Text(_) | Said::Anything => None,
            });
            Words::counted(made, tokenizer)?;
            replayed.words = Some(words);
        }
        Ok(replayed)
    }

    /// Whether the prompts that are known by their length fit into `context` with their answers.
    pub(super) fn fits(&self, context: &Context) -> Result<(), TooLong> {
        context.takes_replayed(&self.rows)
    }

    /// What request `nth` says; `length` is that of answers where the trace does not tell.
    pub(super) fn ask(&self, seed: u64, nth: u64, length: Length) -> Ask {
        let row = usize::try_from(nth).ok().and_then(|nth| self.rows.get(nth));
        // An embedding has no output, whatever a trace of answers tells.
        let max_tokens = row.and_then(|row| row.output_tokens).filter(|_| length.max_tokens > 0);
        let length = Length { max_tokens: max_tokens.unwrap_or(length.max_tokens), ..length };
        match (row.map(|row| &row.said), &self.words, &self.others) {
            (Some(Said::Text(text)), ..) => Ask::text(text.to_string(), length),
            (Some(Said::Tokens { tokens, blocks }), Some(words), _) => {
                Ask::text(written(words, *tokens, blocks, seed, nth), length)
            }
            (_, _, Some(others)) => others.ask(0, nth).with(length),
            // No schedule has such a request.
            _ => Ask::text(String::new(), length),
        }
    }
}

/// A text of `tokens` words, those of its `blocks` first.
fn written(words: &Words, tokens: u32, blocks: &[u64], seed: u64, nth: u64) -> String {
    let mut text = String::with_capacity(Words::room(tokens));
    let mut left = tokens;
    for block in blocks {
        let taken = left.min(BLOCK_TOKENS);
        words.write(&mut text, &mut Draws::of_thing(Purpose::Block, seed, *block), taken);
        left -= taken;
    }
    words.write(&mut text, &mut Draws::of_request(Purpose::Text, seed, 0, nth), left);
    text
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, path::Path};

    use serde_json::json;
    use shared::request::{Defaults, Fields, NewBenchmark};

    use super::*;
    use crate::prompt::{
        hub::tests::unreachable_hub,
        tokenizer_tests::{bytes, pieces},
    };

    fn spec(more: &serde_json::Value) -> BenchmarkSpec {
        let mut fields = json!({"url": "http://llm.example", "trace": "t.jsonl"});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let fields: Fields = serde_json::from_value(fields).unwrap();
        NewBenchmark::parse(&fields, &Defaults::default(), 7.try_into().unwrap()).unwrap().spec
    }

    fn row(said: Said, output_tokens: Option<u32>) -> Row {
        Row { due_us: 0, output_tokens, said }
    }

    fn tokens(tokens: u32, output_tokens: Option<u32>, blocks: &[u64]) -> Row {
        row(Said::Tokens { tokens, blocks: blocks.into() }, output_tokens)
    }

    fn text(ask: &Ask) -> String {
        ask.said().first_text().unwrap().to_owned()
    }

    #[tokio::test]
    async fn requests_share_the_blocks_whose_numbers_are_equal() {
        let tokenizer = pieces(&[]);
        let rows = vec![
            tokens(1_200, Some(40), &[7, 8, 9]),
            tokens(1_100, None, &[7, 8, 10]),
            tokens(700, Some(1), &[7]),
            tokens(700, Some(1), &[7]),
            tokens(30, None, &[]),
        ];
        let spec = spec(&json!({}));
        let prompts = Prompts::replaying(rows, &spec, Some(&tokenizer), None).await.unwrap();
        let asks: Vec<Ask> = (0..5).map(|nth| prompts.ask(0, nth)).collect();
        let counted: Vec<_> = asks.iter().map(|ask| tokenizer.count(&text(ask)).unwrap()).collect();
        assert_eq!(counted, [1_200, 1_100, 700, 700, 30]);
        let most: Vec<_> = asks.iter().map(|ask| ask.length.max_tokens).collect();
        assert_eq!(most, [40, 128, 1, 1, 128]);
        let shared = |one: usize, other: usize| {
            let (one, other) = (text(&asks[one]), text(&asks[other]));
            one.split(' ').zip(other.split(' ')).take_while(|(a, b)| a == b).count()
        };
        assert!((1_024..1_030).contains(&shared(0, 1)), "{}", shared(0, 1));
        assert!((512..518).contains(&shared(0, 2)), "{}", shared(0, 2));
        assert!((512..518).contains(&shared(2, 3)), "what blocks leave is a request's own");
    }

    #[tokio::test]
    async fn a_row_says_its_text_or_else_a_prompt_of_the_data_set() {
        let nowhere = Path::new("/nowhere/at/all");
        let spec = spec(&json!({"max_tokens": 64}));
        let others = Prompts::load(&spec, None, nowhere, &unreachable_hub(nowhere)).await.unwrap();
        let rows = vec![
            row(Said::Text("Say hi.".into()), Some(3)),
            row(Said::Anything, Some(5)),
            row(Said::Anything, None),
        ];
        let prompts = Prompts::replaying(rows, &spec, None, Some(others.clone())).await.unwrap();
        let asks: Vec<Ask> = (0..3).map(|nth| prompts.ask(0, nth)).collect();
        assert_eq!(text(&asks[0]), "Say hi.");
        assert_eq!(text(&asks[1]), text(&others.ask(0, 1)));
        assert_eq!(text(&asks[2]), text(&others.ask(0, 2)));
        let most: Vec<_> = asks.iter().map(|ask| ask.length.max_tokens).collect();
        assert_eq!(most, [3, 5, 64]);
        let different: HashSet<_> = asks.iter().map(text).collect();
        assert_eq!(different.len(), 3);
    }

    #[tokio::test]
    async fn an_embedding_has_no_output_whatever_the_trace_tells() {
        let rows = vec![row(Said::Text("x".into()), Some(9))];
        let spec = spec(&json!({"endpoint": "embeddings"}));
        let prompts = Prompts::replaying(rows, &spec, None, None).await.unwrap();
        assert_eq!(prompts.ask(0, 0).length.max_tokens, 0);
    }

    #[tokio::test]
    async fn a_tokenizer_that_cannot_count_by_words_is_refused() {
        let rows = vec![tokens(9, None, &[])];
        let refused = Prompts::replaying(rows, &spec(&json!({})), Some(&bytes()), None).await;
        assert!(refused.unwrap_err().to_string().starts_with("tokenizer: it has 0 of the words "));
    }
}
