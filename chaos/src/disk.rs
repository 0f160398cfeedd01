//! Disks that take no more: one small enough to be filled, a file system in memory over a folder;
//! and a folder that is only read.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::ensure;

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

    /// Fills it, until not a page more fits; for as long as what comes of it lives.
    pub(crate) fn fill(&self) -> std::io::Result<Filler> {
        let filler = Filler(self.at.join("filler"));
        let mut file = File::create(&filler.0)?;
        loop {
            match file.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(full) if full.kind() == ErrorKind::StorageFull => return Ok(filler),
                Err(other) => return Err(other),
            }
        }
    }
}

/// What fills a disk.
pub(crate) struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            eprintln!("{} stays full: {error}", self.0.display());
        }
    }
}

/// A folder that nobody writes to, for as long as this lives; who has a file open there goes on.
pub(crate) struct ReadOnly(PathBuf);

impl ReadOnly {
    pub(crate) fn over(folder: &Path) -> anyhow::Result<Self> {
        let mount = |words: &[&str]| Command::new("mount").args(words).arg(folder).status();
        let bound = Command::new("mount").arg("--bind").args([folder, folder]).status()?;
        ensure!(bound.success(), "mount --bind: {bound}");
        let this = Self(folder.to_owned());
        let turned = mount(&["-o", "remount,bind,ro"])?;
        ensure!(turned.success(), "mount -o remount,bind,ro: {turned}");
        Ok(this)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.at);
    }
}

fn unmount(at: &Path) {
    // Processes may have files on it still.
    let gone = Command::new("umount").arg("--lazy").arg(at).status();
    if !gone.is_ok_and(|status| status.success()) {
        eprintln!("{} stays mounted", at.display());
    }
}
