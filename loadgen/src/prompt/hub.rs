//! The Hugging Face hub: the one place that talks to it.
//!
//! What is fetched is kept below `DATA_DIR/hub` by repository and revision, so a run repeats with
//! the same data. The token goes to the hub's own origin and to no other: redirects lead to content
//! hosts that must not have it, so they are followed by hand. Nothing that executes is fetched.

mod choice;
mod error;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use reqwest::{Client, Response, StatusCode, header, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::PromptSource;
use tokio::io::AsyncWriteExt;
use url::Url;

use self::choice::best_file;
pub use self::error::{HubError, InvalidHub};

/// Most bytes of a file fetched.
const LARGEST_FILE: u64 = 200 * 1024 * 1024;

/// Most bytes of a repository's listing.
const LARGEST_LISTING: usize = 32 * 1024 * 1024;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const READ_WITHIN: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: usize = 5;

/// A client of the hub, with its cache.
#[derive(Clone, Debug)]
pub struct Hub {
    client: Client,
    endpoint: Url,
    token: Option<SecretString>,
    cache: PathBuf,
}

/// A file of a repository, fetched.
#[derive(Clone, Debug)]
pub(super) struct HubFile {
    /// Its path in the repository.
    pub(super) name: String,
    /// Where it lies now.
    pub(super) path: PathBuf,
}

#[derive(Clone, Copy)]
enum Kind {
    Dataset,
    Model,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Model => "model",
        }
    }
}

/// What the hub tells of a repository.
#[derive(Deserialize)]
struct Listing {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Hub {
    /// The public hub.
    pub const PUBLIC: &str = "https://huggingface.co";

    /// A hub at `endpoint` whose files are kept below `data_dir`; an empty token is none.
    ///
    /// Proxy variables count for an https endpoint only: over http a proxy would read the token.
    ///
    /// # Panics
    ///
    /// If the process has installed no rustls crypto provider.
    pub fn new(
        endpoint: &str,
        token: Option<SecretString>,
        data_dir: &Path,
    ) -> Result<Self, InvalidHub> {
        let invalid = || InvalidHub::Endpoint(endpoint.to_owned());
        let url = Url::parse(endpoint.trim()).map_err(|_| invalid())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(invalid());
        }
        let token = token.filter(|token| !token.expose_secret().trim().is_empty());
        if let Some(token) = &token
            && !token.expose_secret().trim().bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(InvalidHub::Token);
        }
        let mut client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(READ_WITHIN)
            .user_agent(concat!("llm-benchmark/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| InvalidHub::Client(root_cause(&error)))?;
        Ok(Self { client, endpoint: url, token, cache: data_dir.join("hub") })
    }

    /// The file of the dataset `id` that prompts are best read from.
    pub(super) async fn dataset_file(&self, id: &str) -> Result<HubFile, HubError> {
        let listing = self.listing(Kind::Dataset, id).await?;
        let names = listing.siblings.iter().map(|sibling| sibling.rfilename.as_str());
        let name = best_file(names).ok_or_else(|| HubError::Without {
            kind: Kind::Dataset.word(),
            id: id.to_owned(),
            wanted: format!("file that can be read ({})", PromptSource::ENDINGS.join(", ")),
        })?;
        let path = self.file(Kind::Dataset, id, &listing.sha, name).await?;
        Ok(HubFile { name: name.to_owned(), path })
    }

    /// The `tokenizer.json` of the model `id`.
    pub(super) async fn tokenizer(&self, id: &str) -> Result<Vec<u8>, HubError> {
        let wanted = "tokenizer.json";
        let listing = self.listing(Kind::Model, id).await?;
        if listing.siblings.iter().all(|sibling| sibling.rfilename != wanted) {
            return Err(HubError::Without {
                kind: Kind::Model.word(),
                id: id.to_owned(),
                wanted: wanted.to_owned(),
            });
        }
        let path = self.file(Kind::Model, id, &listing.sha, wanted).await?;
        tokio::fs::read(path).await.map_err(|cause| HubError::Cache { what: id.to_owned(), cause })
    }

    async fn listing(&self, kind: Kind, id: &str) -> Result<Listing, HubError> {
        let unlisted =
            |why: String| HubError::Listing { host: self.host(), id: id.to_owned(), why };
        let url = self.url(&["api", &format!("{}s", kind.word())], id);
        let mut response = self.get(kind, id, url, id).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = next_piece(&mut response).await? {
            if bytes.len() + piece.len() > LARGEST_LISTING {
                return Err(unlisted("it is too long".to_owned()));
            }
            bytes.extend_from_slice(&piece);
        }
        let listing: Listing =
            serde_json::from_slice(&bytes).map_err(|error| unlisted(error.to_string()))?;
        let is_revision = (1..=64).contains(&listing.sha.len())
            && listing.sha.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_revision { Ok(listing) } else { Err(unlisted("its revision is no hash".to_owned())) }
    }

    /// Where the file lies in the cache, fetched if it was not there.
    async fn file(
        &self,
        kind: Kind,
        id: &str,
        revision: &str,
        name: &str,
    ) -> Result<PathBuf, HubError> {
        let what = format!("{id}/{name}");
        let unkept = |cause| HubError::Cache { what: what.clone(), cause };
        let folder =
            self.cache.join(format!("{}s", kind.word())).join(id.replace('/', "--")).join(revision);
        let kept = folder.join(name.replace('/', "--"));
        if tokio::fs::try_exists(&kept).await.map_err(unkept)? {
            return Ok(kept);
        }
        let prefix: &[&str] = match kind {
            Kind::Dataset => &["datasets"],
            Kind::Model => &[],
        };
        let mut url = self.url(prefix, id);
        extend(&mut url, ["resolve", revision].into_iter().chain(name.split('/')));
        let mut response = self.get(kind, id, url, &what).await?;
        if response.content_length().is_some_and(|bytes| bytes > LARGEST_FILE) {
            return Err(HubError::TooLarge(what));
        }

        tokio::fs::create_dir_all(&folder).await.map_err(unkept)?;
        let part = PartFile::beside(&kept);
        let mut file = tokio::fs::File::create(&part.0).await.map_err(unkept)?;
        let mut bytes = 0;
        while let Some(piece) = next_piece(&mut response).await? {
            bytes += piece.len() as u64;
            if bytes > LARGEST_FILE {
                return Err(HubError::TooLarge(what));
            }
            file.write_all(&piece).await.map_err(unkept)?;
        }
        file.sync_all().await.map_err(unkept)?;
        tokio::fs::rename(&part.0, &kept).await.map_err(unkept)?;
        Ok(kept)
    }

    /// Asks for `url`, and follows where it leads; the token goes only to our own origin.
    async fn get(&self, kind: Kind, id: &str, url: Url, what: &str) -> Result<Response, HubError> {
        let mut url = url;
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self.client.get(url.clone());
            if let Some(token) = &self.token
                && url.origin() == self.endpoint.origin()
            {
                request = request.bearer_auth(token.expose_secret().trim());
            }
            let response = request.send().await.map_err(|error| HubError::Unreachable {
                host: host(&url),
                why: root_cause(&error),
            })?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let leads_to = response
                .headers()
                .get(header::LOCATION)
                .filter(|_| status.is_redirection())
                .and_then(|location| url.join(location.to_str().ok()?).ok())
                .filter(|next| next.scheme() == "https" || next.scheme() == self.endpoint.scheme());
            match (leads_to, status) {
                (Some(next), _) => url = next,
                (
                    None,
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND,
                ) => {
                    return Err(HubError::Refused { kind: kind.word(), id: id.to_owned() });
                }
                (None, _) => {
                    let (host, status) = (host(&url), status.as_u16());
                    return Err(HubError::Status { host, status, what: what.to_owned() });
                }
            }
        }
        Err(HubError::Unreachable { host: self.host(), why: "it redirects without end".to_owned() })
    }

    fn url(&self, prefix: &[&str], id: &str) -> Url {
        let mut url = self.endpoint.clone();
        extend(&mut url, prefix.iter().copied().chain(id.split('/')));
        url
    }

    fn host(&self) -> String {
        host(&self.endpoint)
    }
}

async fn next_piece(response: &mut Response) -> Result<Option<Bytes>, HubError> {
    response.chunk().await.map_err(|error| HubError::Unreachable {
        host: host(response.url()),
        why: root_cause(&error),
    })
}

/// Appends path segments, each escaped.
fn extend<'a>(url: &mut Url, segments: impl Iterator<Item = &'a str>) {
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
}

fn host(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// What really happened: the innermost of an error's causes, without URLs (a signed one is a key).
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<reqwest::Error>() {
        Some(_) => "the request could not be sent".to_owned(),
        None => cause.to_string(),
    }
}

/// A file that is being written; removed unless it was renamed.
struct PartFile(PathBuf);

impl PartFile {
    /// Its own for each process and call: two may fetch the same file.
    fn beside(kept: &Path) -> Self {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let nth = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut name = kept.as_os_str().to_owned();
        name.push(format!(".part-{}-{nth}", std::process::id()));
        Self(name.into())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // after the rename there is nothing left to remove
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
pub(super) mod tests;
