//! A user's conversation, as far as it has come.

use target::request::{Message, Part, Role};

use super::{Ask, Prompts};

/// Most bytes of a conversation's texts; one that grows beyond is over.
const LONGEST: usize = 4 * 1024 * 1024;

/// The conversation that a user holds: what was said in it, with the answers that really came.
///
/// Its number is that of its first request, so it is the same whatever other users' requests came
/// to. A request takes what was said along, and gives it back with its answer.
#[derive(Debug, Default)]
pub(crate) struct Dialogue {
    /// Number of the user's request that began it.
    began: u64,
    /// Turns that were answered; 0: the next request begins a conversation.
    turns: u32,
    said: Vec<Message>,
}

impl Dialogue {
    /// What user `user` says in its request `nth`: the next turn, or the first of a new conversation.
    pub(super) fn ask(&mut self, prompts: &Prompts, user: u32, nth: u64) -> Ask {
        let mut said = std::mem::take(&mut self.said);
        if self.turns > 0
            && let Some((next, length)) = prompts.go_on((user, self.began), nth, self.turns)
        {
            said.extend(next);
            return Ask::messages(said, length);
        }
        (self.began, self.turns) = (nth, 0);
        prompts.ask(user, nth)
    }

    /// Which turn of its conversation a request is that is on its way, from 1.
    pub(crate) fn turn(&self) -> u32 {
        self.turns + 1
    }

    /// `ask` was answered by `answer`.
    pub(crate) fn go_on(&mut self, ask: Ask, answer: &str) {
        self.said = ask.into_messages();
        self.said.push(Message::text(Role::Assistant, answer));
        self.turns += 1;
        let texts = self.said.iter().flat_map(|message| &message.parts).filter_map(Part::text);
        if texts.map(str::len).sum::<usize>() > LONGEST {
            self.end();
        }
    }

    /// It is over: its request failed.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::tests::{dialogues, texts};

    #[test]
    fn a_conversation_grows_by_its_answers_and_ends_with_its_last_turn() {
        let prompts = dialogues(3, &["one", "two", "three", "four"]);
        let mut dialogue = prompts.dialogue().unwrap();
        let first = dialogue.ask(&prompts, 4, 0);
        assert_eq!(first, prompts.ask(4, 0));
        assert_eq!(dialogue.turn(), 1);
        dialogue.go_on(first, "1");
        let second = dialogue.ask(&prompts, 4, 1);
        assert_eq!(texts(&second)[1..], ["1", "two"]);
        dialogue.go_on(second, "2");
        let third = dialogue.ask(&prompts, 4, 2);
        assert_eq!(dialogue.turn(), 3);
        assert_eq!(texts(&third)[1..], ["1", "two", "2", "three"]);
        dialogue.go_on(third, "3");
        let anew = dialogue.ask(&prompts, 4, 3);
        assert_eq!(anew, prompts.ask(4, 3), "three turns were asked for");
        assert_eq!(dialogue.turn(), 1);
    }

    #[test]
    fn a_failed_turn_and_a_history_too_long_are_followed_by_a_new_conversation() {
        let prompts = dialogues(9, &["one", "two", "three"]);
        let mut dialogue = prompts.dialogue().unwrap();
        let first = dialogue.ask(&prompts, 0, 0);
        dialogue.go_on(first, "1");
        let second = dialogue.ask(&prompts, 0, 1);
        assert_eq!(texts(&second).len(), 3);
        dialogue.end();
        let anew = dialogue.ask(&prompts, 0, 2);
        assert_eq!(anew, prompts.ask(0, 2));
        dialogue.go_on(anew, &"x".repeat(LONGEST));
        assert_eq!(dialogue.ask(&prompts, 0, 3), prompts.ask(0, 3));
    }
}
