//! Connections of a load thread that wait for a request, by the server they lead to.

/// Kept connections; of each server's, the one used last is the first to be used again.
pub(super) struct Kept<C> {
    idle: Vec<Vec<C>>,
    /// Requests that are out, each with a connection or about to open one.
    out: usize,
    /// Most connections, with those that are out: what this thread has of the open files.
    most: usize,
}

impl<C> Kept<C> {
    /// None yet to any of `targets` servers, and never more than `most` beside what is out.
    pub(super) fn of(targets: usize, most: usize) -> Self {
        Self { idle: (0..targets).map(|_| Vec::new()).collect(), out: 0, most }
    }

    /// A connection to `target` for a request that goes out, if one waits.
    pub(super) fn take(&mut self, target: u32) -> Option<C> {
        self.take_if(target, |_| true)
    }

    /// The same; those that are of no use any more are closed. Where one must be opened and there
    /// are too many, one that waits for another server is closed.
    pub(super) fn take_if(
        &mut self,
        target: u32,
        mut is_usable: impl FnMut(&mut C) -> bool,
    ) -> Option<C> {
        self.out += 1;
        let waiting = &mut self.idle[target as usize];
        let taken = std::iter::from_fn(|| waiting.pop())
            .find_map(|mut connection| is_usable(&mut connection).then_some(connection));
        if taken.is_none() && self.out + self.waiting() > self.most {
            let fullest = self.idle.iter_mut().max_by_key(|waiting| waiting.len());
            // The one that has waited longest.
            fullest.filter(|waiting| !waiting.is_empty()).map(|waiting| waiting.remove(0));
        }
        taken
    }

    /// Takes back the connection of a request that is over, where it can serve again.
    pub(super) fn put(&mut self, target: u32, connection: Option<C>) {
        self.out -= 1;
        self.idle[target as usize].extend(connection);
    }

    fn waiting(&self) -> usize {
        self.idle.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_serves_its_own_server_and_the_last_one_used_is_used_first() {
        let mut kept = Kept::of(2, 10);
        for connection in ["a", "b"] {
            assert_eq!(kept.take(0), None);
            kept.put(0, Some(connection));
            assert_eq!(kept.take(0), Some(connection));
            kept.put(0, None);
        }
        assert_eq!((kept.take(0), kept.take(0)), (None, None));
        kept.put(0, Some("a"));
        kept.put(0, Some("b"));
        assert_eq!(kept.take(1), None);
        assert_eq!((kept.take(0), kept.take(0), kept.take(0)), (Some("b"), Some("a"), None));
    }

    #[test]
    fn what_is_of_no_use_is_passed_over_and_gone() {
        let mut kept = Kept::of(1, 10);
        for _ in 0..3 {
            kept.take(0);
        }
        for connection in ["a", "b", "c"] {
            kept.put(0, Some(connection));
        }
        assert_eq!(kept.take_if(0, |connection| *connection == "b"), Some("b"));
        assert_eq!((kept.take(0), kept.take(0)), (Some("a"), None));
    }

    #[test]
    fn there_are_never_more_connections_than_files() {
        let mut kept = Kept::of(3, 4);
        for target in [0, 0, 0] {
            kept.take(target);
        }
        for connection in [1, 2, 3] {
            kept.put(0, Some(connection));
        }
        assert_eq!((kept.take(1), kept.waiting()), (None, 3));
        assert_eq!((kept.take(2), kept.waiting()), (None, 2), "one had to go");
        assert_eq!((kept.take(1), kept.waiting()), (None, 1));
        assert_eq!((kept.take(1), kept.waiting()), (None, 0));
        // all are out: there is nothing to close
        assert_eq!((kept.take(1), kept.waiting()), (None, 0));
    }
}
