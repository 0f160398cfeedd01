//! A row as a conversation: what a user says turn by turn, and how long each answer may be.

use std::fmt::Write as _;

use serde_json::Value;
use shared::{Endpoint, MaxTokens};
use target::request::{Length, Message, Part, Role};

use super::{
    At, NoImage, Wants,
    images::Images,
    message::read,
    row::{ANSWERS, CONVERSATIONS, IMAGES, LENGTHS, PROMPTS, Row, SYSTEMS},
};
use crate::prompt::{Ask, LONGEST_PROMPT, Tokenizer};

/// Bytes of a tag and what stands around it.
const TAG_BYTES: usize = 19;

/// A conversation of a data set, of one turn or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::prompt) struct Conversation {
    /// Where it stands in its file; none: it is in none.
    at: Option<At>,
    /// What comes before its first turn: system messages.
    opening: Vec<Message>,
    turns: Vec<Turn>,
}

/// What is said up to an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::prompt) struct Turn {
    /// The user's message; rarely more, or one of the system among them.
    pub(in crate::prompt) asked: Vec<Message>,
    /// Most tokens of the answer; none: the row does not tell, or nobody asks.
    pub(in crate::prompt) output_tokens: Option<u32>,
}

/// Why a row cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum Unsendable {
    /// Nothing that is known.
    #[error(
        "has neither messages nor a text in any of the columns {}; it has {found}",
        PROMPTS.join(", ")
    )]
    NoText {
        /// What it has.
        found: String,
    },
    /// A user who says nothing.
    #[error("has no message of a user")]
    NoUser,
    /// A user who says nothing.
    #[error("has a message of a user without a text")]
    Silent,
    /// Too long.
    #[error("has a prompt of {0} bytes, more than the {LONGEST_PROMPT} allowed")]
    TooLong(usize),
    /// Not a list of messages.
    #[error("has a message that {0}")]
    Message(String),
    /// An image that cannot be sent.
    #[error("has an image that cannot be sent: {0}")]
    Image(#[from] NoImage),
    /// An image where none can be.
    #[error("has an image, and with endpoint {0} there can be none")]
    ImageFor(Endpoint),
    /// No length where `output_tokens` says there is one.
    #[error(
        "has no length for output_tokens=dataset: neither a column {} nor a recorded answer",
        LENGTHS.join(" or ")
    )]
    NoLength,
    /// An answer that nothing counts.
    #[error(
        "has a recorded answer and no column output_tokens: a tokenizer is required, which counts it"
    )]
    Uncounted,
    /// A length that no answer may have.
    #[error("has output_tokens of {given}, not between 1 and {most}", most = MaxTokens::MAX)]
    Length {
        /// What it says.
        given: String,
    },
}

impl Conversation {
    /// One text of a user.
    pub(in crate::prompt) fn text(text: &str) -> Self {
        let asked = vec![Message::text(Role::User, text)];
        let turns = vec![Turn { asked, output_tokens: None }];
        Self { at: None, opening: Vec::new(), turns }
    }

    /// Several texts of a user, each behind an answer.
    #[cfg(test)]
    pub(in crate::prompt) fn texts(texts: &[&str]) -> Self {
        let turns = texts.iter().flat_map(|text| Self::text(text).turns).collect();
        Self { at: None, opening: Vec::new(), turns }
    }

    /// What `row` has for a run that wants `wants`.
    pub(super) fn of(mut row: Row, wants: &Wants, images: &mut Images) -> Result<Self, Unsendable> {
        let own = if wants.lengths { own_length(&mut row)? } else { None };
        let shown = images_of(&mut row, images)?;
        let (opening, recorded) = match row.take(&CONVERSATIONS, listed) {
            Some(messages) => in_turns(read_all(messages, images), wants.turns)?,
            None => in_turns(beside_each_other(row)?.into_iter().map(Ok), wants.turns)?,
        };
        let mut turns = Vec::with_capacity(recorded.len());
        for (mut asked, answer) in recorded {
            let user = asked.iter_mut().find(|message| message.role == Role::User);
            match user {
                Some(user) if turns.is_empty() => user.parts.extend(shown.iter().cloned()),
                Some(_) => {}
                None => break,
            }
            check(&asked, wants)?;
            let output_tokens = match (wants.lengths, own) {
                (false, _) => None,
                (true, Some(own)) => Some(own),
                (true, None) => Some(counted(&answer, wants.tokenizer.as_ref())?),
            };
            turns.push(Turn { asked, output_tokens });
        }
        if turns.is_empty() {
            return Err(Unsendable::NoUser);
        }
        Ok(Self { at: None, opening, turns })
    }

    /// The same, which stands at `at`.
    pub(super) fn at(self, at: At) -> Self {
        Self { at: Some(at), ..self }
    }

    /// Where it stands in its file; none: it is in none.
    pub(in crate::prompt) fn place(&self) -> Option<At> {
        self.at
    }

    /// The texts that each turn adds, and how long its answer may be where the row tells.
    pub(in crate::prompt) fn each_turn(&self) -> impl Iterator<Item = (Vec<&str>, Option<u32>)> {
        self.turns.iter().enumerate().map(|(nth, turn)| {
            let opening = if nth == 0 { self.opening.as_slice() } else { &[] };
            let parts = opening.iter().chain(&turn.asked).flat_map(|message| &message.parts);
            (parts.filter_map(Part::text).collect(), turn.output_tokens)
        })
    }

    /// The text of its first turn, where that is all there is up to the first answer.
    fn plain(&self) -> Option<&str> {
        match (self.opening.as_slice(), self.turns[0].asked.as_slice()) {
            ([], [Message { role: Role::User, parts }]) => match parts.as_slice() {
                [Part::Text(text)] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// The request that begins it, marked by `tag` at its very beginning, so that no other request
    /// begins with the same. Its answer may be of `length` where the row does not tell.
    pub(in crate::prompt) fn asked(&self, tag: u64, length: Length) -> Ask {
        let length = length.at_most(self.turns[0].output_tokens);
        // Most prompts: no list is made for them.
        if let Some(text) = self.plain() {
            return Ask::text(tagged(tag, text), length);
        }
        Ask::messages(self.begun(tag), length)
    }

    /// What it says up to the first answer, marked by `tag`.
    fn begun(&self, tag: u64) -> Vec<Message> {
        let asked = &self.turns[0].asked;
        let mut messages: Vec<Message> = self.opening.iter().chain(asked).cloned().collect();
        let first = &mut messages[0].parts;
        match first.iter_mut().find_map(Part::text_mut) {
            Some(text) => *text = tagged(tag, text).into(),
            None => first.insert(0, Part::Text(format!("[{tag:016x}]").into())),
        }
        messages
    }

    /// What its turn `nth` (from 0) adds; none: it is over.
    pub(in crate::prompt) fn turn(&self, nth: usize) -> Option<&Turn> {
        self.turns.get(nth)
    }
}

/// `text` behind `tag`.
fn tagged(tag: u64, text: &str) -> String {
    let mut tagged = String::with_capacity(TAG_BYTES + text.len());
    let _ = write!(tagged, "[{tag:016x}] ");
    tagged.push_str(text);
    tagged
}

/// The messages of a list, or of a text that is one.
fn listed(value: &mut Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(messages) => Some(std::mem::take(messages)),
        Value::String(text) if text.trim_start().starts_with('[') => {
            serde_json::from_str(text).ok()
        }
        _ => None,
    }
}

fn read_all(
    messages: Vec<Value>,
    images: &mut Images,
) -> impl Iterator<Item = Result<Message, Unsendable>> {
    messages.into_iter().map(|message| read(message, images))
}

/// A prompt and what there is beside it.
fn beside_each_other(mut row: Row) -> Result<Vec<Message>, Unsendable> {
    let Some(prompt) = row.take_text(&PROMPTS) else {
        return Err(Unsendable::NoText { found: row.columns() });
    };
    let system = row.take_text(&SYSTEMS).map(|text| Message::text(Role::System, text));
    let answer = row.take_text(&ANSWERS).map(|text| Message::text(Role::Assistant, text));
    let prompt = Message::text(Role::User, prompt);
    Ok(system.into_iter().chain([prompt]).chain(answer).collect())
}

/// What was said before each recorded answer, and that answer.
type Recorded = Vec<(Vec<Message>, String)>;

/// Messages as an opening and at most `most` turns. Answers to nothing are passed over: records
/// begin in the middle.
fn in_turns(
    messages: impl Iterator<Item = Result<Message, Unsendable>>,
    most: usize,
) -> Result<(Vec<Message>, Recorded), Unsendable> {
    let mut opening = Vec::new();
    let mut turns: Recorded = Vec::new();
    for message in messages {
        let message = message?;
        match message.role {
            Role::Assistant => {
                if let Some((_, answer)) = turns.last_mut() {
                    message.parts.iter().filter_map(Part::text).for_each(|it| answer.push_str(it));
                }
            }
            Role::System | Role::Developer if turns.is_empty() => opening.push(message),
            Role::System | Role::Developer | Role::User => {
                let is_full = turns.len() == most;
                match turns.last_mut().filter(|(_, answer)| answer.is_empty()) {
                    Some((asked, _)) => asked.push(message),
                    None if is_full => break,
                    None => turns.push((vec![message], String::new())),
                }
            }
        }
    }
    Ok((opening, turns))
}

/// The images in a row's own columns. Somebody else's may be things that no file names.
fn images_of(row: &mut Row, images: &mut Images) -> Result<Vec<Part>, Unsendable> {
    let Some(value) = row.take(&IMAGES, |value| Some(std::mem::take(value))) else {
        return Ok(Vec::new());
    };
    let named = match value {
        Value::Array(named) => named,
        one => vec![one],
    };
    let mut parts = Vec::new();
    for value in named {
        match value.as_str() {
            Some("") => {}
            Some(named) if images.may_be_files() || named.contains(':') => {
                parts.push(Part::Image(images.url(named)?));
            }
            None if images.may_be_files() => {
                let what: String = value.to_string().chars().take(64).collect();
                return Err(NoImage::Unknown(what).into());
            }
            _ => {}
        }
    }
    Ok(parts)
}

/// Whether `asked` can be sent as `wants` has it.
fn check(asked: &[Message], wants: &Wants) -> Result<(), Unsendable> {
    let parts = || asked.iter().flat_map(|message| &message.parts);
    let has_image = parts().any(|part| part.text().is_none());
    if has_image && matches!(wants.endpoint, Endpoint::Completions | Endpoint::Embeddings) {
        return Err(Unsendable::ImageFor(wants.endpoint));
    }
    if !has_image && parts().filter_map(Part::text).all(|text| text.trim().is_empty()) {
        return Err(Unsendable::Silent);
    }
    match parts().filter_map(Part::text).map(str::len).sum() {
        bytes if bytes > LONGEST_PROMPT => Err(Unsendable::TooLong(bytes)),
        _ => Ok(()),
    }
}

/// The length that a column tells.
fn own_length(row: &mut Row) -> Result<Option<u32>, Unsendable> {
    let taken = row.take(&LENGTHS, |value| Some(std::mem::take(value)));
    let given = match taken {
        None => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    };
    // A column with a gap in it has floats.
    let written = given.trim().trim_end_matches(".0");
    match written.parse().ok().filter(|tokens| (1..=MaxTokens::MAX).contains(tokens)) {
        Some(tokens) => Ok(Some(tokens)),
        None => Err(Unsendable::Length { given: given.chars().take(32).collect() }),
    }
}

/// The tokens of a recorded answer.
fn counted(answer: &str, tokenizer: Option<&Tokenizer>) -> Result<u32, Unsendable> {
    if answer.is_empty() {
        return Err(Unsendable::NoLength);
    }
    let tokenizer = tokenizer.ok_or(Unsendable::Uncounted)?;
    match tokenizer.count(answer).and_then(|tokens| u32::try_from(tokens).ok()) {
        Some(tokens) if (1..=MaxTokens::MAX).contains(&tokens) => Ok(tokens),
        Some(tokens) => Err(Unsendable::Length { given: tokens.to_string() }),
        None => Err(Unsendable::NoLength),
    }
}
