//! Rows whose runner is gone: given to their run where it has ended without them, deleted where
//! nobody wants them.
//!
//! Any number of processes may look at one folder: a file is touched by whoever has locked it, and
//! what is to become of it, the database says, in the words of [`LeftRows`].

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use daemon::causes;
use records::{Checkpoint, RecordsError};
use store::{LeftRows, Store, StoreError, StoredRequests};
use tokio_util::sync::CancellationToken;

use super::{owner::Owner, put};

/// How long rows wait for somebody who wants them.
const MOST_WAITING: Duration = Duration::from_hours(7 * 24);
/// Between two looks where one has failed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// Looks for rows that were left behind in `folder`, at once and then `every` so often, until it is
/// `over`.
pub(crate) async fn recover_until(
    store: Store,
    folder: PathBuf,
    every: Duration,
    over: CancellationToken,
) {
    loop {
        let went_well = tokio::select! {
            went_well = recover(&store, &folder, &over) => went_well,
            // What was begun is begun anew by whoever looks next.
            () = over.cancelled() => return,
        };
        let pause = if went_well { every } else { every.max(LOOK_AGAIN_AFTER) };
        if crate::pause(pause, &over).await {
            return;
        }
    }
}

/// Does with all that was left in `folder` what is to be done with it; false where something could
/// not be.
async fn recover(store: &Store, folder: &Path, over: &CancellationToken) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return true };
    let mut went_well = true;
    for path in entries.flatten().map(|entry| entry.path()) {
        let (owner, is_old) = (Owner::of(&path), is_old(&path, SystemTime::now()));
        // What has no owner yet is made just now; its maker wants to lock it.
        if owner.is_none() && !is_old {
            continue;
        }
        let Some(file) = lock(&path) else { continue };
        if is_old {
            remove(&path);
            tracing::info!(file = %path.display(), "rows that nobody wanted for long are deleted");
        } else if let Some(owner) = owner {
            let left = Left { owner, folder: folder.to_owned(), file, is_own: false };
            went_well &= left.settle(store, over).await;
        }
    }
    went_well
}

/// The file at `path`, if nobody has it who lives.
fn lock(path: &Path) -> Option<File> {
    let file = File::options().read(true).write(true).open(path).ok()?;
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => {
            tracing::warn!(file = %path.display(), %error, "cannot be locked");
            None
        }
    }
}

fn is_old(path: &Path, now: SystemTime) -> bool {
    let written_at = fs::metadata(path).and_then(|about| about.modified()).ok();
    // A clock that was put back makes nothing old.
    let age = written_at.and_then(|written_at| now.duration_since(written_at).ok());
    age.is_some_and(|age| age >= MOST_WAITING)
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(file = %path.display(), %error, "cannot be deleted");
        }
        _ => {}
    }
}

/// Rows that nobody writes any more, locked.
pub(super) struct Left {
    pub(super) owner: Owner,
    pub(super) folder: PathBuf,
    pub(super) file: File,
    /// Whether this process wrote them: then no other database can know their run.
    pub(super) is_own: bool,
}

impl Left {
    /// Does with them what is to be done; false where that could not be: they are still there.
    pub(super) async fn settle(self, store: &Store, shutdown: &CancellationToken) -> bool {
        let Owner { held, runner, .. } = &self.owner;
        match store.left_rows(held, runner, &self.owner.name()).await {
            Ok(LeftRows::Early) => true,
            Ok(LeftRows::Unknown) if !self.is_own => true,
            Ok(LeftRows::Unwanted | LeftRows::Unknown) => {
                self.withdraw(store).await;
                self.remove();
                true
            }
            Ok(LeftRows::Wanted) => match self.give(store, shutdown).await {
                Ok(is_over) => {
                    if is_over {
                        self.remove();
                    }
                    true
                }
                Err(error) => {
                    let (benchmark, error) = (held.id, format!("{error:#}"));
                    tracing::warn!(%benchmark, error, "rows of a lost run cannot be stored yet");
                    false
                }
            },
            Err(error) => {
                tracing::warn!(benchmark = %held.id, error = %causes(&error), "cannot ask for rows of a lost run");
                false
            }
        }
    }

    /// Gives them to their run; true when they are not needed here any more.
    async fn give(&self, store: &Store, shutdown: &CancellationToken) -> anyhow::Result<bool> {
        let Owner { held, runner, shard } = &self.owner;
        let Some(rows) = self.mend().await? else { return Ok(true) };
        let stored = put(store.artifacts()?, &self.owner, &self.file, rows, shutdown).await;
        let stored = stored.map_err(anyhow::Error::msg)?;
        let left = store.keep_left_rows(held, runner, &self.owner.name(), stored.clone()).await?;
        if left == LeftRows::Wanted {
            let StoredRequests { rows, bytes, .. } = stored;
            tracing::info!(benchmark = %held.id, shard, rows, bytes, "a lost run has its rows");
            return Ok(true);
        }
        // Somebody deleted the benchmark just now.
        self.withdraw(store).await;
        Ok(left == LeftRows::Unwanted)
    }

    /// Makes a whole file of them: how many rows it has; none where nothing can be made.
    async fn mend(&self) -> anyhow::Result<Option<u64>> {
        let (file, tail) = (self.file.try_clone()?, self.owner.tail(&self.folder));
        // What a damaged file does to its reader stays in there.
        let mended = tokio::task::spawn_blocking(move || mend(file, &tail)).await;
        let why = match mended {
            Ok(Ok(rows)) => return Ok(Some(rows)),
            Ok(Err(Unmendable::Io(error))) => return Err(error).context("they cannot be read"),
            Ok(Err(lacking)) => lacking.to_string(),
            Err(panicked) => panicked.to_string(),
        };
        tracing::warn!(benchmark = %self.owner.held.id, why, "rows of a lost run are lost with it");
        Ok(None)
    }

    /// Takes back what may be in the artifact store of them and is nobody's.
    async fn withdraw(&self, store: &Store) {
        let held = &self.owner.held;
        match store.withdraw_rows(held, &self.owner.name()).await {
            Ok(()) | Err(StoreError::NoArtifacts) => {}
            Err(error) => {
                tracing::warn!(benchmark = %held.id, error = %causes(&error), "cannot delete rows of a lost run");
            }
        }
    }

    /// The rows last: without them nobody looks for the rest.
    pub(super) fn remove(self) {
        let Self { owner, folder, .. } = &self;
        for path in [owner.unfinished(folder), owner.tail(folder), owner.rows(folder)] {
            remove(&path);
        }
    }
}

/// Why no file can be made of rows that were left.
#[derive(Debug, thiserror::Error)]
enum Unmendable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("there was no checkpoint of them")]
    NoCheckpoint,
    #[error("their checkpoint is damaged")]
    Damaged,
    #[error("their checkpoint is damaged: {0}")]
    Unreadable(#[from] RecordsError),
}

/// Puts what `file` lacks after what counts of it. Doing so twice leaves the same.
fn mend(mut file: File, tail: &Path) -> Result<u64, Unmendable> {
    let bytes = match fs::read(tail) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Unmendable::NoCheckpoint),
        Err(error) => return Err(error.into()),
    };
    let checkpoint = Checkpoint::from_bytes(bytes).ok_or(Unmendable::Damaged)?;
    let rows = checkpoint.rows()?;
    if file.metadata()?.len() < checkpoint.length {
        return Err(Unmendable::Damaged);
    }
    file.set_len(checkpoint.length)?;
    file.seek(SeekFrom::Start(checkpoint.length))?;
    file.write_all(&checkpoint.tail)?;
    Ok(rows)
}

#[cfg(test)]
mod tests;
