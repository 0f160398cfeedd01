//! How much a run may still send: requests open at once, and requests in all.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use tokio_util::sync::CancellationToken;

/// Room for requests that are open at once, over all load threads.
#[derive(Debug)]
pub(super) struct Room {
    open: AtomicU32,
    most: u32,
}

/// A request's place in it, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Room>);

impl Room {
    pub(super) fn for_at_most(most: u32) -> Arc<Self> {
        Arc::new(Self { open: AtomicU32::new(0), most })
    }

    /// A place, if there is one.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let one_more = |open| (open < self.most).then_some(open + 1);
        self.open.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Requests that a run may send in all, over all load threads.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicU64,
    spent: CancellationToken,
}

impl Budget {
    /// For `most` requests; none: for any number.
    pub(super) fn of(most: Option<u64>) -> Arc<Self> {
        let left = AtomicU64::new(most.unwrap_or(u64::MAX));
        Arc::new(Self { left, spent: CancellationToken::new() })
    }

    /// Takes one; false where none is left.
    pub(super) fn take(&self) -> bool {
        let before = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        if matches!(before, Ok(1) | Err(_)) {
            self.spent.cancel();
        }
        before.is_ok()
    }

    /// Whether none is left.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.is_cancelled()
    }

    /// Waits until none is left.
    pub(super) async fn spent(&self) {
        self.spent.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_again_when_a_request_has_left() {
        let room = Room::for_at_most(2);
        let (first, second) = (room.enter(), room.enter());
        assert!(first.is_some() && second.is_some() && room.enter().is_none());
        drop(first);
        assert!(room.enter().is_some());
    }

    #[test]
    fn a_budget_is_spent_with_its_last_request() {
        let budget = Budget::of(Some(2));
        assert!(budget.take() && !budget.spent.is_cancelled());
        assert!(budget.take() && budget.spent.is_cancelled());
        assert!(!budget.take());
        assert!(Budget::of(None).take());
    }
}
