//! Whose rows a spool holds: what its file is called, and so all that is known when its runner is
//! gone.

use std::path::{Path, PathBuf};

use shared::{BenchmarkId, RunnerId};
use store::Held;

/// The claim whose load the rows are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The run and its fence.
    pub(super) held: Held,
    /// Who claimed it: no other database has a run of that runner.
    pub(super) runner: RunnerId,
}

impl Owner {
    /// The owner of the rows at `path`; none: rows are called otherwise.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let name = name.strip_prefix("run-")?.strip_suffix(".parquet")?;
        let mut parts = name.splitn(3, '-');
        let id = BenchmarkId(parts.next()?.parse().ok()?);
        let fence = parts.next()?.parse().ok()?;
        let runner = RunnerId(parts.next()?.to_owned());
        Some(Self { held: Held { id, fence }, runner })
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
        let Self { held: Held { id, fence }, runner } = self;
        folder.join(format!("run-{id}-{fence}-{runner}.{extension}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_its_rows_tells_the_owner_and_no_other_name_does() {
        let held = Held { id: BenchmarkId(7), fence: 12 };
        let owner = Owner { held, runner: RunnerId("01JDABCDEFGH".to_owned()) };
        let folder = Path::new("data/spool");
        let rows = owner.rows(folder);
        assert_eq!(rows, folder.join("run-7-12-01JDABCDEFGH.parquet"));
        assert_eq!(Owner::of(&rows), Some(owner.clone()));
        for other in [
            owner.tail(folder),
            owner.unfinished(folder),
            folder.join("run-7-12.parquet"),
            folder.join("run-x-12-01J.parquet"),
            folder.join("sets.parquet"),
        ] {
            assert_eq!(Owner::of(&other), None, "{}", other.display());
        }
    }
}
