//! A load thread's share of an open loop.
//!
//! Each request is taken up when it is due, whatever has become of those before it. One that finds
//! no room is dropped and counted: sent later it would be another load than the one asked for.

use std::{rc::Rc, sync::Arc};

use tokio::task::{JoinError, JoinSet};

use super::{
    readiness::OPEN_LOOP_USER,
    room::{Place, Room},
    sender::Sender,
};
use crate::sample::Micros;

/// Everything a share of an open loop needs; it lives on its load thread.
pub(super) struct OpenLoop {
    pub(super) sender: Rc<Sender>,
    pub(super) room: Arc<Room>,
}

impl OpenLoop {
    /// Sends each request when it is due, and waits for the answers.
    ///
    /// - `due`: index and due time of each, in order.
    pub(super) async fn run(self, due: impl Iterator<Item = (u64, Micros)>) {
        let mut open = JoinSet::new();
        for (nth, due_us) in due {
            if !self.sender.wait_until(due_us).await {
                break;
            }
            while let Some(over) = open.try_join_next() {
                told(over);
            }
            match self.room.enter() {
                Some(place) => {
                    let sender = Rc::clone(&self.sender);
                    open.spawn_local(send(sender, nth, due_us, place));
                }
                None => self.sender.exchanger.live.add_dropped(),
            }
        }
        while let Some(over) = open.join_next().await {
            told(over);
        }
    }
}

async fn send(sender: Rc<Sender>, nth: u64, due_us: Micros, place: Place) {
    sender.send((OPEN_LOOP_USER, nth), due_us, None, None).await;
    drop(place);
}

fn told(over: Result<(), JoinError>) {
    if let Err(panicked) = over {
        tracing::error!(%panicked, "a request ended early");
    }
}
