//! Whether prompts and their answers fit into what the target takes at once.
//!
//! Judged by what is certain: a chat template adds tokens that nobody counts here, and a text that
//! has no more bytes than there is room has no more tokens either.

use shared::{Bell, BenchmarkSpec, MaxTokens, Synthetic, TokenLength, Turns};

use super::{Tokenizer, dataset::Conversation};
use crate::trace::{Row, Said};

/// How many deviations above its mean the largest length is taken to be, of one without bounds.
const DEVIATIONS: f64 = 3.0;

/// A prompt and its answer that are longer than the target's context.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: prompt {prompt} + output {output} > context {context} of the target, in tokens")]
pub struct TooLong {
    /// The request's field, and where in it.
    field: String,
    /// Tokens of the prompt.
    prompt: u64,
    /// Most tokens of its answer.
    output: u64,
    /// Tokens that the target takes.
    context: u64,
}

/// What the target takes at once, and how long answers may be where nothing else tells.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// Tokens of prompt and answer together.
    pub(super) tokens: u64,
    /// `max_tokens`; 0 where there are no answers.
    pub(super) output: u64,
    /// Turns of a conversation.
    turns: u64,
    /// Whether answers are exactly as long as they may be.
    exact: bool,
}

impl Context {
    /// That of a target that takes `tokens`.
    pub(super) fn of(tokens: u64, output: u32, spec: &BenchmarkSpec) -> Self {
        let turns = u64::from(spec.turns.map_or(1, Turns::get));
        Self { tokens, output: output.into(), turns, exact: spec.output.ignore_eos }
    }

    fn fits(
        &self,
        field: impl FnOnce() -> String,
        prompt: u64,
        output: u64,
    ) -> Result<(), TooLong> {
        if prompt + output <= self.tokens {
            return Ok(());
        }
        Err(TooLong { field: field(), prompt, output, context: self.tokens })
    }

    /// Whether the longest prompts of each part fit.
    pub(super) fn takes_drawn(&self, synthetic: &Synthetic) -> Result<(), TooLong> {
        let parts = synthetic.lengths.parts();
        for (nth, part) in (1..).zip(parts) {
            let prompt = largest(&part.prompt, shared::MOST_PROMPT_TOKENS);
            let output = part.output.as_ref().map_or(self.output, |it| largest(it, MaxTokens::MAX));
            let answers = if self.exact { (self.turns - 1) * output } else { 0 };
            let field = || match (self.turns, parts.len()) {
                (1, 1) => "prompt_tokens".to_owned(),
                (1, _) => format!("mix, part {nth}"),
                (turns, _) => format!("turns, after {turns} of them"),
            };
            self.fits(field, self.turns * prompt + answers, output)?;
        }
        Ok(())
    }

    /// Whether the requests of a trace fit whose lengths it tells.
    pub(super) fn takes_replayed(&self, rows: &[Row]) -> Result<(), TooLong> {
        for (nth, row) in (1..).zip(rows) {
            let Said::Tokens { tokens, .. } = row.said else { continue };
            let output = row.output_tokens.filter(|_| self.output > 0);
            let output = output.map_or(self.output, u64::from);
            self.fits(|| format!("trace, request {nth}"), tokens.into(), output)?;
        }
        Ok(())
    }

    /// Whether the conversations of the data set `name` fit, as far as `tokenizer` can tell.
    pub(super) fn takes(
        &self,
        name: &str,
        conversations: &[Conversation],
        tokenizer: Option<&Tokenizer>,
    ) -> Result<(), TooLong> {
        let own = conversations.iter().all(|it| it.each_turn().all(|(_, own)| own.is_some()));
        if !own {
            self.fits(|| "max_tokens".to_owned(), 1, self.output)?;
        }
        for conversation in conversations {
            let (mut bytes, mut said) = (0, Vec::new());
            for (texts, own) in conversation.each_turn() {
                let output = own.map_or(self.output, u64::from);
                bytes += texts.iter().map(|text| text.len() as u64).sum::<u64>();
                let room = self.tokens.saturating_sub(output);
                let counted = |text: &&str| tokenizer.and_then(|tokenizer| tokenizer.count(text));
                said.extend(texts);
                if bytes <= room {
                    continue;
                }
                let Some(prompt) = said.iter().map(counted).sum::<Option<u64>>() else { break };
                let field = || match conversation.place() {
                    Some(at) => format!("dataset {name}, {at}"),
                    None => "max_tokens".to_owned(),
                };
                self.fits(field, prompt, output)?;
            }
        }
        Ok(())
    }
}

/// The largest length that is drawn, but for one in hundreds where it has no bounds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates, and none is negative"
)]
fn largest(length: &TokenLength, most: u32) -> u64 {
    let most = length.most(most).into();
    match length {
        TokenLength::Bell(Bell { mean, deviation, bounds: None, .. }) => {
            ((mean + DEVIATIONS * deviation).ceil() as u64).min(most)
        }
        _ => most,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::tests::spec_of;

    fn context(tokens: u64, fields: serde_json::Value) -> Result<(), String> {
        let spec = spec_of(fields, 7);
        let context = Context::of(tokens, spec.output.max_tokens.get(), &spec);
        let takes = context.takes_drawn(&spec.synthetic.unwrap());
        takes.map_err(|too_long| too_long.to_string())
    }

    #[test]
    fn the_largest_prompt_that_is_drawn_must_fit_with_its_answer() {
        use serde_json::json;
        let with = |mut fields: serde_json::Value| {
            fields["tokenizer"] = "t.json".into();
            fields["max_tokens"] = 100.into();
            move |tokens| context(tokens, fields.clone())
        };
        let fixed = with(json!({"prompt_tokens": 900}));
        assert_eq!(fixed(1_000), Ok(()));
        assert_eq!(
            fixed(999).unwrap_err(),
            "prompt_tokens: prompt 900 + output 100 > context 999 of the target, in tokens"
        );
        let mix = with(json!({"mix": "50% 10/5, 50% uniform(10,80)/30"}));
        assert_eq!(mix(110), Ok(()));
        assert!(mix(109).unwrap_err().starts_with("mix, part 2: prompt 80 + output 30 > "));
        let bell = with(json!({"prompt_tokens": "normal(500,100)"}));
        assert_eq!(bell(900), Ok(()), "three deviations");
        assert!(bell(899).unwrap_err().contains("prompt 800 + output 100"));
        let bounded = with(json!({"prompt_tokens": "lognormal(500,100,1..600)"}));
        assert_eq!(bounded(700), Ok(()));
        let turns = with(json!({"prompt_tokens": 100, "turns": 4}));
        assert_eq!(turns(500), Ok(()));
        assert!(turns(499).unwrap_err().starts_with("turns, after 4 of them: prompt 400 + "));
        let exact = with(json!({"prompt_tokens": 100, "turns": 4, "ignore_eos": true}));
        assert!(exact(799).unwrap_err().contains("prompt 700 + output 100"));
        assert_eq!(exact(800), Ok(()));
    }

    #[test]
    fn each_length_that_a_trace_tells_must_fit_with_its_answer() {
        let row = |tokens: Option<u32>, output_tokens| {
            let said = tokens
                .map_or(Said::Anything, |tokens| Said::Tokens { tokens, blocks: Box::default() });
            Row { due_us: 0, output_tokens, said }
        };
        let rows = [row(None, Some(999)), row(Some(50), None), row(Some(60), Some(41))];
        let spec = spec_of(serde_json::json!({"max_tokens": 50}), 7);
        let takes = |tokens, output| Context::of(tokens, output, &spec).takes_replayed(&rows);
        assert_eq!(takes(101, 50), Ok(()));
        assert_eq!(
            takes(100, 50).unwrap_err().to_string(),
            "trace, request 3: prompt 60 + output 41 > context 100 of the target, in tokens"
        );
        assert_eq!(takes(60, 0), Ok(()), "embeddings have no answers");
    }
}
