//! What is too large for the database: files of benchmarks, in a folder or in a bucket of S3.
//!
//! Which file a benchmark has, its row says (`benchmark_artifact`); a file that no row names was
//! left behind by a run that lost its lease, and goes with its benchmark. Files are written once
//! and never changed. `object_store` is named nowhere else.

use std::{fs::File, io::Read as _, ops::Range, path::Path as Folder, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt as _, RetryConfig, WriteMultipart,
    aws::AmazonS3Builder, local::LocalFileSystem, path::Path, prefix::PrefixStore,
};
use shared::BenchmarkId;
use url::Url;

use crate::{Held, StoreError};

/// Bytes that are sent to the store at a time; no fewer than S3 takes of a part.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts on their way at once.
const PARTS: usize = 2;
/// How long a call is tried before it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where files lie. Clones share it.
#[derive(Clone, Debug)]
pub struct Artifacts(Arc<dyn ObjectStore>);

impl Artifacts {
    /// The store that `url` names: `file:///folder` (made where it is not), a folder's path, or
    /// `s3://bucket/prefix` with what the `AWS_*` variables say.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let invalid = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::ArtifactsUrl {
            url: url.to_owned(),
            source,
        };
        let parsed = match Url::parse(url) {
            Ok(parsed) => parsed,
            Err(_) if !url.contains("://") => return Self::in_folder(Folder::new(url)),
            Err(error) => return Err(invalid(error.into())),
        };
        match parsed.scheme() {
            "file" => match parsed.to_file_path() {
                Ok(folder) => Self::in_folder(&folder),
                Err(()) => Err(invalid("it names no folder of this machine".into())),
            },
            "s3" => {
                let retry = RetryConfig { retry_timeout: PATIENCE, ..RetryConfig::default() };
                let bucket = parsed.host_str().unwrap_or_default();
                let bucket = AmazonS3Builder::from_env()
                    .with_bucket_name(bucket)
                    .with_retry(retry)
                    .build()
                    .map_err(|error| invalid(error.into()))?;
                let prefix = Path::from_url_path(parsed.path());
                let prefix = prefix.map_err(|error| invalid(error.into()))?;
                Ok(Self(Arc::new(PrefixStore::new(bucket, prefix))))
            }
            _ => Err(invalid("use file:///folder or s3://bucket/prefix".into())),
        }
    }

    /// The store in `folder`, which is made where it is not.
    pub fn in_folder(folder: &Folder) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(StoreError::Folder)?;
        let files = LocalFileSystem::new_with_prefix(folder)?.with_automatic_cleanup(true);
        Ok(Self(Arc::new(files)))
    }

    /// Stores the first `length` bytes of `file`, which are rows, as `name` of the run `held`, and
    /// says under which key. Doing so twice leaves the same.
    pub async fn put_rows(
        &self,
        held: &Held,
        name: &str,
        file: File,
        length: u64,
    ) -> Result<String, StoreError> {
        let key = rows_key(held, name);
        let path = Path::from(key.as_str());
        if length <= PART_BYTES as u64 {
            let (bytes, _) = part(file, length).await?;
            self.0.put(&path, bytes.into()).await?;
            return Ok(key);
        }
        let upload = self.0.put_multipart(&path).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let (mut file, mut left) = (file, length);
        while left > 0 {
            let read = part(file, left).await;
            let (bytes, rest) = match read {
                Ok(read) => read,
                Err(error) => {
                    upload.abort().await?;
                    return Err(error);
                }
            };
            (file, left) = (rest, left - bytes.len() as u64);
            upload.wait_for_capacity(PARTS).await?;
            upload.put(bytes);
        }
        upload.finish().await?;
        Ok(key)
    }

    /// Some bytes of the file `key`.
    pub async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        Ok(self.0.get_range(&Path::from(key), range).await?)
    }

    /// All bytes of the file `key`, as they come.
    pub async fn stream(
        &self,
        key: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        let file = self.0.get(&Path::from(key)).await?;
        Ok(file.into_stream().map_err(StoreError::from).boxed())
    }

    /// The same of some bytes of it, of which there must be one.
    pub async fn stream_of(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        let part = GetOptions { range: Some(range.into()), ..GetOptions::default() };
        let file = self.0.get_opts(&Path::from(key), part).await?;
        Ok(file.into_stream().map_err(StoreError::from).boxed())
    }

    /// Deletes the file `key`; one that is gone is fine.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.0.delete(&Path::from(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes every file of the benchmark `id`, those of lost runs too.
    pub(crate) async fn delete_all(&self, id: BenchmarkId) -> Result<(), StoreError> {
        let files = self.0.list(Some(&Path::from(folder(id))));
        let files: Vec<Path> = files.map_ok(|file| file.location).try_collect().await?;
        for file in files {
            self.delete(file.as_ref()).await?;
        }
        Ok(())
    }
}

/// Where the rows `name` of one claim lie.
pub(crate) fn rows_key(held: &Held, name: &str) -> String {
    format!("{}/run-{}/{name}.parquet", folder(held.id), held.fence)
}

/// Where the files of a benchmark lie.
fn folder(id: BenchmarkId) -> String {
    format!("benchmarks/{id}")
}

/// The next part of what is `left` of `file`, read where it disturbs nobody.
async fn part(mut file: File, left: u64) -> Result<(Bytes, File), StoreError> {
    let length = usize::try_from(left).unwrap_or(usize::MAX).min(PART_BYTES);
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map(|()| (bytes.into(), file))
    });
    let read = read.await.map_err(|panicked| std::io::Error::other(panicked.to_string()));
    read.flatten().map_err(StoreError::Folder)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    fn file_of(length: usize) -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        (file, bytes)
    }

    #[tokio::test]
    async fn a_file_of_any_length_comes_back_whole_and_in_pieces_and_goes_with_its_benchmark() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_directory_path(folder.path().join("a folder")).unwrap();
        let artifacts = Artifacts::open(url.as_str()).unwrap();
        for length in [0, 100, PART_BYTES, 2 * PART_BYTES + 1] {
            let held = Held { id: BenchmarkId(7), fence: i64::try_from(length).unwrap() };
            let (file, bytes) = file_of(length);
            let key = artifacts.put_rows(&held, "requests", file, length as u64).await.unwrap();
            assert_eq!(key, format!("benchmarks/7/run-{length}/requests.parquet"));
            let pieces: Vec<Bytes> =
                artifacts.stream(&key).await.unwrap().try_collect().await.unwrap();
            assert!(pieces.concat() == bytes, "{length} bytes");
            if length > 50 {
                let piece = artifacts.read(&key, 10..50).await.unwrap();
                assert_eq!(piece.as_ref(), &bytes[10..50]);
                let rest = artifacts.stream_of(&key, 10..length as u64 - 1).await.unwrap();
                let pieces: Vec<Bytes> = rest.try_collect().await.unwrap();
                assert!(pieces.concat() == bytes[10..length - 1], "{length} bytes");
            }
        }
        let other = Held { id: BenchmarkId(70), fence: 1 };
        let kept = artifacts.put_rows(&other, "requests", file_of(5).0, 5).await.unwrap();
        artifacts.delete_all(BenchmarkId(7)).await.unwrap();
        let gone = artifacts.read("benchmarks/7/run-100/requests.parquet", 0..1).await;
        assert!(matches!(gone, Err(StoreError::NoArtifact { .. })), "{gone:?}");
        assert_eq!(artifacts.read(&kept, 0..5).await.unwrap().len(), 5);
        artifacts.delete("benchmarks/7/run-100/requests.parquet").await.unwrap();
    }

    #[test]
    fn a_url_that_names_no_store_is_refused_with_what_would() {
        for (url, words) in [
            ("ftp://x/y", "use file:///folder or s3://bucket/prefix"),
            ("file://host/x", "names no folder"),
        ] {
            let error = Artifacts::open(url).unwrap_err();
            assert_eq!(error.to_string(), format!("ARTIFACTS_URL cannot be used: {url}"));
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains(words), "{cause}");
        }
    }
}
