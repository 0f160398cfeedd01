//! Reading one benchmark: what clients do most, again and again, most of the time to see that
//! nothing has changed.
//!
//! The text of a benchmark is kept, and given again for as long as the database says that it is of
//! the current edition. Whoever asks for that while the database is being asked is answered by the
//! next statement, together with all others: the more ask, the less each costs.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use poem::web::headers::{ETag, IfNoneMatch};
use shared::BenchmarkId;
use store::{Edition, Store, StoreError};
use tokio::sync::oneshot;

use crate::{progress, written};

/// Statements that ask for editions at the same time: while one comes back, another is on its way.
const LOOKS: usize = 2;
/// Most bytes of texts kept.
const KEPT_BYTES: usize = 32 << 20;
/// When those ask again whose copy of an active benchmark is still current, and whose text is not
/// kept here.
const ASK_AGAIN_AFTER_S: u64 = 2;

/// A benchmark as clients read it.
struct Text {
    edition: Edition,
    json: Bytes,
    retry_after_s: Option<u64>,
}

/// What a client gets that may have a copy already.
pub(crate) struct Answer {
    /// The validator of what the client has from now on.
    pub(crate) etag: String,
    /// Seconds after which it makes sense to ask again; none: the benchmark is over.
    pub(crate) retry_after_s: Option<u64>,
    /// The benchmark; none: the client's copy is current.
    pub(crate) json: Option<Bytes>,
}

impl From<Arc<Text>> for Answer {
    fn from(text: Arc<Text>) -> Self {
        Self {
            etag: etag(&text.edition),
            retry_after_s: text.retry_after_s,
            json: Some(text.json.clone()),
        }
    }
}

/// Reads for everybody.
#[derive(Clone)]
pub(crate) struct Reads {
    store: Store,
    texts: Arc<Mutex<Texts>>,
    asked: Arc<Mutex<Asked>>,
}

/// Who waits for which edition.
type Waiting = HashMap<BenchmarkId, Vec<oneshot::Sender<Option<Edition>>>>;

#[derive(Default)]
struct Asked {
    waiting: Waiting,
    looks: usize,
}

impl Reads {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, texts: Arc::default(), asked: Arc::default() }
    }

    /// The benchmark `id` for a client that may have a copy.
    pub(crate) async fn answer(
        &self,
        id: BenchmarkId,
        copy: Option<&IfNoneMatch>,
    ) -> Result<Answer, StoreError> {
        let Some(copy) = copy else { return Ok(self.text(id).await?.into()) };
        let edition = self.edition(id).await?;
        let etag = etag(&edition);
        let current: ETag = etag.parse().expect("letters, digits, dots and dashes in quotes");
        if copy.precondition_passes(&current) {
            return Ok(self.text_of(id, Some(edition)).await?.into());
        }
        let retry_after_s = match locked(&self.texts).get(id) {
            Some(text) if text.edition == edition => text.retry_after_s,
            _ => edition.finished_at_ms.is_none().then_some(ASK_AGAIN_AFTER_S),
        };
        Ok(Answer { etag, retry_after_s, json: None })
    }

    /// The benchmark `id`.
    async fn text(&self, id: BenchmarkId) -> Result<Arc<Text>, StoreError> {
        let is_kept = locked(&self.texts).get(id).is_some();
        let edition = if is_kept { Some(self.edition(id).await?) } else { None };
        self.text_of(id, edition).await
    }

    /// The benchmark `id`, which is `edition` or a later one.
    async fn text_of(
        &self,
        id: BenchmarkId,
        edition: Option<Edition>,
    ) -> Result<Arc<Text>, StoreError> {
        let kept = locked(&self.texts).get(id);
        if let Some(kept) = kept.filter(|kept| Some(kept.edition) == edition) {
            return Ok(kept);
        }
        let (edition, benchmark) = Box::pin(self.store.edition(id)).await?;
        let json = written::json(&benchmark);
        let retry_after_s = progress::retry_after_s(&benchmark);
        let text = Arc::new(Text { edition, json, retry_after_s });
        locked(&self.texts).keep(id, Arc::clone(&text));
        Ok(text)
    }

    /// The edition that `id` is now.
    async fn edition(&self, id: BenchmarkId) -> Result<Edition, StoreError> {
        let (tell, told) = oneshot::channel();
        {
            let mut asked = locked(&self.asked);
            asked.waiting.entry(id).or_default().push(tell);
            if asked.looks < LOOKS {
                asked.looks += 1;
                // Of its own: others wait for it even where this client goes away.
                tokio::spawn(self.clone().look());
            }
        }
        // Whoever looked has logged why there is none.
        told.await.map_err(|_| StoreError::NoAnswer)?.ok_or(StoreError::NotFound(id))
    }

    /// Looks until nobody waits.
    async fn look(self) {
        while let Some(waiting) = self.waiting() {
            let ids: Vec<_> = waiting.keys().copied().collect();
            match self.store.editions(&ids).await {
                Ok(found) => {
                    let found: HashMap<_, _> = found.into_iter().collect();
                    for (id, waiting) in waiting {
                        let edition = found.get(&id).copied();
                        for tell in waiting {
                            // One that is gone has no use for it.
                            let _ = tell.send(edition);
                        }
                    }
                }
                Err(error) => tracing::warn!(?error, asked = ids.len(), "cannot read benchmarks"),
            }
        }
    }

    /// Who waits; none: nobody, and the look is over.
    fn waiting(&self) -> Option<Waiting> {
        let mut asked = locked(&self.asked);
        let waiting = mem::take(&mut asked.waiting);
        if waiting.is_empty() {
            asked.looks -= 1;
            return None;
        }
        Some(waiting)
    }
}

/// The strong validator of `edition`, as this version writes it.
fn etag(edition: &Edition) -> String {
    let Edition { created_at_ms, version, fence, finished_at_ms } = edition;
    let finished = finished_at_ms.map(|at| at - created_at_ms).unwrap_or_default();
    let ours = env!("CARGO_PKG_VERSION");
    format!("\"{ours}-{created_at_ms:x}-{version}-{fence}-{finished:x}\"")
}

/// Texts by benchmark. Those not read for as long as it took to read half of what may be kept are
/// let go.
#[derive(Default)]
struct Texts {
    recent: HashMap<BenchmarkId, Arc<Text>>,
    recent_bytes: usize,
    older: HashMap<BenchmarkId, Arc<Text>>,
}

impl Texts {
    fn get(&mut self, id: BenchmarkId) -> Option<Arc<Text>> {
        if let Some(text) = self.recent.get(&id) {
            return Some(Arc::clone(text));
        }
        let text = self.older.remove(&id)?;
        self.keep(id, Arc::clone(&text));
        Some(text)
    }

    fn keep(&mut self, id: BenchmarkId, text: Arc<Text>) {
        self.older.remove(&id);
        self.recent_bytes += text.json.len();
        if let Some(before) = self.recent.insert(id, text) {
            self.recent_bytes -= before.json.len();
        }
        if self.recent_bytes > KEPT_BYTES / 2 {
            self.older = mem::take(&mut self.recent);
            self.recent_bytes = 0;
        }
    }
}

/// What `mutex` guards; a panic elsewhere leaves nothing half done in ours.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(version: i64, bytes: usize) -> Arc<Text> {
        let edition = Edition { created_at_ms: 1, version, fence: 0, finished_at_ms: None };
        Arc::new(Text { edition, json: vec![b' '; bytes].into(), retry_after_s: None })
    }

    #[test]
    fn texts_that_nobody_reads_are_let_go_before_they_are_too_many() {
        let mut texts = Texts::default();
        let read = BenchmarkId(0);
        texts.keep(read, text(1, 100));
        for id in 1..=1_000 {
            texts.keep(BenchmarkId(id), text(1, 1 << 20));
            let bytes = |texts: &HashMap<_, Arc<Text>>| -> usize {
                texts.values().map(|text| text.json.len()).sum()
            };
            assert_eq!(bytes(&texts.recent), texts.recent_bytes);
            assert!(bytes(&texts.recent) + bytes(&texts.older) <= KEPT_BYTES + (2 << 20));
            assert!(texts.get(read).is_some(), "read again and again, and gone after {id}");
        }
        assert!(texts.get(BenchmarkId(1)).is_none());
        assert!(texts.get(BenchmarkId(1_000)).is_some());
    }

    #[test]
    fn a_later_text_takes_the_place_of_an_earlier_one() {
        let mut texts = Texts::default();
        texts.keep(BenchmarkId(1), text(1, 100));
        texts.keep(BenchmarkId(1), text(2, 50));
        assert_eq!(texts.get(BenchmarkId(1)).unwrap().edition.version, 2);
        assert_eq!(texts.recent_bytes, 50);
    }

    #[test]
    fn every_part_of_an_edition_is_in_its_validator() {
        let one = Edition { created_at_ms: 5, version: 1, fence: 1, finished_at_ms: None };
        let others = [
            Edition { created_at_ms: 6, ..one },
            Edition { version: 2, ..one },
            Edition { fence: 2, ..one },
            Edition { finished_at_ms: Some(7), ..one },
        ];
        for other in others {
            assert_ne!(etag(&one), etag(&other), "{other:?}");
        }
        assert_eq!(etag(&one), etag(&Edition { ..one }));
    }
}
