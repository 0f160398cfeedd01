//! A disk that is small enough to be filled: a file system in memory over a folder.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub(crate) struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Over `folder`, which is empty, of so many KiB; none where this may not be: it takes root.
    pub(crate) fn over(folder: &Path, kib: u32) -> Option<Self> {
        let size = format!("size={kib}k,mode=1777");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder)
            .stderr(Stdio::null())
            .status();
        let mounted = mounted.is_ok_and(|status| status.success());
        mounted.then(|| Self { at: folder.to_owned() })
    }

    /// Fills it, until not a page more fits.
    pub(crate) fn fill(&self) -> std::io::Result<()> {
        let mut file = File::create(self.filler())?;
        loop {
            match file.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(full) if full.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(other) => return Err(other),
            }
        }
    }

    pub(crate) fn free(&self) -> std::io::Result<()> {
        fs::remove_file(self.filler())
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Processes may have files on it still.
        let gone = Command::new("umount").arg("--lazy").arg(&self.at).status();
        if !gone.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.at.display());
        }
    }
}
