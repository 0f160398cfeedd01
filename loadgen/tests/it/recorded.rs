//! The requests' rows against the report of the same run: what is computed from them is the same.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use loadgen::{Control, Driver, Outcome, Snapshot, prepare};
use records::{Layout, Tail, TextFormat};
use serde_json::{Value, json};
use shared::{BenchmarkSpec, report::Distribution};
use simulator::Settings;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    DRIVERS, ms, settings, short,
    simulated::{quick, simulate},
    spec,
};

/// A file in memory, to be read when the run is over.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn recorded(
    driver: Driver,
    spec: BenchmarkSpec,
    stop: CancellationToken,
) -> (Outcome, Vec<Value>) {
    let file = Shared::default();
    let prepared = prepare(spec, None, &settings(driver)).await.expect("the target can be used");
    let control = Control { stop, snapshots: watch::Sender::new(Snapshot::default()) };
    let outcome = prepared.recording_to(file.clone()).run(control).await;
    let file = bytes::Bytes::from(std::mem::take(&mut *file.0.lock().unwrap()));
    let Tail::Whole(layout) = Layout::read(&file, file.len() as u64).unwrap() else {
        panic!("it is the whole file");
    };
    let started_at = outcome.report.window.started_at.to_string();
    assert_eq!(layout.about("started_at"), Some(started_at.as_str()));
    let mut rows = Vec::new();
    for group in 0..layout.groups() {
        let range = layout.range(group).unwrap();
        let (from, to) = (usize::try_from(range.start), usize::try_from(range.end));
        let bytes = file.slice(from.unwrap()..to.unwrap());
        let lines = TextFormat::Jsonl.rows(&layout, group, bytes).unwrap();
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        rows.extend(lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()));
    }
    let told = outcome.report.recorded.clone().expect("rows were asked for");
    assert_eq!((told.rows, told.missing, told.error), (rows.len() as u64, 0, None));
    (outcome, rows)
}

fn with<'a>(rows: &'a [Value], name: &'a str, word: &'a str) -> impl Iterator<Item = &'a Value> {
    rows.iter().filter(move |row| row[name] == word)
}

fn sum<'a>(rows: impl Iterator<Item = &'a Value>, name: &str) -> u64 {
    rows.filter_map(|row| row[name].as_u64()).sum()
}

/// The report's distribution, computed anew from the rows that it is of.
fn assert_same(rows: &[Value], name: &str, told: Option<&Distribution>) {
    let told = told.unwrap_or_else(|| panic!("no {name} in the report"));
    let of = with(rows, "outcome", "completed").filter(|row| row["counted"] == true);
    let mut values: Vec<f64> = of.filter_map(|row| row[name].as_f64()).collect();
    values.sort_by(f64::total_cmp);
    assert_eq!(values.len() as u64, told.n, "{name}");
    assert!((values[0] - told.min).abs() < 1e-6, "{name}");
    assert!((values[values.len() - 1] - told.max).abs() < 1e-6, "{name}");
    let count = f64::from(u32::try_from(values.len()).unwrap());
    let mean = values.iter().sum::<f64>() / count;
    assert!((mean - told.mean).abs() < 1e-6, "{name}: {mean} is not {}", told.mean);
    for (per_cent, told) in [(10, told.p10), (50, told.p50), (90, told.p90), (99, told.p99)] {
        let exact = values[(values.len() * per_cent).div_ceil(100) - 1];
        let off = (exact - told).abs();
        assert!(off <= exact * 0.001 + 0.0005, "{name} p{per_cent}: {exact} in rows, {told} told");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_computed_from_the_rows_are_the_reports() {
    let faults = Settings { fault_429: 0.1, fault_cut: 0.1, seed: 3, ..quick() };
    for driver in DRIVERS {
        let url = simulate(faults.clone()).await;
        let load = json!({"user": 8, "duration": 3, "warmup": 1, "max_tokens": 8, "grace": 5});
        let (outcome, rows) = recorded(driver, short(&url, load), CancellationToken::new()).await;
        let report = &outcome.report;
        let count = |word| with(&rows, "outcome", word).count() as u64;
        let requests = &report.requests;
        assert_eq!(
            (count("completed"), count("failed"), count("cancelled")),
            (requests.completed, requests.failed, requests.cancelled)
        );
        assert!(requests.completed > 50 && requests.failed > 5, "{requests:?}");
        for failure in &report.failures {
            let of_class = with(&rows, "failure", failure.class.as_str());
            assert_eq!(of_class.count() as u64, failure.count, "{failure:?}");
        }
        assert!(with(&rows, "failure", "http_429").all(|row| row["http_status"] == 429));
        let said = with(&rows, "failure", "truncated").next().unwrap()["message"].to_string();
        assert!(said.contains("neither a finish_reason nor [DONE]"), "{said}");

        let completed = || with(&rows, "outcome", "completed");
        assert_eq!(sum(completed(), "output_tokens"), report.tokens.output);
        assert_eq!(Some(sum(completed(), "input_tokens")), report.tokens.input);
        assert!(completed().all(|row| row["token_source"] == "usage"));
        let opened = with(&rows, "connection", "opened").count() as u64;
        assert_eq!(opened, report.validity.connections_opened);

        let latency = &report.latency;
        assert_same(&rows, "ttft_ms", latency.ttft_ms.as_ref());
        assert_same(&rows, "ttfa_ms", latency.ttfa_ms.as_ref());
        assert_same(&rows, "ttfe_ms", latency.ttfe_ms.as_ref());
        assert_same(&rows, "e2e_ms", latency.e2e_ms.as_ref());
        assert_same(&rows, "tpot_ms", latency.tpot_ms.as_ref());
        assert_same(&rows, "stall_ms", latency.stall_ms.as_ref());

        assert!(rows.iter().zip(0..).all(|(row, index)| row["index"] == index));
        let mut asked: Vec<_> =
            rows.iter().map(|r| (r["user"].as_u64(), r["nth"].as_u64())).collect();
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked.len(), rows.len(), "user and nth name a request");
        assert_eq!(asked.last().unwrap().0, Some(7));
        let early = rows.iter().filter(|row| row["counted"] == false);
        assert!(early.clone().count() > 8);
        assert!(early.clone().all(|row| row["picked_up_us"].as_u64().unwrap() < 1_000_000));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_run_keeps_its_rows_and_those_of_what_was_open() {
    let url = simulate(Settings { itl_ms: 100.0, ..quick() }).await;
    let stop = CancellationToken::new();
    let order = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(ms(1200)).await;
        order.cancel();
    });
    let load = json!({"duration": 600, "max_tokens": 5, "min_tokens": 5, "record_tokens": true});
    let (outcome, rows) = recorded(Driver::default(), short(&url, load), stop).await;
    assert!(outcome.stopped);
    let open: Vec<_> = with(&rows, "outcome", "cancelled").collect();
    assert_eq!(open.len(), 2, "both users had a request open");
    assert!(open.iter().any(|row| row["token_events"].as_u64() > Some(0)), "{open:?}");
    assert_eq!(
        with(&rows, "outcome", "completed").count() as u64,
        outcome.report.requests.completed
    );
    for row in &rows {
        let times = row["token_times_us"].as_array().unwrap();
        assert_eq!(times.len() as u64, row["token_events"].as_u64().unwrap());
        assert!(times.is_sorted_by_key(Value::as_u64));
        assert_eq!(times.first().unwrap_or(&Value::Null), &row["first_token_us"]);
        assert_eq!(times.last().unwrap_or(&Value::Null), &row["last_token_us"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_loops_rows_have_numbers_and_no_user() {
    let url = simulate(quick()).await;
    let load = json!({"url": url, "duration": 1, "grace": 5, "max_tokens": 4, "rate": 50});
    let stop = CancellationToken::new();
    let (_, rows) = recorded(Driver::default(), spec(&load), stop).await;
    let mut numbers: Vec<_> = rows.iter().map(|row| row["nth"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    assert!(rows.iter().all(|row| row["user"].is_null() && row.get("token_times_us").is_none()));
    for row in &rows {
        let due_us = row["nth"].as_u64().unwrap() * 20_000;
        assert_eq!(row["intended_us"], due_us);
    }
}

/// A disk that is full from the start.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("no space left on device"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_the_rows_and_not_the_report() {
    let url = simulate(quick()).await;
    let prepared = prepare(short(&url, json!({})), None, &settings(Driver::default())).await;
    let snapshots = watch::Sender::new(Snapshot::default());
    let control = Control { stop: CancellationToken::new(), snapshots };
    let outcome = prepared.expect("the target can be used").recording_to(Full).run(control).await;
    let report = outcome.report;
    assert!(report.requests.completed > 0);
    let recorded = report.recorded.expect("rows were asked for");
    assert!(recorded.error.unwrap().contains("no space left"));
    let words = "the requests' rows were not kept";
    assert!(report.validity.reasons.iter().any(|reason| reason.contains(words)));
}
