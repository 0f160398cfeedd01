//! Row <-> domain, both ways, nowhere else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entity::{benchmark, benchmark_event, benchmark_partial, runner};
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, Select,
    TryGetableFromJson,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use shared::benchmark::{Links, Results};
use shared::report::Histograms;
use shared::{
    Benchmark, BenchmarkId, BenchmarkSpec, Capacity, Labels, Phase, Priority, Progress, Reason,
    ReasonCode, Report, Runner, RunnerId, RunnerState, SecondRow, State, TargetUrl, Timestamp,
};

use crate::{Edition, Event, StoreError};

/// What of a row a client sees, and of a running one the report of what was measured so far.
#[derive(FromQueryResult)]
pub(crate) struct Found {
    id: i64,
    status: String,
    reason_code: Option<String>,
    reason_detail: Option<String>,
    version: i64,
    priority: i32,
    run_at_ms: i64,
    queued_deadline_ms: Option<i64>,
    labels: Option<Read<Labels>>,
    url: String,
    model: String,
    tokenizer: String,
    dataset: String,
    spec: Read<BenchmarkSpec>,
    notes: String,
    favorite: bool,
    fence: i64,
    runner_id: Option<String>,
    created_at_ms: i64,
    queued_at_ms: i64,
    started_at_ms: Option<i64>,
    finished_at_ms: Option<i64>,
    progress: Option<Read<Progress>>,
    report: Option<Read<Report>>,
    partial_report: Option<Read<Report>>,
}

/// What a column's JSON says, straight from its text; or why this version cannot read it.
struct Read<T>(Result<T, serde_json::Error>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Box<RawValue>>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(text.get())))
    }
}

impl<T: DeserializeOwned> TryGetableFromJson for Read<T> {}

impl<T: DeserializeOwned> Read<T> {
    fn of(json: &Value) -> Self {
        Self(T::deserialize(json))
    }

    fn of_benchmark(self, id: BenchmarkId, what: &'static str) -> Result<T, StoreError> {
        self.0.map_err(|cause| StoreError::UnreadableRow { id, what, source: cause.into() })
    }
}

impl From<benchmark::Model> for Found {
    /// One of which nothing was measured yet.
    fn from(row: benchmark::Model) -> Self {
        Self {
            id: row.id,
            status: row.status,
            reason_code: row.reason_code,
            reason_detail: row.reason_detail,
            version: row.version,
            priority: row.priority,
            run_at_ms: row.run_at_ms,
            queued_deadline_ms: row.queued_deadline_ms,
            labels: row.labels.as_ref().map(Read::of),
            url: row.url,
            model: row.model,
            tokenizer: row.tokenizer,
            dataset: row.dataset,
            spec: Read::of(&row.spec),
            notes: row.notes,
            favorite: row.favorite,
            fence: row.fence,
            runner_id: row.runner_id,
            created_at_ms: row.created_at_ms,
            queued_at_ms: row.queued_at_ms,
            started_at_ms: row.started_at_ms,
            finished_at_ms: row.finished_at_ms,
            progress: row.progress.as_ref().map(Read::of),
            report: row.report.as_ref().map(Read::of),
            partial_report: None,
        }
    }
}

/// Finds benchmarks as [`Found`].
pub(crate) fn find() -> Select<benchmark::Entity> {
    use benchmark::Column;
    let partial = Query::select()
        .column(benchmark_partial::Column::Report)
        .from(benchmark_partial::Entity)
        .and_where(
            Expr::col((benchmark_partial::Entity, benchmark_partial::Column::BenchmarkId))
                .equals((benchmark::Entity, Column::Id)),
        )
        .and_where(Expr::col(benchmark_partial::Column::Shard).eq(0))
        .to_owned();
    benchmark::Entity::find()
        .select_only()
        .columns([
            Column::Id,
            Column::Status,
            Column::ReasonCode,
            Column::ReasonDetail,
            Column::Version,
            Column::Priority,
            Column::RunAtMs,
            Column::QueuedDeadlineMs,
            Column::Labels,
            Column::Url,
            Column::Model,
            Column::Tokenizer,
            Column::Dataset,
            Column::Spec,
            Column::Notes,
            Column::Favorite,
            Column::Fence,
            Column::RunnerId,
            Column::CreatedAtMs,
            Column::QueuedAtMs,
            Column::StartedAtMs,
            Column::FinishedAtMs,
            Column::Progress,
            Column::Report,
        ])
        .expr_as(partial, "partial_report")
}

/// What of the benchmark `id` a client sees.
pub(crate) async fn find_one<C: ConnectionTrait>(
    c: &C,
    id: BenchmarkId,
) -> Result<Found, StoreError> {
    let found = find().filter(benchmark::Column::Id.eq(id.0)).into_model::<Found>().one(c).await?;
    found.ok_or(StoreError::NotFound(id))
}

impl Found {
    /// Which edition of the benchmark this is.
    pub(crate) fn edition(&self) -> Edition {
        Edition {
            created_at_ms: self.created_at_ms,
            version: self.version,
            fence: self.fence,
            finished_at_ms: self.finished_at_ms,
        }
    }
}

/// The benchmark that was found.
pub(crate) fn benchmark(row: Found) -> Result<Benchmark, StoreError> {
    let id = BenchmarkId(row.id);
    let state = word(id, "a status", &row.status)?;
    let spec = row.spec.of_benchmark(id, "a spec")?;
    let report = row.report.or(row.partial_report);
    let report = report.map(|report| report.of_benchmark(id, "a report")).transpose()?;
    let progress = row.progress.map(|progress| progress.of_benchmark(id, "a progress"));
    Ok(Benchmark {
        id,
        url: row.url,
        user: spec.load.peak_users().get(),
        spawnrate: spec.load.spawn_rate(),
        duration: spec.load.duration().get(),
        results: Results::of(state, &spec, &row.model, report.as_ref()),
        model: row.model,
        tokenizer: row.tokenizer,
        dataset: row.dataset,
        notes: row.notes,
        favorite: row.favorite,
        status: state,
        reason: reason(id, row.reason_code, row.reason_detail)?,
        progress: progress_in(state, progress.transpose()?.unwrap_or_default()),
        priority: Priority::try_from(row.priority).unwrap_or_default(),
        run_at: Some(Timestamp::from_unix_ms(row.run_at_ms)),
        queue_deadline: row.queued_deadline_ms.map(Timestamp::from_unix_ms),
        // What this version cannot read, it cannot heed either.
        labels: row.labels.and_then(|labels| labels.0.ok()).unwrap_or_default(),
        created_at: Timestamp::from_unix_ms(row.created_at_ms),
        queued_at: Timestamp::from_unix_ms(row.queued_at_ms),
        started_at: row.started_at_ms.map(Timestamp::from_unix_ms),
        finished_at: row.finished_at_ms.map(Timestamp::from_unix_ms),
        runner: row.runner_id,
        spec,
        report,
        links: Links::of(id),
    })
}

/// How a run goes, by the state it is in and the column that tells.
pub(crate) fn progress(
    id: BenchmarkId,
    state: State,
    column: Option<&Value>,
) -> Result<Progress, StoreError> {
    let told = column.map(|json| read(id, "a progress", json)).transpose()?;
    Ok(progress_in(state, told.unwrap_or_default()))
}

/// How a run in `state` goes that has last `told` this.
fn progress_in(state: State, told: Progress) -> Progress {
    match state {
        State::Queued => Progress::default(),
        State::Running | State::Cancelling if told.phase == Phase::Queued => {
            Progress { phase: Phase::Preparing, ..told }
        }
        State::Running | State::Cancelling => told,
        _ => Progress { phase: Phase::Ended, in_flight: 0, ..told },
    }
}

pub(crate) fn state(row: &benchmark::Model) -> Result<State, StoreError> {
    word(BenchmarkId(row.id), "a status", &row.status)
}

pub(crate) fn spec(row: &benchmark::Model) -> Result<BenchmarkSpec, StoreError> {
    read(BenchmarkId(row.id), "a spec", &row.spec)
}

pub(crate) fn series(id: BenchmarkId, rows: &Value) -> Result<Vec<SecondRow>, StoreError> {
    read(id, "per-second rows", rows)
}

pub(crate) fn histograms(id: BenchmarkId, json: &Value) -> Result<Histograms, StoreError> {
    read(id, "histograms", json)
}

pub(crate) fn event(row: benchmark_event::Model) -> Result<Event, StoreError> {
    let id = BenchmarkId(row.benchmark_id);
    let from = row.from_status.map(|status| word(id, "an event", &status)).transpose()?;
    Ok(Event {
        seq: row.seq,
        at: Timestamp::from_unix_ms(row.at_ms),
        from,
        to: word(id, "an event", &row.to_status)?,
        reason: reason(id, row.reason_code, row.reason_detail)?,
        actor: row.actor,
        fence: row.fence,
    })
}

/// The runner that `row` holds; gone, if it was last seen before `seen_ms`.
pub(crate) fn runner(row: runner::Model, held: Option<i64>, seen_ms: i64) -> Runner {
    let state = match row.state.as_str() {
        // Asked to, and about to learn it.
        "active" if row.last_seen_ms >= seen_ms && row.drain_requested_at_ms.is_some() => {
            RunnerState::Draining
        }
        "active" if row.last_seen_ms >= seen_ms => RunnerState::Active,
        "draining" if row.last_seen_ms >= seen_ms => RunnerState::Draining,
        _ => RunnerState::Gone,
    };
    Runner {
        id: RunnerId(row.id),
        name: row.name,
        version: row.version,
        state,
        max_users: u32::try_from(row.max_users).unwrap_or(0),
        measured: row.measured.and_then(|measured| Capacity::deserialize(measured).ok()),
        labels: labels(row.labels.as_ref()),
        benchmark: held.map(BenchmarkId),
        booted_at: Timestamp::from_unix_ms(row.booted_at_ms),
        last_seen_at: Timestamp::from_unix_ms(row.last_seen_ms),
    }
}

/// The labels in a column; none where it holds what this version cannot read.
pub(crate) fn labels(column: Option<&Value>) -> Labels {
    column.and_then(|labels| Labels::deserialize(labels).ok()).unwrap_or_default()
}

/// Labels' column.
pub(crate) fn labels_column(labels: &Labels) -> Option<Value> {
    (!labels.is_empty()).then(|| json(labels))
}

/// A reason's columns.
pub(crate) fn reason_columns(reason: Option<&Reason>) -> (Option<String>, Option<String>) {
    match reason {
        Some(reason) => (Some(code_word(reason.code)), Some(storable(&reason.detail))),
        None => (None, None),
    }
}

fn code_word(code: ReasonCode) -> String {
    match serde_json::to_value(code) {
        Ok(Value::String(word)) => word,
        _ => unreachable!("a reason's code is written as a word"),
    }
}

pub(crate) fn reason(
    id: BenchmarkId,
    code: Option<String>,
    detail: Option<String>,
) -> Result<Option<Reason>, StoreError> {
    let Some(code) = code else { return Ok(None) };
    let code = read(id, "a reason", &Value::String(code))?;
    Ok(Some(Reason { code, detail: detail.unwrap_or_default() }))
}

pub(crate) const fn runner_state_word(state: RunnerState) -> &'static str {
    match state {
        RunnerState::Active => "active",
        RunnerState::Draining => "draining",
        RunnerState::Gone => "gone",
    }
}

/// `value` as both databases can store it.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Value {
    let mut json = serde_json::to_value(value).expect("the contract's types are plain JSON");
    without_nul(&mut json);
    json
}

/// `text` as both databases can store it: PostgreSQL has no NUL in texts, and a target may well
/// send one.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn without_nul(json: &mut Value) {
    match json {
        Value::String(text) if text.contains('\0') => *text = storable(text),
        Value::Array(values) => values.iter_mut().for_each(without_nul),
        Value::Object(fields) => fields.values_mut().for_each(without_nul),
        _ => {}
    }
}

/// What stands for `text` where that is too long.
pub(crate) fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

/// The stored key of a target. A long one is cut and told apart by its hash: an index takes no
/// more than some 2,700 bytes.
pub(crate) fn target_key(url: &TargetUrl) -> String {
    const LONGEST: usize = 1_024;
    let key = url.key();
    let key = key.as_str();
    if key.len() <= LONGEST {
        return key.to_owned();
    }
    let head: String = key.chars().take(200).collect();
    format!("{head}#{}", digest(key))
}

pub(crate) fn word<T>(id: BenchmarkId, what: &'static str, word: &str) -> Result<T, StoreError>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    word.parse().map_err(|cause: T::Err| StoreError::UnreadableRow {
        id,
        what,
        source: cause.into(),
    })
}

pub(crate) fn read<T: DeserializeOwned>(
    id: BenchmarkId,
    what: &'static str,
    json: &Value,
) -> Result<T, StoreError> {
    T::deserialize(json).map_err(|cause| StoreError::UnreadableRow {
        id,
        what,
        source: cause.into(),
    })
}
