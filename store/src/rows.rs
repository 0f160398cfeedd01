//! Row <-> domain, both ways, nowhere else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entity::{benchmark, benchmark_event, benchmark_partial, runner};
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{EntityTrait, FromQueryResult, QuerySelect, Select};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use shared::benchmark::{Links, Results};
use shared::report::Histograms;
use shared::{
    Benchmark, BenchmarkId, BenchmarkSpec, Capacity, Labels, Phase, Priority, Progress, Reason,
    ReasonCode, Report, Runner, RunnerId, RunnerState, SecondRow, State, TargetUrl, Timestamp,
};

use crate::{Event, StoreError};

/// A row, and the report of what was measured so far where it is running: one read has both.
#[derive(FromQueryResult)]
pub(crate) struct Found {
    #[sea_orm(nested)]
    row: benchmark::Model,
    partial_report: Option<Value>,
}

impl From<benchmark::Model> for Found {
    /// One of which nothing was measured yet.
    fn from(row: benchmark::Model) -> Self {
        Self { row, partial_report: None }
    }
}

/// Finds benchmarks as [`Found`].
pub(crate) fn find() -> Select<benchmark::Entity> {
    use benchmark_partial::Column;
    let partial = Query::select()
        .column(Column::Report)
        .from(benchmark_partial::Entity)
        .and_where(
            Expr::col((benchmark_partial::Entity, Column::BenchmarkId))
                .equals((benchmark::Entity, benchmark::Column::Id)),
        )
        .and_where(Expr::col(Column::Shard).eq(0))
        .to_owned();
    benchmark::Entity::find().expr_as(partial, "partial_report")
}

/// The benchmark that was found.
pub(crate) fn benchmark(found: Found) -> Result<Benchmark, StoreError> {
    let Found { row, partial_report } = found;
    let id = BenchmarkId(row.id);
    let state = state(&row)?;
    let spec = spec(&row)?;
    let report = row.report.as_ref().or(partial_report.as_ref());
    let report: Option<Report> = report.map(|json| read(id, "a report", json)).transpose()?;
    let progress = progress(id, state, row.progress.as_ref())?;
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
        progress,
        priority: Priority::try_from(row.priority).unwrap_or_default(),
        run_at: Some(Timestamp::from_unix_ms(row.run_at_ms)),
        queue_deadline: row.queued_deadline_ms.map(Timestamp::from_unix_ms),
        labels: labels(row.labels.as_ref()),
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
    let mut progress: Progress = match column {
        Some(json) => read(id, "a progress", json)?,
        None => Progress::default(),
    };
    match state {
        State::Queued => progress = Progress::default(),
        State::Running | State::Cancelling if progress.phase == Phase::Queued => {
            progress.phase = Phase::Preparing;
        }
        State::Running | State::Cancelling => {}
        _ => {
            progress.phase = Phase::Ended;
            progress.in_flight = 0;
        }
    }
    Ok(progress)
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

/// The stored key of a target. A long one is cut and told apart by its hash: an index takes no
/// more than some 2,700 bytes.
pub(crate) fn target_key(url: &TargetUrl) -> String {
    const LONGEST: usize = 1_024;
    let key = url.key();
    let key = key.as_str();
    if key.len() <= LONGEST {
        return key.to_owned();
    }
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(key));
    let head: String = key.chars().take(200).collect();
    format!("{head}#{hash}")
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
