//! One virtual user of a closed loop.

use std::rc::Rc;

use super::{
    readiness::PAUSE_AFTER_FAILURE_US,
    sender::{Over, Sender},
};
use crate::{arrival::ThinkTime, sample::Micros};

/// Everything a user needs; it lives on its load thread.
pub(super) struct User {
    pub(super) index: u32,
    /// Stretches of time in which it may send, from the origin, in order.
    pub(super) spells: Vec<(Micros, Micros)>,
    pub(super) think: ThinkTime,
    /// Requests after which it sends no more; none: any number.
    pub(super) requests: Option<u64>,
    pub(super) sender: Rc<Sender>,
}

impl User {
    /// Sends one request after another until its time is over.
    pub(super) async fn live(self) {
        let mut connection = None;
        let mut dialogue = self.sender.run.prompts.dialogue();
        let (mut due_us, mut nth) = (0, 0);
        for (from_us, to_us) in &self.spells {
            due_us = due_us.max(*from_us);
            while due_us < *to_us {
                if self.requests == Some(nth) {
                    return;
                }
                if !self.sender.wait_until(due_us).await {
                    return;
                }
                if self.sender.exchanger.now_us() >= *to_us {
                    break;
                }
                if !self.sender.budget.take() {
                    return;
                }
                let (who, own) = ((self.index, nth), Some(&mut connection));
                let over = self.sender.send(who, due_us, own, dialogue.as_mut()).await;
                let Some(Over { end_us, failed }) = over else { return };
                let earliest_us = if failed { due_us + PAUSE_AFTER_FAILURE_US } else { 0 };
                let think_us = self.think.draw_us(self.sender.run.seed, self.index, nth);
                due_us = (end_us + think_us).max(earliest_us);
                nth += 1;
            }
        }
    }
}
