//! The rows of a benchmark's requests, from the artifact store to the client.
//!
//! A file may be larger than this process' memory. Parquet passes through as it comes; CSV and
//! JSONL are made of one row group after the other, each fetched when the client has taken the one
//! before. The files of several runners are one to the client: their row groups follow each other,
//! as they are.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use poem::{
    Body,
    http::{HeaderMap, HeaderValue, header},
};
use poem_openapi::{ApiResponse, payload::Binary};
use records::{Joined, Layout, RecordsError, Tail, TextFormat};
use shared::{
    Benchmark, State,
    request::{Field, Fields, Kind as Takes},
};
use store::{Artifacts, StoreError, StoredRequests};

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
    /// A row for each request, in the order in which they ended; of several runners, each one's rows
    /// after the other's.
    #[oai(status = 200, content_type = "application/vnd.apache.parquet")]
    Parquet(Binary<Body>, #[oai(header = "Content-Disposition")] String),
    /// The same as comma-separated values.
    #[oai(status = 200, content_type = "text/csv; charset=utf-8")]
    Csv(Binary<Body>, #[oai(header = "Content-Disposition")] String),
    /// A row for each request, in the order in which they ended; of several runners, each one's rows
    /// after the other's.
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
    let files = state.store.requests(benchmark.id).await?;
    if files.is_empty() {
        return Err(ApiError::told(Kind::NOT_FOUND, why_none(benchmark)));
    }
    let Ok(permit) = Arc::clone(&state.downloads).try_acquire_owned() else {
        let detail = format!("{MAX_DOWNLOADS} downloads of requests are under way; try again");
        let refusal = ApiError::told(Kind::BUSY, detail);
        return Err(refusal.with(header::RETRY_AFTER, HeaderValue::from(2)));
    };
    let artifacts = state.store.artifacts()?.clone();
    let name =
        format!("attachment; filename=\"benchmark-{}-requests.{}\"", benchmark.id, format.word());
    if let (Format::Parquet, [file]) = (format, &*files) {
        let bytes = artifacts.stream(&file.key).await?;
        let bytes = bytes.map_err(broken).inspect(move |_| _ = &permit);
        return Ok(RequestsFile::Parquet(Binary(Body::from_bytes_stream(bytes)), name));
    }
    let mut laid_out = Vec::with_capacity(files.len());
    for file in files {
        laid_out.push((layout(&artifacts, &file).await?, file));
    }
    // Whoever cannot be read together is not begun with.
    let layouts: Vec<Layout> = laid_out.iter().map(|(layout, _)| layout.clone()).collect();
    let joined = Joined::of(&layouts).map_err(unreadable)?;
    let format = match format {
        Format::Parquet => {
            let bytes = one_file(artifacts, laid_out, joined).map_err(broken);
            let bytes = bytes.inspect(move |_| _ = &permit);
            return Ok(RequestsFile::Parquet(Binary(Body::from_bytes_stream(bytes)), name));
        }
        Format::Text(format) => format,
    };
    let head = Bytes::from(format.head(&layouts[0]).map_err(unreadable)?);
    let groups = laid_out.into_iter().flat_map(|(layout, file)| {
        (0..layout.groups()).map(move |group| (layout.clone(), file.key.clone(), group))
    });
    let rows = stream::iter(groups).then(move |(layout, key, group)| {
        _ = &permit;
        rows(artifacts.clone(), key, layout, group, format)
    });
    let text = stream::once(async { Ok(head) }).chain(rows).map_err(broken);
    let text = Binary(Body::from_bytes_stream(text));
    Ok(match format {
        TextFormat::Csv => RequestsFile::Csv(text, name),
        TextFormat::Jsonl => RequestsFile::Jsonl(text, name),
    })
}

/// The bytes of one file of all `files`.
fn one_file(
    artifacts: Artifacts,
    files: Vec<(Layout, StoredRequests)>,
    joined: Joined,
) -> impl Stream<Item = Result<Bytes, Broken>> {
    let Joined { bodies, tail } = joined;
    let bodies = files.into_iter().zip(bodies).filter(|(_, body)| !body.is_empty());
    let bodies = stream::iter(bodies).then(move |((_, file), body)| {
        let artifacts = artifacts.clone();
        async move { artifacts.stream_of(&file.key, body).await }
    });
    let head = stream::once(async { Ok(Bytes::from_static(Joined::HEAD)) });
    let tail = stream::once(async { Ok(tail) });
    head.chain(bodies.try_flatten()).chain(tail).map_err(Broken::from)
}

/// Why there are no rows, for whoever asked for them.
pub(crate) fn why_none(benchmark: &Benchmark) -> String {
    let Benchmark { id, status, report, .. } = benchmark;
    let recorded = report.as_ref().and_then(|report| report.recorded.as_ref());
    // Of several runners, some may have kept theirs.
    let error = recorded.filter(|recorded| recorded.rows == 0);
    let error = error.and_then(|recorded| recorded.error.as_ref());
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

/// The rows of row group `group` of the file `key` as text.
async fn rows(
    artifacts: Artifacts,
    key: String,
    layout: Layout,
    group: usize,
    format: TextFormat,
) -> Result<Bytes, Broken> {
    let bytes = artifacts.read(&key, layout.range(group)?).await?;
    let text = tokio::task::spawn_blocking(move || format.rows(&layout, group, bytes)).await??;
    Ok(text.into())
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
