//! What must be true after each cycle, read from the database, the target and the APIs.

use std::collections::BTreeMap;

use anyhow::Context as _;
use sea_orm::{ConnectionTrait, QueryResult, Statement};
use serde_json::Value;
use shared::State;
use simulator::Caller;

use crate::yard::Yard;

/// A benchmark as its row says.
pub(crate) struct Record {
    pub(crate) id: i64,
    pub(crate) status: State,
    pub(crate) reason: Option<String>,
    pub(crate) fence: i64,
    pub(crate) target_key: String,
    pub(crate) load_started_at_ms: Option<i64>,
    pub(crate) finished_at_ms: Option<i64>,
    pub(crate) report: Option<Value>,
    pub(crate) events: Vec<Event>,
    /// Sealed keys, unfinished figures and shards that are left of it.
    left: i64,
}

pub(crate) struct Event {
    seq: i64,
    pub(crate) at_ms: i64,
    from: Option<State>,
    pub(crate) to: State,
    pub(crate) fence: i64,
    pub(crate) actor: String,
}

pub(crate) async fn ask(yard: &Yard, sql: &str) -> anyhow::Result<Vec<QueryResult>> {
    let asked = || Statement::from_string(yard.sql.get_database_backend(), sql);
    // Its connections may have been killed with the server: the pool has more.
    for _ in 0..5 {
        if let Ok(rows) = yard.sql.query_all_raw(asked()).await {
            return Ok(rows);
        }
    }
    Ok(yard.sql.query_all_raw(asked()).await?)
}

/// The benchmarks with these ids.
pub(crate) async fn records(yard: &Yard, ids: &[i64]) -> anyhow::Result<Vec<Record>> {
    let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let benchmarks = format!(
        "SELECT id, status, reason_code, fence, target_key, load_started_at_ms, finished_at_ms, \
         CAST(report AS TEXT), CAST((SELECT count(*) FROM benchmark_secret s WHERE s.benchmark_id = \
         benchmark.id) + (SELECT count(*) FROM benchmark_partial p WHERE p.benchmark_id = \
         benchmark.id) + (SELECT count(*) FROM benchmark_shard h WHERE h.benchmark_id = \
         benchmark.id) AS BIGINT) FROM benchmark WHERE id IN ({list}) ORDER BY id"
    );
    let mut records = Vec::new();
    for row in ask(yard, &benchmarks).await? {
        let status: String = row.try_get_by_index(1)?;
        let report: Option<String> = row.try_get_by_index(7)?;
        records.push(Record {
            id: row.try_get_by_index(0)?,
            status: status.parse()?,
            reason: row.try_get_by_index(2)?,
            fence: row.try_get_by_index(3)?,
            target_key: row.try_get_by_index(4)?,
            load_started_at_ms: row.try_get_by_index(5)?,
            finished_at_ms: row.try_get_by_index(6)?,
            report: report.map(|text| serde_json::from_str(&text)).transpose()?,
            events: Vec::new(),
            left: row.try_get_by_index(8)?,
        });
    }
    let events = format!(
        "SELECT benchmark_id, seq, at_ms, from_status, to_status, fence, actor FROM benchmark_event \
         WHERE benchmark_id IN ({list}) ORDER BY benchmark_id, seq"
    );
    for row in ask(yard, &events).await? {
        let id: i64 = row.try_get_by_index(0)?;
        let (from, to): (Option<String>, String) =
            (row.try_get_by_index(3)?, row.try_get_by_index(4)?);
        let record = records.iter_mut().find(|record| record.id == id).context("its row")?;
        record.events.push(Event {
            seq: row.try_get_by_index(1)?,
            at_ms: row.try_get_by_index(2)?,
            from: from.map(|word| word.parse()).transpose()?,
            to: to.parse()?,
            fence: row.try_get_by_index(5)?,
            actor: row.try_get_by_index(6)?,
        });
    }
    Ok(records)
}

/// How exact a cycle lets us be.
#[derive(Clone, Copy, Default)]
pub(crate) struct Leeway {
    /// Requests that a process may still send when it wakes after its run was taken away: those it
    /// was about to write. Elsewhere a run is silent before anybody takes it away.
    pub(crate) may_wake: bool,
    /// Whether requests may get lost on their way to the target.
    pub(crate) way_is_cut: bool,
    /// Whether the database has forgotten what happened in the meantime: a claim's number may be
    /// that of another then, and a load be sent that it does not know.
    pub(crate) is_restored: bool,
}

/// What a cycle left, and what of it breaks a promise.
pub(crate) struct Found {
    pub(crate) records: Vec<Record>,
    pub(crate) callers: Vec<Caller>,
    pub(crate) broken: Vec<String>,
}

impl Found {
    /// What the target saw of this benchmark.
    pub(crate) fn calls_of(&self, id: i64) -> impl Iterator<Item = &Caller> {
        self.callers.iter().filter(move |caller| i64::try_from(caller.benchmark) == Ok(id))
    }
}

/// Holds everything against I1 to I8, for benchmarks that a client was promised and that are over.
pub(crate) async fn check(yard: &Yard, ids: &[i64], leeway: Leeway) -> anyhow::Result<Found> {
    let records = records(yard, ids).await?;
    let callers = yard.callers().await;
    let mut found = Found { records, callers, broken: Vec::new() };
    let mut broken = Vec::new();
    for id in ids {
        if !found.records.iter().any(|record| record.id == *id) {
            broken.push(format!("I1: benchmark {id} was accepted and is not there"));
        }
    }
    for record in &found.records {
        let mut of_one = lived_well(record);
        if !leeway.is_restored {
            of_one.extend(loaded_once(&found, record, leeway));
        }
        let apis = yard.api_urls();
        of_one.extend(is_told(yard, &apis, record).await?);
        if !of_one.is_empty() {
            of_one.push(format!("  log of {}:", record.id));
            of_one.extend(yard.said_of(record.id).into_iter().map(|line| format!("    {line}")));
        }
        broken.extend(of_one);
    }
    if !leeway.is_restored {
        broken.extend(never_two_at_once(&found));
    }
    found.broken = broken;
    Ok(found)
}

/// I1, I3, I6, I7: what the row and its events say.
fn lived_well(record: &Record) -> Vec<String> {
    let Record { id, status, events, .. } = record;
    let mut broken = Vec::new();
    if !status.is_terminal() || record.finished_at_ms.is_none() {
        broken.push(format!("I1: benchmark {id} is {status}"));
    }
    let ends = events.iter().filter(|event| event.to.is_terminal()).count();
    if ends != 1 || events.last().is_none_or(|event| event.to != *status) {
        broken.push(format!("I3: benchmark {id} is {status} and has {ends} ends"));
    }
    let mut before: Option<&Event> = None;
    for (nth, event) in (1..).zip(events) {
        let follows = match (before, event.from) {
            (None, None) => event.to == State::Queued,
            (Some(before), Some(from)) => {
                before.to == from && from.may_become(event.to) && before.fence <= event.fence
            }
            _ => false,
        };
        if !follows || event.seq != nth {
            broken.push(format!(
                "I6: benchmark {id}: {:?} -> {} as number {nth}",
                event.from, event.to
            ));
        }
        before = Some(event);
    }
    if record.left != 0 {
        broken.push(format!(
            "I7: benchmark {id} is over and {} secrets or partials are left",
            record.left
        ));
    }
    broken
}

/// Requests that need not have left: those that had no connection to leave by, as one that stood
/// still for longer than connecting may take, and those that were cut off.
fn maybe_unsent(report: &Value) -> u64 {
    let failures = report["failures"].as_array().map(Vec::as_slice).unwrap_or_default();
    let had_none = |failure: &&Value| {
        matches!(failure["class"].as_str(), Some("dns" | "connect" | "tls" | "timeout_connect"))
    };
    let without_connection = failures.iter().filter(had_none).map(|failure| &failure["count"]);
    let cut_off = std::iter::once(&report["requests"]["cancelled"]);
    without_connection.chain(cut_off).filter_map(Value::as_u64).sum()
}

/// I2, I5: load by one claim only, noted before it left, ended before the run was taken away, and
/// the figures are that claim's.
fn loaded_once(found: &Found, record: &Record, leeway: Leeway) -> Vec<String> {
    let Record { id, status, fence, events, .. } = record;
    let mut broken = Vec::new();
    let calls: Vec<&Caller> = found.calls_of(*id).collect();
    if calls.len() > 1 {
        broken.push(format!("I2: benchmark {id} sent load by several claims: {calls:?}"));
    }
    let ms = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
    for call in &calls {
        match record.load_started_at_ms {
            Some(noted) if noted <= ms(call.first_ms) + 1 => {}
            noted => broken.push(format!(
                "I2: benchmark {id} sent load at {} and noted it at {noted:?}",
                call.first_ms
            )),
        }
        // Its last write was an event with its own fence; a higher one took the run from it.
        let taken = events.iter().find(|event| event.fence > ms(call.run));
        if let Some(taken) = taken
            && ms(call.last_ms) > taken.at_ms
            && !leeway.may_wake
        {
            broken.push(format!(
                "I2: benchmark {id} was taken from claim {} at {}, which sent until {}",
                call.run, taken.at_ms, call.last_ms
            ));
        }
    }
    if *status == State::Completed {
        let report = record.report.as_ref().unwrap_or(&Value::Null);
        let started = report["requests"]["started"].as_u64().unwrap_or(0);
        let seen: u64 = calls.iter().map(|call| call.requests).sum();
        let unsent = if leeway.way_is_cut { started } else { maybe_unsent(report) };
        if seen > started || seen + unsent < started {
            let failures = &report["failures"];
            broken.push(format!(
                "I5: benchmark {id} reports {started} requests, and the target saw {seen}: {failures}"
            ));
        }
        let last = events.last().map(|event| event.fence);
        if last != Some(*fence) || calls.iter().any(|call| ms(call.run) != *fence) {
            broken.push(format!("I5: benchmark {id} was completed by an older claim than {fence}"));
        }
    }
    broken
}

/// I8: what the APIs say of it, in one answer and as a story.
async fn is_told(yard: &Yard, apis: &[String], record: &Record) -> anyhow::Result<Vec<String>> {
    let Record { id, status, events, .. } = record;
    let api = &apis[usize::try_from(*id)? % apis.len()];
    let read = yard.client.get(&format!("{api}/api/v1/benchmarks/{id}")).await?.json()?;
    let mut broken = Vec::new();
    if read["status"] != status.as_str() {
        broken.push(format!("I8: benchmark {id} is {status}, and an API says {}", read["status"]));
    }
    let told = yard.client.told(api, *id).await?;
    let written: Vec<(i64, String)> =
        events.iter().map(|event| (event.seq, event.to.to_string())).collect();
    if told != written {
        broken.push(format!("I8: benchmark {id}: {written:?} happened and {told:?} is told"));
    }
    Ok(broken)
}

/// I4: a target never had the load of two at once, by its own clock.
fn never_two_at_once(found: &Found) -> Vec<String> {
    let mut by_target: BTreeMap<&str, Vec<&Caller>> = BTreeMap::new();
    for record in &found.records {
        let calls = found.calls_of(record.id);
        by_target.entry(&record.target_key).or_default().extend(calls);
    }
    let mut broken = Vec::new();
    for (target, mut calls) in by_target {
        calls.sort_by_key(|call| call.first_ms);
        for pair in calls.windows(2) {
            if pair[1].first_ms < pair[0].last_ms {
                broken.push(format!("I4: {target} had two at once: {pair:?}"));
            }
        }
    }
    broken
}
