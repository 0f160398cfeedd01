//! The benchmarks: every operation on them, each as thin as it can be.
//!
//! The parts that decide something are next door: `fields` and `submit` what is asked for,
//! `listing` which are meant, `progress` how they are followed. What may happen to a benchmark is
//! decided in `store`.

use std::sync::Arc;

use futures::{StreamExt as _, stream::BoxStream};
use poem::{
    Request,
    http::{HeaderValue, header},
    web::headers::{HeaderMapExt as _, IfNoneMatch},
};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path},
    payload::{EventStream, Json},
};
use serde::Serialize;
use shared::{
    Benchmark, BenchmarkId, SecondRow, State,
    report::Histograms,
    request::{Edit, Fields},
};
use store::{Created, Deletion, Submission};

use crate::{
    AppState, Tag,
    fields::{Given, GivenJson, GivenQuery},
    listing,
    problem::{ApiError, Kind},
    progress::{self, Message},
    quota::RateLimit,
    reads::Answer,
    requests::{self, RequestsFile},
    submit::{self, Preference},
    written::Written,
};

pub(crate) struct BenchmarksApi {
    pub(crate) state: Arc<AppState>,
}

#[derive(ApiResponse)]
enum Submitted {
    /// Accepted. The benchmark is at `Location`; ask again after `Retry-After` seconds.
    #[oai(status = 202)]
    Accepted(
        Written<Benchmark>,
        #[oai(header = "Location")] String,
        #[oai(header = "Retry-After")] Option<u64>,
        #[oai(header = "Preference-Applied")] Option<String>,
        #[oai(header = "Idempotent-Replayed")] Option<bool>,
        #[oai(header = "RateLimit-Policy")] Option<String>,
        #[oai(header = "RateLimit")] Option<String>,
    ),
    /// Accepted and already over: within the time that was preferred, or `COMPAT_BLOCKING_RUN` is on.
    #[oai(status = 200)]
    Over(
        Written<Benchmark>,
        #[oai(header = "Location")] String,
        #[oai(header = "Preference-Applied")] Option<String>,
        #[oai(header = "Idempotent-Replayed")] Option<bool>,
        #[oai(header = "RateLimit-Policy")] Option<String>,
        #[oai(header = "RateLimit")] Option<String>,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// The benchmark; `Retry-After` is there while it is not over.
    #[oai(status = 200)]
    Benchmark(
        Written<Benchmark>,
        #[oai(header = "ETag")] String,
        #[oai(header = "Cache-Control")] String,
        #[oai(header = "Retry-After")] Option<u64>,
    ),
    /// It is still what `If-None-Match` names.
    #[oai(status = 304)]
    NotModified(
        #[oai(header = "ETag")] String,
        #[oai(header = "Cache-Control")] String,
        #[oai(header = "Retry-After")] Option<u64>,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// Gone.
    #[oai(status = 200)]
    Gone(Json<Done>),
    /// It runs and was asked to stop: delete it again when it is over.
    #[oai(status = 202)]
    Cancelling(Json<Done>),
}

#[derive(ApiResponse)]
enum Cancelled {
    /// Asked to stop; a benchmark that was still queued is cancelled at once.
    #[oai(status = 202)]
    Asked(Written<Benchmark>, #[oai(header = "Retry-After")] Option<u64>),
    /// It was cancelled before.
    #[oai(status = 200)]
    Before(Written<Benchmark>),
}

#[derive(ApiResponse)]
enum Events {
    /// `event: state` with the event's number as its id, and `event: progress` once a second while
    /// the benchmark runs. Ends after the event of the last state.
    #[oai(status = 200)]
    Stream(EventStream<BoxStream<'static, Message>>),
    /// The benchmark is over and has no event after `Last-Event-ID`: do not come back.
    #[oai(status = 204)]
    NothingLeft,
}

/// A page of benchmarks.
#[derive(Debug, Object, Serialize)]
struct BenchmarkList {
    /// The benchmarks.
    results: Vec<Benchmark>,
    /// How many there are on all pages.
    total: u64,
    /// This page, from 1 on.
    page: u64,
    /// Benchmarks on a page.
    limit: u64,
}

/// What was done.
#[derive(Debug, Object)]
struct Done {
    /// In words.
    message: String,
}

/// The per-second rows of a benchmark.
#[derive(Debug, Object)]
struct Timeseries {
    /// Whose they are.
    id: BenchmarkId,
    /// Whether they are the last.
    #[oai(rename = "final")]
    is_final: bool,
    /// One row a second, from the first user's start on.
    rows: Vec<SecondRow>,
}

/// The histograms of a run.
#[derive(Debug, Object)]
struct RunHistograms {
    /// Whose they are.
    id: BenchmarkId,
    /// By the figure's name in the report; figures without samples are left out.
    histograms: Histograms,
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Benchmarks")]
impl BenchmarksApi {
    /// Start a benchmark
    ///
    /// Fields come from the query, a form or a JSON object; what the body says wins. Answers as
    /// soon as the benchmark is in the queue, or when it is over within the seconds that
    /// `Prefer: wait=` names (up to 60). With an `Idempotency-Key`, the same request again within a
    /// day starts nothing: it is answered with the benchmark of the first, and
    /// `Idempotent-Replayed: true`.
    #[oai(path = "/benchmarks/run", method = "post", operation_id = "run_benchmark")]
    async fn run(
        &self,
        request: &Request,
        given: Given,
        /// `wait=10` to be answered when the run is over, if that is within 10 seconds.
        prefer: Header<Option<String>>,
        /// A word of the client's own, up to 255 characters: the same request with it is sent once.
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
    ) -> poem::Result<Submitted> {
        Box::pin(self.submit(request, &given.0, prefer.0.as_deref())).await
    }

    /// Start a benchmark from JSON
    ///
    /// The same as `run`, with a JSON object only.
    #[oai(path = "/benchmarks", method = "post", operation_id = "create_benchmark")]
    async fn create(
        &self,
        request: &Request,
        given: GivenJson,
        /// `wait=10` to be answered when the run is over, if that is within 10 seconds.
        prefer: Header<Option<String>>,
        /// A word of the client's own, up to 255 characters: the same request with it is sent once.
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
    ) -> poem::Result<Submitted> {
        Box::pin(self.submit(request, &given.0, prefer.0.as_deref())).await
    }

    /// List benchmarks
    ///
    /// Completed ones unless `status` says otherwise.
    #[oai(path = "/benchmarks", method = "get", operation_id = "list_benchmarks")]
    async fn list(&self, given: GivenQuery) -> poem::Result<Written<BenchmarkList>> {
        let wanted = listing::wanted(&given.0)?;
        let page = self.state.store.list(&wanted).await.map_err(ApiError::from)?;
        Ok(Written::new(&BenchmarkList {
            results: page.benchmarks,
            total: page.total,
            page: wanted.page,
            limit: wanted.limit,
        }))
    }

    /// Read a benchmark
    ///
    /// With `wait` it is shown when it is over, or as it is after that many seconds. Whoever polls
    /// sends the `ETag` of the last answer as `If-None-Match`, and gets 304 while nothing has changed.
    #[oai(path = "/benchmarks/:id", method = "get", operation_id = "get_benchmark")]
    async fn get(
        &self,
        id: Path<i64>,
        given: GivenQuery,
        request: &Request,
        /// The `ETag` of a copy that the client has.
        #[oai(name = "If-None-Match")]
        _copy: Header<Option<String>>,
    ) -> poem::Result<Found> {
        let longest = submit::wait_of(&given.0)?;
        let id = BenchmarkId(id.0);
        let copy: Option<IfNoneMatch> = request.headers().typed_get();
        let read = || self.state.reads.answer(id, copy.as_ref());
        let mut answer = read().await.map_err(ApiError::from)?;
        if answer.retry_after_s.is_some() && !longest.is_zero() {
            progress::until_over(&self.state, id, longest).await;
            answer = read().await.map_err(ApiError::from)?;
        }
        let Answer { etag, retry_after_s, json } = answer;
        let cached = "private, no-cache".to_owned();
        Ok(match json {
            Some(json) => Found::Benchmark(json.into(), etag, cached, retry_after_s),
            None => Found::NotModified(etag, cached, retry_after_s),
        })
    }

    /// Edit a benchmark
    ///
    /// `notes` and `favorite` change, and `priority` while it is queued; any other field may be named
    /// as long as it is what it was.
    #[oai(path = "/benchmarks/:id", method = "put", operation_id = "put_benchmark")]
    async fn put(&self, id: Path<i64>, given: Given) -> poem::Result<Written<Benchmark>> {
        self.edit(id.0, &given).await
    }

    /// Edit a benchmark
    ///
    /// The same as PUT: what is not named stays.
    #[oai(path = "/benchmarks/:id", method = "patch", operation_id = "patch_benchmark")]
    async fn patch(&self, id: Path<i64>, given: Given) -> poem::Result<Written<Benchmark>> {
        self.edit(id.0, &given).await
    }

    /// Delete a benchmark
    ///
    /// One that is not over is refused. With `force` one that waits is deleted, and one that runs is
    /// asked to stop.
    #[oai(path = "/benchmarks/:id", method = "delete", operation_id = "delete_benchmark")]
    async fn delete(&self, id: Path<i64>, given: GivenQuery) -> poem::Result<Deleted> {
        let force = listing::force(&given.0)?;
        let id = BenchmarkId(id.0);
        let deletion = self.state.store.delete(id, force).await.map_err(ApiError::from)?;
        Ok(match deletion {
            Deletion::Deleted => {
                Deleted::Gone(Json(Done { message: "Benchmark deleted successfully".to_owned() }))
            }
            Deletion::CancelRequested => Deleted::Cancelling(Json(Done {
                message: format!(
                    "benchmark {id} is being cancelled; delete it again when it is over"
                ),
            })),
        })
    }

    /// Cancel a benchmark
    ///
    /// May be repeated. What was measured until then is kept.
    #[oai(path = "/benchmarks/:id/cancel", method = "post", operation_id = "cancel_benchmark")]
    async fn cancel(&self, id: Path<i64>) -> poem::Result<Cancelled> {
        let before = self.find(id.0).await?.status;
        let benchmark = self.state.store.cancel(BenchmarkId(id.0)).await;
        let benchmark = benchmark.map_err(ApiError::from)?;
        Ok(if before == State::Cancelled {
            Cancelled::Before(Written::new(&benchmark))
        } else {
            let retry_after_s = progress::retry_after_s(&benchmark);
            Cancelled::Asked(Written::new(&benchmark), retry_after_s)
        })
    }

    /// Read a benchmark's seconds
    #[oai(path = "/benchmarks/:id/timeseries", method = "get", operation_id = "get_timeseries")]
    async fn timeseries(&self, id: Path<i64>) -> poem::Result<Json<Timeseries>> {
        let is_final = self.find(id.0).await?.status.is_terminal();
        let id = BenchmarkId(id.0);
        let rows = self.state.store.timeseries(id).await.map_err(ApiError::from)?;
        Ok(Json(Timeseries { id, is_final, rows }))
    }

    /// Read a benchmark's requests
    ///
    /// A row for each request, once the benchmark is over, whatever became of it: as Parquet, CSV or
    /// JSONL. docs/requests.md has the columns.
    #[oai(path = "/benchmarks/:id/requests", method = "get", operation_id = "get_requests")]
    async fn requests(
        &self,
        id: Path<i64>,
        given: GivenQuery,
        request: &Request,
    ) -> poem::Result<RequestsFile> {
        let format = requests::Format::wanted(&given.0, request.headers())?;
        let benchmark = self.find(id.0).await?;
        Ok(requests::download(&self.state, &benchmark, format).await?)
    }

    /// Read a benchmark's histograms
    ///
    /// Those behind the figures of its report, as every `HdrHistogram` library reads and merges them.
    #[oai(path = "/benchmarks/:id/histograms", method = "get", operation_id = "get_histograms")]
    async fn histograms(&self, id: Path<i64>) -> poem::Result<Json<RunHistograms>> {
        let benchmark = self.find(id.0).await?;
        let histograms = self.state.store.histograms(benchmark.id).await.map_err(ApiError::from)?;
        let Some(histograms) = histograms else {
            let Benchmark { id, status, .. } = benchmark;
            let detail = format!("benchmark {id} is {status} and has no histograms");
            return Err(ApiError::told(Kind::NOT_FOUND, detail).into());
        };
        Ok(Json(RunHistograms { id: benchmark.id, histograms }))
    }

    /// Follow a benchmark
    ///
    /// Server-sent events, from the first on or from the one after `Last-Event-ID`.
    #[oai(path = "/benchmarks/:id/events", method = "get", operation_id = "follow_benchmark")]
    async fn events(
        &self,
        id: Path<i64>,
        /// The number of the last event seen.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<i64>>,
    ) -> poem::Result<Events> {
        let benchmark = self.find(id.0).await?;
        let after = last_event_id.0.unwrap_or(0);
        if benchmark.status.is_terminal() {
            let left = self.state.store.events(benchmark.id, after).await;
            if left.map_err(ApiError::from)?.is_empty() {
                return Ok(Events::NothingLeft);
            }
        }
        let Ok(permit) = Arc::clone(&self.state.followers).try_acquire_owned() else {
            let refusal = ApiError::told(Kind::UNAVAILABLE, "too many follow benchmarks already");
            return Err(refusal.with(header::RETRY_AFTER, HeaderValue::from(5)).into());
        };
        let messages = progress::follow(Arc::clone(&self.state), benchmark.id, after, permit);
        Ok(Events::Stream(
            EventStream::new(messages.boxed())
                .to_event(Message::into_sse)
                .keep_alive(std::time::Duration::from_secs(15)),
        ))
    }
}

impl BenchmarksApi {
    async fn find(&self, id: i64) -> Result<Benchmark, ApiError> {
        Ok(self.state.store.get(BenchmarkId(id)).await?)
    }

    async fn edit(&self, id: i64, given: &Given) -> poem::Result<Written<Benchmark>> {
        let edit = Edit::parse(&given.0).map_err(ApiError::from)?;
        let edited = self.state.store.edit(BenchmarkId(id), &edit).await;
        Ok(Written::new(&edited.map_err(ApiError::from)?))
    }

    async fn submit(
        &self,
        request: &Request,
        given: &Fields,
        prefer: Option<&str>,
    ) -> poem::Result<Submitted> {
        let key = submit::idempotency_key(&self.state, request.headers(), given)?;
        let owner = self.state.gate.principal(request.headers());
        let accepting = submit::accept(&self.state, given, &owner, key);
        let Submission { benchmark, created, quotas } = Box::pin(accepting).await?;
        let (policy, rest) = RateLimit::of(&quotas).map(|limit| (limit.policy, limit.rest)).unzip();
        let replayed = (created == Created::Before).then_some(true);
        let preference = Preference::read(prefer);
        let waiting = submit::wait_for(&self.state, benchmark, preference);
        let benchmark = Box::pin(waiting).await?;
        let (location, applied) = (benchmark.links.this.clone(), preference.applied());
        Ok(if benchmark.status.is_terminal() {
            Submitted::Over(Written::new(&benchmark), location, applied, replayed, policy, rest)
        } else {
            let retry_after_s = progress::retry_after_s(&benchmark);
            let benchmark = Written::new(&benchmark);
            Submitted::Accepted(benchmark, location, retry_after_s, applied, replayed, policy, rest)
        })
    }
}
