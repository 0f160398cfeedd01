//! Prompts made up to be of a wanted length.
//!
//! A length is that of the user's text, as the tokenizer counts it: what a chat template adds is
//! not in it.

use shared::{Prefixes, Synthetic};

use super::{
    PromptError, Tokenizer,
    chance::{Draws, Purpose},
    context::{Context, TooLong},
    lengths,
    words::Words,
};

/// What is made up.
#[derive(Clone, Debug)]
pub(super) struct MadeUp {
    words: Words,
    synthetic: Synthetic,
}

/// A prompt, and how long its answer may be where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) text: String,
    pub(super) tokens: u32,
    pub(super) output_tokens: Option<u32>,
}

impl MadeUp {
    /// Prompts whose lengths are drawn; the first of them are counted.
    pub(super) fn drawn(
        synthetic: &Synthetic,
        tokenizer: &Tokenizer,
        seed: u64,
    ) -> Result<Self, PromptError> {
        let made_up = Self { words: Words::of(tokenizer)?, synthetic: synthetic.clone() };
        let first =
            (0..).map(|nth| made_up.make(seed, 0, nth)).map(|made| (made.text, made.tokens));
        Words::counted(first, tokenizer)?;
        Ok(made_up)
    }

    /// Whether the longest prompts and their answers fit into `context`.
    pub(super) fn fits(&self, context: &Context) -> Result<(), TooLong> {
        context.takes_drawn(&self.synthetic)
    }

    /// The prompt of user `user`'s request `nth`.
    pub(super) fn make(&self, seed: u64, user: u32, nth: u64) -> Made {
        self.draw(self.synthetic.prefixes, seed, (user, nth))
    }

    /// The prompt of a request that goes on with a conversation: no beginning is shared there.
    pub(super) fn make_further(&self, seed: u64, user: u32, nth: u64) -> Made {
        self.draw(None, seed, (user, nth))
    }

    fn draw(&self, prefixes: Option<Prefixes>, seed: u64, (user, nth): (u32, u64)) -> Made {
        let synthetic = &self.synthetic;
        let mut draws = Draws::of_request(Purpose::Choice, seed, user, nth);
        let (tokens, output_tokens) = lengths::draw(&synthetic.lengths, &mut draws);
        let mut text = String::with_capacity(Words::room(tokens));
        let mut own = tokens;
        if let Some(Prefixes { tokens, count }) = prefixes {
            let which = draws.below(count.get().into());
            let mut prefix = Draws::of_thing(Purpose::Prefix, seed, which);
            self.words.write(&mut text, &mut prefix, tokens.get());
            own -= tokens.get();
        }
        self.words.write(&mut text, &mut Draws::of_request(Purpose::Text, seed, user, nth), own);
        Made { text, tokens, output_tokens }
    }
}
