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

/// Tokens of the texts that are counted before the load, to see that they are what they are to be.
const COUNTED_TOKENS: u64 = 400_000;

/// Tokens of a block of a trace: the unit in which requests of a trace share their beginnings.
pub(crate) const BLOCK_TOKENS: u32 = 512;

/// What is made up.
#[derive(Clone, Debug)]
pub(super) struct MadeUp {
    words: Words,
    plan: Plan,
}

#[derive(Clone, Debug)]
enum Plan {
    /// Lengths are drawn.
    Drawn(Synthetic),
    /// Each request has its own.
    Listed(Vec<Wanted>),
}

/// What the prompt of one request is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its tokens.
    pub(crate) input_tokens: u32,
    /// Most tokens of its answer; none: `max_tokens`.
    pub(crate) output_tokens: Option<u32>,
    /// What it begins with, in blocks of [`BLOCK_TOKENS`] (the last one is cut off at
    /// `input_tokens`): equal numbers, equal texts. What they leave is its own.
    pub(crate) blocks: Box<[u64]>,
}

/// A prompt, and how long its answer may be where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) text: String,
    pub(super) tokens: u32,
    pub(super) output_tokens: Option<u32>,
}

impl MadeUp {
    /// Prompts whose lengths are drawn.
    pub(super) fn drawn(
        synthetic: &Synthetic,
        tokenizer: &Tokenizer,
        seed: u64,
    ) -> Result<Self, PromptError> {
        Self::counted(Plan::Drawn(synthetic.clone()), tokenizer, seed)
    }

    /// Prompts for a list of requests, by their number.
    pub(super) fn listed(
        wanted: Vec<Wanted>,
        tokenizer: &Tokenizer,
        seed: u64,
    ) -> Result<Self, PromptError> {
        Self::counted(Plan::Listed(wanted), tokenizer, seed)
    }

    fn counted(plan: Plan, tokenizer: &Tokenizer, seed: u64) -> Result<Self, PromptError> {
        let made_up = Self { words: Words::of(tokenizer)?, plan };
        let mut counted = 0;
        for nth in (0..made_up.listed_requests().unwrap_or(u64::MAX)).take(1_000) {
            let Made { text, tokens, .. } = made_up.make(seed, 0, nth);
            let found = tokenizer.count(&text);
            if found != Some(tokens.into()) {
                return Err(PromptError::Inexact { wanted: tokens, found: found.unwrap_or(0) });
            }
            counted += u64::from(tokens);
            if counted >= COUNTED_TOKENS {
                break;
            }
        }
        Ok(made_up)
    }

    /// Whether the longest prompts and their answers fit into `context`.
    pub(super) fn fits(&self, context: &Context) -> Result<(), TooLong> {
        match &self.plan {
            Plan::Drawn(synthetic) => context.takes_drawn(synthetic),
            Plan::Listed(wanted) => context.takes_listed(wanted),
        }
    }

    /// How many requests there are, where each has its own.
    fn listed_requests(&self) -> Option<u64> {
        match &self.plan {
            Plan::Drawn(_) => None,
            Plan::Listed(wanted) => Some(wanted.len() as u64),
        }
    }

    /// The prompt of user `user`'s request `nth`; of a list, of its request `nth`.
    pub(super) fn make(&self, seed: u64, user: u32, nth: u64) -> Made {
        match &self.plan {
            Plan::Drawn(synthetic) => self.draw(synthetic, synthetic.prefixes, seed, (user, nth)),
            Plan::Listed(wanted) => {
                let at = usize::try_from(nth).unwrap_or(usize::MAX) % wanted.len().max(1);
                self.assemble(&wanted[at], seed, user, nth)
            }
        }
    }

    /// The prompt of a request that goes on with a conversation: no beginning is shared there.
    pub(super) fn make_further(&self, seed: u64, user: u32, nth: u64) -> Made {
        match &self.plan {
            Plan::Drawn(synthetic) => self.draw(synthetic, None, seed, (user, nth)),
            Plan::Listed(_) => self.make(seed, user, nth),
        }
    }

    fn draw(
        &self,
        synthetic: &Synthetic,
        prefixes: Option<Prefixes>,
        seed: u64,
        (user, nth): (u32, u64),
    ) -> Made {
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

    fn assemble(&self, wanted: &Wanted, seed: u64, user: u32, nth: u64) -> Made {
        let tokens = wanted.input_tokens;
        let mut text = String::with_capacity(Words::room(tokens));
        let mut left = tokens;
        for block in &wanted.blocks {
            let taken = left.min(BLOCK_TOKENS);
            let mut draws = Draws::of_thing(Purpose::Block, seed, *block);
            self.words.write(&mut text, &mut draws, taken);
            left -= taken;
        }
        self.words.write(&mut text, &mut Draws::of_request(Purpose::Text, seed, user, nth), left);
        Made { text, tokens, output_tokens: wanted.output_tokens }
    }
}
