//! The rows of a benchmark's requests, from the artifact store to the client.
//!
//! A file may be larger than this process' memory. Parquet passes through as it comes; CSV and
//! JSONL are made of one row group after the other, each fetched when the client has taken the one
//! before.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use poem::{
    Body,
    http::{HeaderMap, HeaderValue, header},
};
use poem_openapi::{ApiResponse, payload::Binary};
use records::{Layout, RecordsError, Tail, TextFormat};
use shared::{
    Benchmark, State,
    request::{Field, Fields, Kind as Takes},
};
use store::{Artifacts, StoreError, StoredRequests};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    AppState,
    fields::Parameters,
    problem::{ApiError, Kind},
};

/// Downloads that may be under way at once: each holds a row group.
pub(crate) const MAX_DOWNLOADS: usize = 16;

/// The parameter of a download.
pub(crate) const PARAMETERS: &[Field] = &[Field {
    name: "format",
    kind: Takes::Text { max_chars: 16 },
    default: "what `Accept` asks for, else parquet",
    doc: "`parquet`, `csv` or `jsonl`.",
}];

/// The rows as they go out. The document has one answer for each status, so [`crate::openapi`] puts
/// the three types into it.
#[derive(ApiResponse)]
pub(crate) enum RequestsFile {
    /// A row for each request, in the order in which they ended.
    #[oai(status = 200, content_type = "application/vnd.apache.parquet")]
    Parquet(Binary<Body>, #[oai(header = "Content-Disposition")] String),
    /// The same as comma-separated values.
    #[oai(status = 200, content_type = "text/csv; charset=utf-8")]
    Csv(Binary<Body>, #[oai(header = "Content-Disposition")] String),
    /// A row for each request, in the order in which they ended.
    #[oai(status = 200, content_type = "application/x-ndjson")]
    Jsonl(Binary<Body>, #[oai(header = "Content-Disposition")] String),
}

/// What rows can be had as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Text(TextFormat),
}

impl Format {
    pub(crate) const ALL: [Self; 3] =
        [Self::Parquet, Self::Text(TextFormat::Csv), Self::Text(TextFormat::Jsonl)];

    fn word(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Text(TextFormat::Csv) => "csv",
            Self::Text(TextFormat::Jsonl) => "jsonl",
        }
    }

    /// Its type, as the document and the answer say it.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Text(TextFormat::Csv) => "text/csv; charset=utf-8",
            Self::Text(TextFormat::Jsonl) => "application/x-ndjson",
        }
    }

    /// What the query says, else what `Accept` does.
    pub(crate) fn wanted(given: &Fields, headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut read = Parameters::new(given, PARAMETERS);
        let asked = read.text("format");
        let named = asked.map(|word| {
            let known = Self::ALL.into_iter().find(|format| format.word() == word);
            if known.is_none() {
                let detail = format!("format must be parquet, csv or jsonl, not `{word}`");
                read.refuse("format", detail);
            }
            known.unwrap_or(Self::Parquet)
        });
        read.finish()?;
        Ok(named.unwrap_or_else(|| Self::accepted(headers)))
    }

    /// The first type of `Accept` that is one of ours; whoever names none gets the file itself.
    fn accepted(headers: &HeaderMap) -> Self {
        let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let types = accept.flat_map(|value| value.split(','));
        let mut types = types.map(|kind| kind.split(';').next().unwrap_or_default().trim());
        types
            .find_map(|kind| match kind {
                "text/csv" => Some(Self::Text(TextFormat::Csv)),
                "application/x-ndjson" | "application/jsonl" => Some(Self::Text(TextFormat::Jsonl)),
                "application/vnd.apache.parquet" => Some(Self::Parquet),
                _ => None,
            })
            .unwrap_or(Self::Parquet)
    }
}

/// The rows of `benchmark` as `format`.
pub(crate) async fn download(
    state: &AppState,
    benchmark: &Benchmark,
    format: Format,
) -> Result<RequestsFile, ApiError> {
    let Some(file) = state.store.requests(benchmark.id).await? else {
        return Err(ApiError::told(Kind::NOT_FOUND, why_none(benchmark)));
    };
    let Ok(permit) = Arc::clone(&state.downloads).try_acquire_owned() else {
        let detail = format!("{MAX_DOWNLOADS} downloads of requests are under way; try again");
        let refusal = ApiError::told(Kind::BUSY, detail);
        return Err(refusal.with(header::RETRY_AFTER, HeaderValue::from(2)));
    };
    let artifacts = state.store.artifacts()?.clone();
    let name =
        format!("attachment; filename=\"benchmark-{}-requests.{}\"", benchmark.id, format.word());
    let format = match format {
        Format::Parquet => {
            let bytes = artifacts.stream(&file.key).await?;
            let bytes = bytes.map_err(broken).inspect(move |_| _ = &permit);
            return Ok(RequestsFile::Parquet(Binary(Body::from_bytes_stream(bytes)), name));
        }
        Format::Text(format) => format,
    };
    let layout = layout(&artifacts, &file).await?;
    let head = Bytes::from(format.head(&layout).map_err(unreadable)?);
    let rows = Rows { artifacts, file, layout, format, next: 0, _permit: permit };
    let rows = stream::try_unfold(rows, Rows::next).map_err(broken);
    let text = stream::once(async { Ok::<_, io::Error>(head) }).chain(rows);
    let text = Binary(Body::from_bytes_stream(text));
    Ok(match format {
        TextFormat::Csv => RequestsFile::Csv(text, name),
        TextFormat::Jsonl => RequestsFile::Jsonl(text, name),
    })
}

/// Why there are no rows, for whoever asked for them.
pub(crate) fn why_none(benchmark: &Benchmark) -> String {
    let Benchmark { id, status, report, .. } = benchmark;
    let recorded = report.as_ref().and_then(|report| report.recorded.as_ref());
    let error = recorded.and_then(|recorded| recorded.error.as_ref());
    match (status, error) {
        (status, _) if !status.is_terminal() => {
            format!("benchmark {id} is {status}; its requests are kept when it is over")
        }
        (_, Some(error)) => format!("the requests of benchmark {id} were not kept: {error}"),
        (State::Lost, None) => {
            format!(
                "benchmark {id} is lost, and so far its requests are: what its runner left of them \
                 is kept once a runner starts in its folder, within 7 days"
            )
        }
        (_, None) if report.is_none() => format!("benchmark {id} sent no requests"),
        (_, None) if recorded.is_some() => {
            format!("the requests of benchmark {id} were kept for their time and are gone")
        }
        (_, None) => format!("no requests of benchmark {id} were kept"),
    }
}

async fn layout(artifacts: &Artifacts, file: &StoredRequests) -> Result<Layout, ApiError> {
    let mut wanted = Layout::TAIL_BYTES;
    loop {
        let from = file.bytes.saturating_sub(wanted);
        let tail = artifacts.read(&file.key, from..file.bytes).await?;
        match Layout::read(&tail, file.bytes).map_err(unreadable)? {
            Tail::Whole(layout) => return Ok(layout),
            // Never less than it was, so this ends.
            Tail::Needs(bytes) if bytes > wanted => wanted = bytes,
            Tail::Needs(_) => return Err(unreadable(RecordsError::Malformed)),
        }
    }
}

/// Rows on their way.
struct Rows {
    artifacts: Artifacts,
    file: StoredRequests,
    layout: Layout,
    format: TextFormat,
    next: usize,
    _permit: OwnedSemaphorePermit,
}

/// What breaks a download that has begun.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error("rows could not be put as text")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Rows {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Broken> {
        if self.next == self.layout.groups() {
            return Ok(None);
        }
        let (group, format, layout) = (self.next, self.format, self.layout.clone());
        self.next += 1;
        let bytes = self.artifacts.read(&self.file.key, layout.range(group)?).await?;
        let text =
            tokio::task::spawn_blocking(move || format.rows(&layout, group, bytes)).await??;
        Ok(Some((text.into(), self)))
    }
}

/// The client has its status already: all that is left is to break the connection off.
fn broken(error: impl Into<Broken>) -> io::Error {
    let error = error.into();
    tracing::error!(?error, "a download of requests broke off");
    io::Error::other(error)
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn unreadable(error: RecordsError) -> ApiError {
    ApiError::logged(Kind::INTERNAL, "the cause is in the server's log", &error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &'static str) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        Format::accepted(&headers)
    }

    #[test]
    fn the_first_type_of_ours_is_taken_and_otherwise_the_file_itself() {
        assert_eq!(accepted("text/csv"), Format::Text(TextFormat::Csv));
        let jsonl = accepted("application/json, application/x-ndjson;q=0.9, text/csv");
        assert_eq!(jsonl, Format::Text(TextFormat::Jsonl));
        assert_eq!(accepted("*/*"), Format::Parquet);
        assert_eq!(Format::accepted(&HeaderMap::new()), Format::Parquet);
    }
}
