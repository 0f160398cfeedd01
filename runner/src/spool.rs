//! The requests' rows between the load and the artifact store.
//!
//! They are written to a file without a name: a runner that dies, however it does, leaves nothing
//! behind, and several may share a folder.

use std::{fs::File, io::Seek as _, path::Path, time::Duration};

use daemon::causes;
use loadgen::{Outcome, Prepared};
use shared::report::Recorded;
use store::{Artifacts, Held, Store, StoreError, StoredRequests};
use tokio_util::sync::CancellationToken;

/// How long storing the rows may take.
const MOST_STORING: Duration = Duration::from_mins(10);
/// The same once the runner is to stop: whoever stops it does not wait for ever.
const MOST_STORING_AT_THE_END: Duration = Duration::from_secs(30);

/// A file for the rows of one run; none: there is none, and the report says why.
pub(crate) struct Spool(Result<File, String>);

impl Spool {
    /// A file below `folder`, and `prepared` writing to it.
    pub(crate) fn of(prepared: Prepared, folder: &Path) -> (Self, Prepared) {
        let made = std::fs::create_dir_all(folder)
            .and_then(|()| tempfile::tempfile_in(folder))
            .and_then(|file| Ok((file.try_clone()?, file)));
        match made {
            Ok((writers, file)) => (Self(Ok(file)), prepared.recording_to(writers)),
            Err(error) => (Self(Err(format!("no file for them: {error}"))), prepared),
        }
    }

    /// Puts the rows into the artifact store, and says in the report where that cannot be.
    pub(crate) async fn store(
        self,
        store: &Store,
        held: &Held,
        outcome: &mut Outcome,
        shutdown: &CancellationToken,
    ) -> Option<StoredRequests> {
        let recorded = outcome.report.recorded.clone();
        let file = match (self.0, recorded) {
            (Ok(file), Some(Recorded { rows, error: None, .. })) => Ok((file, rows)),
            // The report says it already.
            (Ok(_), _) => return None,
            (Err(error), _) => Err(error),
        };
        let stored = match (file, store.artifacts()) {
            (Ok((file, rows)), Ok(artifacts)) => put(artifacts, held, file, rows, shutdown).await,
            (Ok(_), Err(error)) => Err(error.to_string()),
            (Err(error), _) => Err(error),
        };
        match stored {
            Ok(stored) => Some(stored),
            Err(error) => {
                tracing::error!(benchmark = %held.id, error, "the requests' rows are not kept");
                let report = &mut outcome.report;
                let told = format!("the requests' rows were not kept: {error}");
                report.validity.reasons.push(told);
                report.recorded = Some(Recorded { error: Some(error), ..Recorded::default() });
                None
            }
        }
    }
}

async fn put(
    artifacts: &Artifacts,
    held: &Held,
    mut file: File,
    rows: u64,
    shutdown: &CancellationToken,
) -> Result<StoredRequests, String> {
    let length = file.rewind().and_then(|()| file.metadata());
    let bytes = length.map_err(|error| format!("their file cannot be read: {error}"))?.len();
    let too_late = async {
        tokio::select! {
            () = tokio::time::sleep(MOST_STORING) => {}
            () = async {
                shutdown.cancelled().await;
                tokio::time::sleep(MOST_STORING_AT_THE_END).await;
            } => {}
        }
    };
    tokio::select! {
        stored = artifacts.put_requests(held, file, bytes) => match stored {
            Ok(key) => Ok(StoredRequests { key, rows, bytes }),
            Err(error) => {
                // Its cause may name hosts and keys: that is for the log.
                tracing::warn!(benchmark = %held.id, error = %causes(&error), "cannot store rows");
                Err(error.to_string())
            }
        },
        () = too_late => Err("the artifact store took too long".to_owned()),
    }
}

/// Forgets rows whose run belongs to somebody else now.
pub(crate) async fn discard(store: &Store, requests: Option<&StoredRequests>) {
    let Some(requests) = requests else { return };
    let deleted = match store.artifacts() {
        Ok(artifacts) => artifacts.delete(&requests.key).await,
        Err(StoreError::NoArtifacts) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = deleted {
        tracing::warn!(key = requests.key, error = %causes(&error), "cannot delete rows of a lost run");
    }
}
