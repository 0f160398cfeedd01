//! Looking at the benchmarks that somebody follows: all of them at once, again and again, since
//! what changes them is another process.
//!
//! However many follow however many benchmarks, it is one statement a look.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use shared::BenchmarkId;
use store::{Glance, Store};
use tokio::sync::watch;

use crate::reads::locked;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The same where the database does not answer: each such look is a line in the log.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What was seen of a benchmark last.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// Nobody has looked yet.
    Nothing,
    /// This.
    This(Glance),
    /// It is there no more.
    Gone,
}

/// Looks for everybody, as long as there is somebody.
#[derive(Clone)]
pub(crate) struct Watch {
    store: Store,
    followed: Arc<Mutex<Followed>>,
}

#[derive(Default)]
struct Followed {
    benchmarks: HashMap<BenchmarkId, watch::Sender<Seen>>,
    is_looked_at: bool,
}

impl Watch {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, followed: Arc::default() }
    }

    /// What is seen of `id`, for as long as the receiver lives.
    pub(crate) fn follow(&self, id: BenchmarkId) -> watch::Receiver<Seen> {
        let mut followed = locked(&self.followed);
        if !followed.is_looked_at {
            followed.is_looked_at = true;
            tokio::spawn(self.clone().look());
        }
        let seen = followed.benchmarks.entry(id);
        let mut seen = seen.or_insert_with(|| watch::Sender::new(Seen::Nothing)).subscribe();
        // What others have seen already is new to this one.
        seen.mark_changed();
        seen
    }

    async fn look(self) {
        while let Some(ids) = self.ids() {
            let pause = match self.store.glances(&ids).await {
                Ok(glances) => {
                    self.tell(&ids, glances);
                    LOOK_EVERY
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot look at benchmarks that are followed");
                    LOOK_AGAIN_AFTER
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Who is followed; none: nobody any more, and the looks end.
    fn ids(&self) -> Option<Vec<BenchmarkId>> {
        let mut followed = locked(&self.followed);
        followed.benchmarks.retain(|_, seen| seen.receiver_count() > 0);
        followed.is_looked_at = !followed.benchmarks.is_empty();
        followed.is_looked_at.then(|| followed.benchmarks.keys().copied().collect())
    }

    /// Tells followers what is new.
    fn tell(&self, asked: &[BenchmarkId], glances: Vec<Glance>) {
        let mut glances: HashMap<_, _> =
            glances.into_iter().map(|glance| (glance.id, glance)).collect();
        let followed = locked(&self.followed);
        for id in asked {
            let Some(seen) = followed.benchmarks.get(id) else { continue };
            let new = glances.remove(id).map_or(Seen::Gone, Seen::This);
            seen.send_if_modified(|seen| {
                let is_new = *seen != new;
                *seen = new;
                is_new
            });
        }
    }
}
