//! What this machine and this instrument can bear, measured side by side in one run.
//!
//!     cargo run --release -p loadgen --example limits [-- STREAMS…]
//!
//! A null target on core 0 writes one token a write and stamps each; on core 1 a bare reader of the
//! same streams (reads and stamps, nothing else), then the instrument. Both pay for the same reads,
//! so their ratio is what the instrument itself costs, whatever else this machine is doing.

mod bare_reader;
mod null_target;

use std::{env, time::Duration};

use loadgen::{Control, Driver, Hub, Settings, Snapshot, prepare};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use serde_json::{Value, json};
use shared::{
    Report, Seed,
    request::{Defaults, Fields, NewBenchmark},
};
use target::Egress;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::null_target::{NullTarget, Rhythm};

/// One token a write, 50 a second: the worst case of a real server.
const STEADY: Rhythm =
    Rhythm { first: Duration::from_millis(200), each: Duration::from_millis(20) };
/// All tokens at once: what an event costs apart from its read.
const BURST: Rhythm = Rhythm { first: Duration::from_millis(20), each: Duration::ZERO };
/// Tokens of a long answer, so that requests weigh nothing beside events.
const LONG: u32 = 400;

fn main() -> anyhow::Result<()> {
    let streams: Vec<u32> =
        env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let streams = if streams.is_empty() { vec![100, 500, 1_000, 2_000] } else { streams };
    let _ = rustls::crypto::ring::default_provider().install_default();
    loadgen::socket_capacity();
    pin_to(1);

    println!("one token a write, 50 tokens/s a stream, {LONG} tokens an answer");
    println!(
        "| streams | bare reader, us an event | instrument, us an event | ratio | load thread | \
         ITL p99 written / measured, ms | TTFT p50, p99 measured (200 due), ms | verdict |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for count in streams {
        let target = NullTarget::start(STEADY)?;
        let bare = bare_reader::read(target.address(), count, LONG)?;
        target.forget();
        let report = instrument(&target, count, LONG, 1)?;
        let (cost, share) = cost_us(&report, report.tokens.output);
        let latency = &report.latency;
        let (itl, ttft) = (latency.itl_ms.as_ref(), latency.ttft_ms.as_ref());
        println!(
            "| {count} | {bare:.2} | {cost:.2} | {:.2} | {:.0} % | {:.2} / {:.2} | {:.1}, {:.1} | {:?} |",
            cost / bare,
            share * 100.0,
            target.written_gap_p99_ms(),
            itl.map_or(f64::NAN, |d| d.p99),
            ttft.map_or(f64::NAN, |d| d.p50),
            ttft.map_or(f64::NAN, |d| d.p99),
            report.validity.verdict,
        );
    }

    let target = NullTarget::start(BURST)?;
    let bare = bare_reader::read(target.address(), 20, 4_000)?;
    let report = instrument(&target, 20, 4_000, 4)?;
    let (cost, _) = cost_us(&report, report.tokens.output);
    println!(
        "\nburst, 4000 tokens at once: {bare:.3} us an event bare, {cost:.3} us by the instrument"
    );

    let target = NullTarget::start(BURST)?;
    let report = instrument(&target, 100, 1, 4)?;
    let (cost, _) = cost_us(&report, report.requests.completed);
    println!("answers of one token: {cost:.1} us a request, connections kept");

    for rate in [10, 1_000] {
        let load = json!({"arrival": "poisson", "rate": rate, "duration": 5});
        let report = drive(&target, 1, load)?;
        let lag = report.validity.schedule_lag_ms;
        println!(
            "poisson, {rate} requests/s: schedule lag p50 {:.3}, p99 {:.3} ms, {} sent, {} dropped",
            lag.as_ref().map_or(f64::NAN, |d| d.p50),
            lag.as_ref().map_or(f64::NAN, |d| d.p99),
            report.requests.started,
            report.requests.dropped,
        );
    }
    Ok(())
}

/// Pins the calling thread, and all it will start, to a core.
fn pin_to(core: usize) {
    let mut cores = CpuSet::new();
    let pinned = cores.set(core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &cores));
    if pinned.is_err() {
        println!("cannot pin to core {core}: figures will be noisier");
    }
}

/// CPU time of the load thread for each of `events`, in us, and its share of the core.
#[expect(clippy::cast_precision_loss, reason = "a count of events")]
fn cost_us(report: &Report, events: u64) -> (f64, f64) {
    let share = report.validity.cpu_share.unwrap_or(f64::NAN);
    (share * report.window.measured_s * 1e6 / events.max(1) as f64, share)
}

/// The instrument's own report: `users` over `duration_s`, answers of `tokens`.
fn instrument(
    target: &NullTarget,
    users: u32,
    tokens: u32,
    duration_s: u32,
) -> anyhow::Result<Report> {
    let load = json!({"user": users, "spawnrate": 10_000, "duration": duration_s});
    drive(target, tokens, load)
}

/// The instrument's own report of `load`, answers of `tokens`.
fn drive(target: &NullTarget, tokens: u32, load: Value) -> anyhow::Result<Report> {
    let url = format!("http://{}", target.address());
    let asked = json!({"url": url, "max_tokens": tokens, "min_tokens": 0, "grace": 60});
    let mut fields: Fields = serde_json::from_value(asked)?;
    fields.extend(serde_json::from_value::<Fields>(load)?);
    let new = NewBenchmark::parse(&fields, &Defaults::default(), Seed::try_from(1)?)
        .map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let data_dir = env::temp_dir();
    let settings = Settings {
        egress: Egress::new(Egress::LOCAL, Vec::new())?,
        hub: Hub::new(Hub::PUBLIC, None, &data_dir)?,
        data_dir,
        load_threads: Some(1),
        driver: Driver::default(),
        runner: String::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let prepared = prepare(new.spec, None, &settings).await?;
        let control = Control {
            stop: CancellationToken::new(),
            snapshots: watch::Sender::new(Snapshot::default()),
        };
        anyhow::Ok(prepared.run(control).await)
    })?;
    anyhow::ensure!(outcome.failure().is_none(), "{:?}", outcome.report.failures);
    Ok(outcome.report)
}
