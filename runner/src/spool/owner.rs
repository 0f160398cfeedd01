//! Whose rows a spool holds: what its file is called, and so all that is known when its runner is
//! gone.

use std::path::{Path, PathBuf};

use shared::{BenchmarkId, RunnerId};
use store::{Held, requests_of};

/// The claim whose load the rows are of, and the part of that load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The run and its fence.
    pub(crate) held: Held,
    /// Which shard of its load; 0: that of the runner that claimed it.
    pub(crate) shard: u32,
    /// Who claimed it: no other database has a run of that runner.
    pub(crate) runner: RunnerId,
}

impl Owner {
    /// The owner of the rows at `path`; none: rows are called otherwise.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let name = name.strip_prefix("run-")?.strip_suffix(".parquet")?;
        let mut parts = name.splitn(3, '-');
        let id = BenchmarkId(parts.next()?.parse().ok()?);
        let claim = parts.next()?;
        let (fence, shard) = claim.split_once('.').unwrap_or((claim, "0"));
        let held = Held { id, fence: fence.parse().ok()? };
        let runner = RunnerId(parts.next()?.to_owned());
        Some(Self { held, shard: shard.parse().ok()?, runner })
    }

    /// What the file of its rows is called in the artifact store.
    pub(super) fn name(&self) -> String {
        requests_of(self.shard)
    }

    /// Where in `folder` its rows are.
    pub(super) fn rows(&self, folder: &Path) -> PathBuf {
        self.file(folder, "parquet")
    }

    /// Where in `folder` is what they lack to be a whole file.
    pub(super) fn tail(&self, folder: &Path) -> PathBuf {
        self.file(folder, "tail")
    }

    /// Where either is while it is made.
    pub(super) fn unfinished(&self, folder: &Path) -> PathBuf {
        self.file(folder, "new")
    }

    fn file(&self, folder: &Path, extension: &str) -> PathBuf {
        let Self { held: Held { id, fence }, shard, runner } = self;
        let shard = if *shard == 0 { String::new() } else { format!(".{shard}") };
        folder.join(format!("run-{id}-{fence}{shard}-{runner}.{extension}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_its_rows_tells_the_owner_and_no_other_name_does() {
        let held = Held { id: BenchmarkId(7), fence: 12 };
        let folder = Path::new("data/spool");
        let first = Owner { held, shard: 0, runner: RunnerId("01JDABCDEFGH".to_owned()) };
        let owner = Owner { shard: 3, ..first.clone() };
        for (owner, name, file) in [
            (&first, "run-7-12-01JDABCDEFGH.parquet", "requests"),
            (&owner, "run-7-12.3-01JDABCDEFGH.parquet", "requests-3"),
        ] {
            let rows = owner.rows(folder);
            assert_eq!(rows, folder.join(name));
            assert_eq!(Owner::of(&rows), Some(owner.clone()));
            assert_eq!(owner.name(), file);
        }
        for other in [
            owner.tail(folder),
            owner.unfinished(folder),
            folder.join("run-7-12.parquet"),
            folder.join("run-7-12.x-01J.parquet"),
            folder.join("run-x-12-01J.parquet"),
            folder.join("sets.parquet"),
        ] {
            assert_eq!(Owner::of(&other), None, "{}", other.display());
        }
    }
}
