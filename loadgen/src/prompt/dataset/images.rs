//! Images of a data set, as the URLs they are sent as.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::prompt::data_dir::{self, FileError};

/// Most bytes of an image.
const LARGEST: u64 = 20 * 1024 * 1024;

/// Most bytes of all images of a data set, as they are sent.
const MOST_BYTES: usize = 1024 * 1024 * 1024;

/// The images of a data set; each is kept once.
pub(super) struct Images {
    /// Where files may lie, and the folders below it that are looked in.
    files: Option<(PathBuf, [String; 2])>,
    kept: HashMap<String, Arc<str>>,
    bytes: usize,
}

/// Why something is no image that can be sent.
#[derive(Debug, thiserror::Error)]
pub enum NoImage {
    /// Its file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Of no known type.
    #[error("`{0}` is no PNG, JPEG, WebP or GIF")]
    Type(String),
    /// A `data:` URL that holds none.
    #[error("a data: URL must be data:image/png;base64,… (or jpeg, webp, gif), unlike `{0}`")]
    DataUrl(String),
    /// A URL of another scheme, or a file where there are none.
    #[error("`{0}` is neither an http, https or data: URL nor a file below DATA_DIR")]
    Unknown(String),
    /// Too many bytes of them.
    #[error("the images of the data set have more than {MOST_BYTES} bytes together")]
    TooMany,
}

impl Images {
    /// Images of the data set `path` below `data_dir`: their files lie beside it or, by their whole
    /// paths, below `data_dir`.
    pub(super) fn beside(data_dir: &Path, path: &str) -> Self {
        let folder =
            path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let files = Some((data_dir.to_owned(), [folder, String::new()]));
        Self { files, ..Self::of_rows_alone() }
    }

    /// Images that are in the rows themselves, or on the web.
    pub(super) fn of_rows_alone() -> Self {
        Self { files: None, kept: HashMap::new(), bytes: 0 }
    }

    /// Whether images may be files.
    pub(super) fn may_be_files(&self) -> bool {
        self.files.is_some()
    }

    /// The URL that `named` is sent as.
    pub(super) fn url(&mut self, named: &str) -> Result<Arc<str>, NoImage> {
        if named.starts_with("http://") || named.starts_with("https://") {
            return Ok(named.into());
        }
        if let Some(rest) = named.strip_prefix("data:") {
            return self.keep(checked(rest).ok_or_else(|| NoImage::DataUrl(shown(named)))?);
        }
        if let Some(kept) = self.kept.get(named) {
            return Ok(Arc::clone(kept));
        }
        let Some((data_dir, folders)) = self.files.as_ref().filter(|_| !named.contains("://"))
        else {
            return Err(NoImage::Unknown(shown(named)));
        };
        let mut found = Err(FileError::Missing(shown(named)));
        for folder in folders {
            if matches!(found, Err(FileError::Missing(_))) {
                found = data_dir::read_now(data_dir, &format!("{folder}{named}"), LARGEST);
            }
        }
        let bytes = found?;
        let kind = kind(&bytes).ok_or_else(|| NoImage::Type(shown(named)))?;
        let url = self.keep(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)))?;
        self.kept.insert(named.to_owned(), Arc::clone(&url));
        Ok(url)
    }

    fn keep(&mut self, url: String) -> Result<Arc<str>, NoImage> {
        self.bytes += url.len();
        if self.bytes > MOST_BYTES { Err(NoImage::TooMany) } else { Ok(url.into()) }
    }
}

/// A `data:` URL, given what stands behind its scheme, if it holds an image.
fn checked(rest: &str) -> Option<String> {
    let (_, base64) = rest.strip_prefix("image/")?.split_once(";base64,")?;
    let bytes = STANDARD.decode(base64).ok()?;
    kind(&bytes).map(|kind| format!("data:image/{kind};base64,{base64}"))
}

/// What an image is, by its first bytes.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("png"),
        [0xff, 0xd8, 0xff, ..] => Some("jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("webp"),
        _ => None,
    }
}

fn shown(named: &str) -> String {
    named.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";

    #[test]
    fn a_file_is_found_beside_the_data_set_or_below_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("sets/pictures")).unwrap();
        std::fs::write(dir.path().join("sets/pictures/a.png"), PNG).unwrap();
        std::fs::write(dir.path().join("b.bin"), b"\xff\xd8\xff\xe0").unwrap();
        std::fs::write(dir.path().join("c.png"), b"no image").unwrap();
        let mut images = Images::beside(dir.path(), "sets/vqa.jsonl");
        let png = format!("data:image/png;base64,{}", STANDARD.encode(PNG));
        assert_eq!(&*images.url("pictures/a.png").unwrap(), png);
        assert_eq!(&*images.url("sets/pictures/a.png").unwrap(), png);
        let jpeg = images.url("b.bin").unwrap();
        assert_eq!(&*jpeg, "data:image/jpeg;base64,/9j/4A==", "the type is that of the bytes");
        assert!(Arc::ptr_eq(&jpeg, &images.url("b.bin").unwrap()), "it is kept once");
        assert_eq!(&*images.url(&png).unwrap(), png);
        assert_eq!(&*images.url("https://x.example/a.png").unwrap(), "https://x.example/a.png");

        let mut refused = |named: &str| images.url(named).unwrap_err().to_string();
        assert_eq!(refused("c.png"), "`c.png` is no PNG, JPEG, WebP or GIF");
        assert_eq!(refused("d.png"), "there is no file `d.png` below DATA_DIR");
        assert_eq!(refused("../../etc/passwd"), "`../../etc/passwd` leads out of DATA_DIR");
        assert!(refused("/etc/passwd").contains("leads out of DATA_DIR"));
        assert!(refused("data:image/png;base64,AAAA").starts_with("a data: URL must be"));
        assert!(refused("data:image/png;base64,?").starts_with("a data: URL must be"));
        assert!(refused("data:text/plain,hi").starts_with("a data: URL must be"));
        assert!(refused("file:///etc/passwd").contains("neither an http, https"));
        let mut alone = Images::of_rows_alone();
        assert!(alone.url("b.bin").unwrap_err().to_string().contains("neither an http, https"));
    }
}
