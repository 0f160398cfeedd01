//! The requests' rows between the load and the artifact store.
//!
//! They are written to a file of the run's own, or of the shard's of one that several runners make,
//! with what makes it whole beside it every few seconds. The file is locked for as long as its runner
//! lives, and gone when the run's end is stored: so one that can be locked was left behind, and
//! [`recovery`] knows what to do with it.

mod owner;
mod recovery;

use std::{
    fs::{self, File},
    io::{self, Seek as _},
    path::{Path, PathBuf},
    time::Duration,
};

use daemon::causes;
use loadgen::Prepared;
use records::Checkpoint;
use shared::report::Recorded;
use store::{Artifacts, KeptRequests, Store, StoredRequests};
use tokio_util::sync::CancellationToken;

use self::recovery::Left;

pub(crate) use self::{owner::Owner, recovery::recover_until};

/// How long storing the rows may take.
const MOST_STORING: Duration = Duration::from_mins(10);
/// The same once the runner is to stop: whoever stops it does not wait for ever.
const MOST_STORING_AT_THE_END: Duration = Duration::from_secs(30);

/// Where below `data_dir` rows lie while they are written.
pub(crate) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("spool")
}

/// How a runner's rows are kept until they are stored.
pub(crate) struct Spools {
    folder: PathBuf,
    /// How often what makes a whole file of them is written.
    checkpoint_every: Duration,
}

impl Spools {
    /// Those in `folder`.
    pub(crate) fn new(folder: PathBuf, checkpoint_every: Duration) -> Self {
        Self { folder, checkpoint_every }
    }

    /// The one of `owner`, for which there is no file yet.
    pub(crate) fn of(&self, owner: Owner) -> Spool {
        let (folder, checkpoint_every) = (self.folder.clone(), self.checkpoint_every);
        Spool { owner, folder, checkpoint_every, file: None, written: None }
    }
}

/// The rows of one run, or of a shard of it.
pub(crate) struct Spool {
    owner: Owner,
    folder: PathBuf,
    checkpoint_every: Duration,
    /// None: nothing was to be written yet. An error: nothing can be, and why.
    file: Option<Result<File, String>>,
    /// How many rows its writer has come to; none: not to the end. An error: they are no whole file.
    written: Option<Result<u64, String>>,
}

impl Spool {
    /// `prepared` writing to this.
    pub(crate) fn record(&mut self, prepared: Prepared) -> Prepared {
        let made = self.make().and_then(|file| Ok((file.try_clone()?, file)));
        match made {
            Ok((writers, file)) => {
                self.file = Some(Ok(file));
                prepared.recording_to(writers).checkpointing(self.checkpoint_every, self.keeper())
            }
            Err(error) => {
                self.file = Some(Err(format!("no file for them: {error}")));
                prepared
            }
        }
    }

    /// The file: locked before it has the name by which others know that it is one. Where a file
    /// system has no locks, nobody can have one, and what is left there waits until it is old.
    fn make(&self) -> io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        let unfinished = self.owner.unfinished(&self.folder);
        let file = File::options().read(true).write(true).create_new(true).open(&unfinished)?;
        if let Err(error) = file.try_lock() {
            tracing::warn!(%error, folder = %self.folder.display(), "cannot be locked: rows of a lost run stay lost");
        }
        fs::rename(unfinished, self.owner.rows(&self.folder))?;
        Ok(file)
    }

    /// Puts what makes the rows whole beside them. Where it cannot, the one before still holds. Not
    /// waiting for the disk: a process that dies loses nothing of what it has written, and a run's
    /// end would wait for whatever else that disk has to do.
    fn keeper(&self) -> impl FnMut(&Checkpoint) + Send + 'static {
        let id = self.owner.held.id;
        let (tail, new) = (self.owner.tail(&self.folder), self.owner.unfinished(&self.folder));
        move |checkpoint| {
            let kept =
                fs::write(&new, checkpoint.to_bytes()).and_then(|()| fs::rename(&new, &tail));
            if let Err(error) = kept {
                tracing::warn!(benchmark = %id, %error, "a crash now would cost the newest rows");
            }
        }
    }

    /// Notes what its writer has come to, at its end.
    pub(crate) fn close(&mut self, recorded: Option<&Recorded>) {
        self.written = recorded.map(|Recorded { rows, error, .. }| match error {
            None => Ok(*rows),
            Some(error) => Err(error.clone()),
        });
    }

    /// Puts the rows into the artifact store. None: there was nothing to be written.
    pub(crate) async fn keep(
        &self,
        store: &Store,
        shutdown: &CancellationToken,
    ) -> Option<KeptRequests> {
        let kept = match (self.file.as_ref()?, self.written.as_ref()) {
            (Err(error), _) | (_, Some(Err(error))) => Err(error.clone()),
            (Ok(_), None) => return None,
            (Ok(file), Some(Ok(rows))) => match store.artifacts() {
                Ok(artifacts) => put(artifacts, &self.owner, file, *rows, shutdown).await,
                Err(error) => Err(error.to_string()),
            },
        };
        if let Err(error) = &kept {
            tracing::error!(benchmark = %self.owner.held.id, error, "the requests' rows are not kept");
        }
        Some(kept)
    }

    /// Forgets the rows: the end of their run is stored, with them or with why they are not kept.
    pub(crate) fn remove(self) {
        if let Some(left) = self.left() {
            left.remove();
        }
    }

    /// Does with the rows what is to be done with those of a runner that died: the run was taken
    /// from this one.
    pub(crate) async fn settle(self, store: &Store, shutdown: &CancellationToken) {
        if let Some(left) = self.left() {
            left.settle(store, shutdown).await;
        }
    }

    /// What is left of it; none where it is still being written: that is for whoever can lock it
    /// one day.
    fn left(self) -> Option<Left> {
        let file = self.file?.ok().filter(|_| self.written.is_some())?;
        Some(Left { owner: self.owner, folder: self.folder, file, is_own: true })
    }
}

/// Puts `rows` rows, all that there is of `file`, into the artifact store.
async fn put(
    artifacts: &Artifacts,
    owner: &Owner,
    file: &File,
    rows: u64,
    shutdown: &CancellationToken,
) -> KeptRequests {
    let held = &owner.held;
    let opened = file.try_clone().and_then(|mut file| {
        file.rewind()?;
        let bytes = file.metadata()?.len();
        Ok((file, bytes))
    });
    let (file, bytes) = opened.map_err(|error| format!("their file cannot be read: {error}"))?;
    let name = owner.name();
    tokio::select! {
        stored = artifacts.put_rows(held, &name, file, bytes) => match stored {
            Ok(key) => Ok(StoredRequests { key, rows, bytes }),
            Err(error) => {
                // Its cause may name hosts and keys: that is for the log.
                tracing::warn!(benchmark = %held.id, error = %causes(&error), "cannot store rows");
                Err(error.to_string())
            }
        },
        () = too_late(shutdown) => Err("the artifact store took too long".to_owned()),
    }
}

/// Ends when nobody waits any longer for rows to be stored.
pub(crate) async fn too_late(shutdown: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(MOST_STORING) => {}
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(MOST_STORING_AT_THE_END).await;
        } => {}
    }
}
