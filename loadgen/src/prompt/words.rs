//! Texts of a wanted number of tokens: words that are one token each, wherever they stand.
//!
//! Load threads make such a text by counting words; no tokenizer runs there. That a text of n
//! words has n tokens is shown before the load: every word alone, every word behind every other.
//! Tokenizers build tokens from neighbours, so where no two words grow together, no three do.

use std::collections::HashSet;

use super::{PromptError, Tokenizer, chance::Draws, embedded};

/// Most words texts are made of: eight to a draw.
const MOST_WORDS: usize = 256;
/// Fewest that make texts worth sending.
const FEWEST_WORDS: usize = 16;

/// Texts and tokens of them that are counted before the load, to see that they are what they are to
/// be.
const COUNTED_TEXTS: usize = 1_000;
const COUNTED_TOKENS: u64 = 400_000;

/// Words that are one token each, as many as a power of two.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    words: Vec<&'static str>,
    bits_each: u32,
}

/// Why a tokenizer gives no texts of a wanted length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWords {
    /// Too few.
    #[error(
        "tokenizer: it has {0} of the words of synthetic prompts as single tokens, at least {FEWEST_WORDS} are needed"
    )]
    TooFew(usize),
    /// Words grow together.
    #[error(
        "tokenizer: it makes one token of what are two words, so no length of a synthetic prompt would be exact"
    )]
    GrowTogether,
}

impl Words {
    /// The words that `tokenizer` can count; takes about a tenth of a second.
    pub(crate) fn of(tokenizer: &Tokenizer) -> Result<Self, NoWords> {
        let mut words: Vec<&str> = candidates()
            .filter(|word| {
                tokenizer.count(word) == Some(1)
                    && tokenizer.count(&format!("{word} {word}")) == Some(2)
            })
            .take(MOST_WORDS)
            .collect();
        if words.len() < FEWEST_WORDS {
            return Err(NoWords::TooFew(words.len()));
        }
        let bits_each = words.len().ilog2();
        words.truncate(1 << bits_each);
        let words = Self { words, bits_each };
        if words.stay_apart(tokenizer) { Ok(words) } else { Err(NoWords::GrowTogether) }
    }

    /// Whether a text in which each word stands behind each other has a token for each.
    fn stay_apart(&self, tokenizer: &Tokenizer) -> bool {
        let mut text = String::new();
        let mut ends = Vec::new();
        for word in each_behind_each_other(self.words.len()) {
            self.push(&mut text, word);
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        tokenizer.token_ends(&text) == Some(ends)
    }

    /// Counts the first of `made`, texts and the tokens that each is to have.
    pub(super) fn counted(
        made: impl Iterator<Item = (String, u32)>,
        tokenizer: &Tokenizer,
    ) -> Result<(), PromptError> {
        let mut counted = 0;
        for (text, wanted) in made.take(COUNTED_TEXTS) {
            let found = tokenizer.count(&text);
            if found != Some(wanted.into()) {
                return Err(PromptError::Inexact { wanted, found: found.unwrap_or(0) });
            }
            counted += u64::from(wanted);
            if counted >= COUNTED_TOKENS {
                break;
            }
        }
        Ok(())
    }

    /// Appends `tokens` words as `draws` has them.
    #[expect(clippy::cast_possible_truncation, reason = "only the lowest bits are looked at")]
    pub(crate) fn write(&self, text: &mut String, draws: &mut Draws, tokens: u32) {
        let (mut bits, mut left) = (0, 0);
        for _ in 0..tokens {
            if left < self.bits_each {
                (bits, left) = (draws.bits(), u64::BITS);
            }
            self.push(text, bits as usize & (self.words.len() - 1));
            bits >>= self.bits_each;
            left -= self.bits_each;
        }
    }

    fn push(&self, text: &mut String, word: usize) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(self.words[word]);
    }

    /// Bytes that a text of `tokens` words has room in, nearly always.
    pub(crate) fn room(tokens: u32) -> usize {
        tokens as usize * 6
    }
}

/// The plain words of the embedded prompts, each once, in their order.
pub(super) fn candidates() -> impl Iterator<Item = &'static str> {
    let mut seen = HashSet::new();
    embedded::prompts()
        .flat_map(str::split_whitespace)
        .filter(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase()))
        .filter(move |word| seen.insert(*word))
}

/// Numbers below `n`, each once behind each other and behind itself.
///
/// A de Bruijn sequence of order 2, as Lyndon words in their order (Fredricksen and Maiorana, 1978).
fn each_behind_each_other(n: usize) -> impl Iterator<Item = usize> {
    let cycle = (0..n).flat_map(move |one| {
        std::iter::once(one).chain((one + 1..n).flat_map(move |other| [one, other]))
    });
    cycle.chain(std::iter::once(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{
        chance::Purpose,
        tokenizer_tests::{bytes, pieces, words},
    };

    #[test]
    fn each_number_stands_once_behind_each() {
        let all: Vec<usize> = each_behind_each_other(7).collect();
        let pairs: HashSet<_> = all.windows(2).map(|pair| (pair[0], pair[1])).collect();
        assert_eq!((all.len(), pairs.len()), (50, 49));
    }

    #[test]
    fn a_text_has_as_many_tokens_as_it_was_to_have() {
        for tokenizer in [words(), pieces(&[])] {
            let words = Words::of(&tokenizer).unwrap();
            for tokens in (1..40).chain([511, 512, 6_000]) {
                let mut text = String::new();
                let mut draws = Draws::of_thing(Purpose::Text, 3, tokens.into());
                words.write(&mut text, &mut draws, tokens);
                assert_eq!(tokenizer.count(&text), Some(tokens.into()), "{text}");
            }
        }
    }

    #[test]
    fn texts_of_one_text_after_another_have_the_sum_of_their_tokens() {
        let tokenizer = pieces(&[]);
        let words = Words::of(&tokenizer).unwrap();
        let mut text = String::new();
        for block in 0..20 {
            words.write(&mut text, &mut Draws::of_thing(Purpose::Block, 1, block), 16);
        }
        assert_eq!(tokenizer.count(&text), Some(320));
    }

    #[test]
    fn a_tokenizer_that_cannot_count_by_words_is_refused() {
        assert_eq!(Words::of(&bytes()).unwrap_err(), NoWords::TooFew(0));
        assert_eq!(Words::of(&pieces(&[("is", "the")])).unwrap_err(), NoWords::GrowTogether);
    }
}
