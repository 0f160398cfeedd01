//! Files a client may name: those below `DATA_DIR`, and no others, whatever links say.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Why a file below `DATA_DIR` could not be read. Says nothing of the directory itself.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Nothing there.
    #[error("there is no file `{0}` below DATA_DIR")]
    Missing(String),
    /// A link that leads out.
    #[error("`{0}` leads out of DATA_DIR")]
    Outside(String),
    /// A directory, a pipe, a device.
    #[error("`{0}` is not a file")]
    NotAFile(String),
    /// Too many bytes.
    #[error("`{path}` has {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
        /// The most allowed.
        limit: u64,
    },
    /// Anything else.
    #[error("`{path}` cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        cause: io::Error,
    },
}

/// The bytes of the file `path` below `data_dir`, at most `limit`.
pub(super) async fn read(data_dir: &Path, path: &str, limit: u64) -> Result<Vec<u8>, FileError> {
    let (data_dir, path) = (data_dir.to_owned(), path.to_owned());
    let failed = |cause| FileError::Unreadable { path: path.clone(), cause };
    let name = path.clone();
    tokio::task::spawn_blocking(move || read_now(&data_dir, &name, limit))
        .await
        .map_err(|crashed| failed(io::Error::other(crashed)))?
}

/// The same, for whoever may wait.
pub(super) fn read_now(data_dir: &Path, path: &str, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let read = open(data_dir, path, limit)?.take(limit).read_to_end(&mut bytes);
    read.map_err(|cause| FileError::Unreadable { path: path.into(), cause })?;
    Ok(bytes)
}

/// The file `path` below `data_dir`, which has at most `limit` bytes.
pub(crate) fn open(data_dir: &Path, path: &str, limit: u64) -> Result<File, FileError> {
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileError::Missing(path.into()),
        _ => FileError::Unreadable { path: path.into(), cause },
    };
    let root = std::fs::canonicalize(data_dir).map_err(failed)?;
    let file = std::fs::canonicalize(root.join(path)).map_err(failed)?;
    if !file.starts_with(&root) {
        return Err(FileError::Outside(path.into()));
    }
    let found = std::fs::metadata(&file).map_err(failed)?;
    if !found.is_file() {
        return Err(FileError::NotAFile(path.into()));
    }
    if found.len() > limit {
        return Err(FileError::TooLarge { path: path.into(), bytes: found.len(), limit });
    }
    File::open(&file).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_regular_files_below_the_directory_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(dir.path().join("secret.jsonl"), "secret").unwrap();
        std::fs::write(inside.join("chat.jsonl"), "12345").unwrap();
        std::fs::create_dir(inside.join("dir.jsonl")).unwrap();
        std::os::unix::fs::symlink("../secret.jsonl", inside.join("out.jsonl")).unwrap();
        std::os::unix::fs::symlink("chat.jsonl", inside.join("within.jsonl")).unwrap();
        let read = async |path: &str, limit| super::read(&inside, path, limit).await;

        assert_eq!(read("chat.jsonl", 5).await.unwrap(), b"12345");
        assert_eq!(read("within.jsonl", 5).await.unwrap(), b"12345");
        let large = read("chat.jsonl", 4).await.unwrap_err();
        assert_eq!(large.to_string(), "`chat.jsonl` has 5 bytes, more than the 4 allowed");
        let outside = read("out.jsonl", 99).await.unwrap_err();
        assert_eq!(outside.to_string(), "`out.jsonl` leads out of DATA_DIR");
        let outside = read("../secret.jsonl", 99).await.unwrap_err();
        assert!(matches!(outside, FileError::Outside(_)));
        let missing = read("none.jsonl", 99).await.unwrap_err();
        assert_eq!(missing.to_string(), "there is no file `none.jsonl` below DATA_DIR");
        assert!(matches!(read("dir.jsonl", 99).await.unwrap_err(), FileError::NotAFile(_)));
    }
}
