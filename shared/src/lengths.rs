//! How many tokens synthetic prompts and their answers have.
//!
//! Written as text, in requests and in specs alike: a number, `uniform(low,high)`,
//! `normal(mean,deviation)` or `lognormal(mean,deviation)`, the last two with or without bounds, as
//! in `normal(512,128,64..2048)`. A mix has parts with a share each: `70% 300/200, 30% 6000/400`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::MaxTokens;

/// Most tokens of a synthetic prompt.
pub const MOST_PROMPT_TOKENS: u32 = 262_144;

/// How far the shares of a mix may be from 100 % together.
const SHARE_SLACK: f64 = 0.01;

/// A number of tokens, or a distribution of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TokenLength {
    /// Always the same.
    Fixed(u32),
    /// Each number from `low` to `high` as often.
    Uniform {
        /// The fewest.
        low: u32,
        /// The most.
        high: u32,
    },
    /// Around a mean.
    Bell(Bell),
}

/// A distribution with a mean and a standard deviation, both in tokens and both without bounds:
/// what falls out of them is drawn again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bell {
    /// Its shape.
    pub shape: BellShape,
    /// The mean of the tokens.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// Fewest and most; none: whatever a prompt or an answer may have.
    pub bounds: Option<(u32, u32)>,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BellShape {
    /// Normal.
    Normal,
    /// Log-normal: the logarithm is normal.
    LogNormal,
}

/// Lengths of prompts and answers in parts, each with its share of the requests; together 100 %.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LengthMix(Vec<MixPart>);

/// A part of a mix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixPart {
    /// Its share, in percent.
    pub percent: f64,
    /// Tokens of a prompt.
    pub prompt: TokenLength,
    /// Tokens of its answer; none: `max_tokens`.
    pub output: Option<TokenLength>,
}

/// Why a text gives no lengths.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLengths {
    /// No number and no distribution.
    #[error(
        "{field} must be a number of tokens, uniform(low,high), normal(mean,deviation) or lognormal(mean,deviation), the last two also with bounds as in normal(512,128,64..2048); not `{given}`"
    )]
    Unreadable {
        /// The request field.
        field: &'static str,
        /// What was given.
        given: String,
    },
    /// Beyond what a prompt or an answer may have.
    #[error("{field} must be between 1 and {most} tokens, not {given}")]
    OutOfRange {
        /// The request field.
        field: &'static str,
        /// The most.
        most: u32,
        /// What was given.
        given: String,
    },
    /// Bounds the wrong way round, or a mean outside them.
    #[error("{field} must have {what}, unlike `{given}`")]
    Contradictory {
        /// The request field.
        field: &'static str,
        /// What it must have.
        what: &'static str,
        /// What was given.
        given: String,
    },
    /// Not a part of a mix.
    #[error(
        "mix must be parts written as `share% prompt/answer`, with commas between them, as in `70% 300/200, 30% 6000/400`; `{0}` is not"
    )]
    Part(String),
    /// None, or too many.
    #[error("mix must have between 1 and {most} parts, not {0}", most = LengthMix::MOST)]
    Count(usize),
    /// Shares that are not everything.
    #[error("the shares of mix must be 100 % together, not {0} %")]
    Shares(String),
}

impl TokenLength {
    /// The fewest tokens that can be drawn.
    pub fn fewest(&self) -> u32 {
        match self {
            Self::Fixed(tokens) => *tokens,
            Self::Uniform { low, .. } => *low,
            Self::Bell(bell) => bell.bounds.map_or(1, |(low, _)| low),
        }
    }

    /// The most tokens that can be drawn, where `most` are allowed.
    pub fn most(&self, most: u32) -> u32 {
        match self {
            Self::Fixed(tokens) => *tokens,
            Self::Uniform { high, .. } => *high,
            Self::Bell(bell) => bell.bounds.map_or(most, |(_, high)| high),
        }
    }

    /// Tokens of a prompt, as `field` gives them.
    ///
    /// # Errors
    ///
    /// Where the text is none of the forms, or beyond the limits.
    pub fn of_prompt(field: &'static str, written: &str) -> Result<Self, InvalidLengths> {
        Self::read(field, MOST_PROMPT_TOKENS, written)
    }

    /// Tokens of an answer, as `field` gives them.
    ///
    /// # Errors
    ///
    /// Where the text is none of the forms, or beyond the limits.
    pub fn of_output(field: &'static str, written: &str) -> Result<Self, InvalidLengths> {
        Self::read(field, MaxTokens::MAX, written)
    }

    fn read(field: &'static str, most: u32, written: &str) -> Result<Self, InvalidLengths> {
        let given = || written.trim().chars().take(64).collect::<String>();
        let unreadable = || InvalidLengths::Unreadable { field, given: given() };
        let contradictory = |what| InvalidLengths::Contradictory { field, what, given: given() };
        let whole = |text: &str| {
            let number: f64 = text.trim().parse().map_err(|_| unreadable())?;
            let tokens: Option<u32> = text.trim().parse().ok();
            tokens.filter(|tokens| (1..=most).contains(tokens)).ok_or_else(|| {
                InvalidLengths::OutOfRange { field, most, given: number.to_string() }
            })
        };
        let real = |text: &str| {
            let number: f64 = text.trim().parse().map_err(|_| unreadable())?;
            if number.is_finite() && number > 0.0 && number <= f64::from(most) {
                Ok(number)
            } else {
                Err(InvalidLengths::OutOfRange { field, most, given: number.to_string() })
            }
        };

        let Some((name, rest)) = written.split_once('(') else {
            return whole(written).map(Self::Fixed);
        };
        let inside = rest.trim_end().strip_suffix(')').ok_or_else(unreadable)?;
        let arguments: Vec<&str> = inside.split(',').collect();
        let shape = match (name.trim(), arguments.as_slice()) {
            ("uniform", [low, high]) => {
                let (low, high) = (whole(low)?, whole(high)?);
                if low > high {
                    return Err(contradictory("its low bound first"));
                }
                return Ok(Self::Uniform { low, high });
            }
            ("normal", [_, _] | [_, _, _]) => BellShape::Normal,
            ("lognormal", [_, _] | [_, _, _]) => BellShape::LogNormal,
            _ => return Err(unreadable()),
        };
        let (mean, deviation) = (real(arguments[0])?, real(arguments[1])?);
        let bounds = match arguments.get(2) {
            None => None,
            Some(bounds) => {
                let (low, high) = bounds.split_once("..").ok_or_else(unreadable)?;
                Some((whole(low)?, whole(high)?))
            }
        };
        let (low, high) = bounds.unwrap_or((1, most));
        if !(f64::from(low)..=f64::from(high)).contains(&mean) {
            return Err(contradictory("its mean between its bounds"));
        }
        Ok(Self::Bell(Bell { shape, mean, deviation, bounds }))
    }
}

impl fmt::Display for TokenLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(tokens) => write!(f, "{tokens}"),
            Self::Uniform { low, high } => write!(f, "uniform({low},{high})"),
            Self::Bell(Bell { shape, mean, deviation, bounds }) => {
                let name = match shape {
                    BellShape::Normal => "normal",
                    BellShape::LogNormal => "lognormal",
                };
                write!(f, "{name}({mean},{deviation}")?;
                if let Some((low, high)) = bounds {
                    write!(f, ",{low}..{high}")?;
                }
                f.write_str(")")
            }
        }
    }
}

impl LengthMix {
    /// Most parts.
    pub const MOST: usize = 20;

    /// All requests alike.
    pub fn of(prompt: TokenLength, output: Option<TokenLength>) -> Self {
        Self(vec![MixPart { percent: 100.0, prompt, output }])
    }

    /// The parts, at least one.
    pub fn parts(&self) -> &[MixPart] {
        &self.0
    }

    /// The fewest tokens a prompt can have.
    pub fn fewest_prompt_tokens(&self) -> u32 {
        self.0.iter().map(|part| part.prompt.fewest()).min().unwrap_or(1)
    }
}

impl TryFrom<String> for LengthMix {
    type Error = InvalidLengths;

    fn try_from(written: String) -> Result<Self, InvalidLengths> {
        let parts: Vec<MixPart> =
            outside_brackets(&written, ',').map(part).collect::<Result<_, _>>()?;
        if !(1..=Self::MOST).contains(&parts.len()) {
            return Err(InvalidLengths::Count(parts.len()));
        }
        let together: f64 = parts.iter().map(|part| part.percent).sum();
        if (together - 100.0).abs() > SHARE_SLACK {
            return Err(InvalidLengths::Shares(together.to_string()));
        }
        Ok(Self(parts))
    }
}

/// Reads `share% prompt/answer`, the answer being optional.
fn part(written: &str) -> Result<MixPart, InvalidLengths> {
    let unreadable = || InvalidLengths::Part(written.trim().chars().take(64).collect());
    let (percent, lengths) = written.split_once('%').ok_or_else(unreadable)?;
    let percent: f64 = percent.trim().parse().map_err(|_| unreadable())?;
    if !(percent > 0.0 && percent <= 100.0) {
        return Err(unreadable());
    }
    let (prompt, output) = match lengths.split_once('/') {
        Some((prompt, output)) => (prompt, Some(output)),
        None => (lengths, None),
    };
    Ok(MixPart {
        percent,
        prompt: TokenLength::of_prompt("mix", prompt)?,
        output: output.map(|output| TokenLength::of_output("mix", output)).transpose()?,
    })
}

/// The pieces of `text` between those `separator`s that are in no brackets.
fn outside_brackets(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == separator && depth == 0
    })
}

impl fmt::Display for LengthMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, MixPart { percent, prompt, output }) in self.0.iter().enumerate() {
            let comma = if nth == 0 { "" } else { ", " };
            write!(f, "{comma}{percent}% {prompt}")?;
            if let Some(output) = output {
                write!(f, "/{output}")?;
            }
        }
        Ok(())
    }
}

impl From<LengthMix> for String {
    fn from(mix: LengthMix) -> Self {
        mix.to_string()
    }
}

#[cfg(test)]
mod tests;
