//! What this machine and this instrument can bear, measured side by side in one run.
//!
//!     cargo run --release -p loadgen --example limits [-- PART…]
//!
//! A null target on core 0, a process of its own, writes tokens and stamps each; on core 1 a bare
//! reader of the same streams (reads and stamps, nothing else), then the instrument. Both pay for
//! the same reads, so their ratio is what the instrument itself costs, whatever else this machine
//! is doing. The parts: `event`, `curve`, `requests`, `burst`, `schedule`, `memory`, `threads`, `truth`,
//! `recording`; none named: all. Each prints a table. `once USERS TOKENS GAP_US` is one run of a
//! fixed number of events, for scripts/count-instructions.

mod bare_reader;
mod instrument;
mod memory;
mod null_target;

use std::{env, time::Duration};

use loadgen::{Driver, Handicap};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use serde_json::json;
use shared::{
    Report,
    report::{Distribution, Verdict},
};

use self::{
    bare_reader::Stamped,
    instrument::{Run, cost_us, share},
    null_target::{NullTarget, Rhythm},
};

/// All tokens at once: what an event costs apart from its read.
const BURST: Rhythm = Rhythm { first: Duration::from_millis(20), each: Duration::ZERO };
/// Times that a ratio is measured; the median counts, and the extremes are its spread.
const REPEATS: usize = 3;

/// The name of a part, and what prints it.
type Part = (&'static str, fn() -> anyhow::Result<()>);

const PARTS: [Part; 9] = [
    ("event", event),
    ("curve", curve),
    ("requests", requests),
    ("burst", burst),
    ("schedule", schedule),
    ("memory", memory),
    ("threads", threads),
    ("truth", truth),
    ("recording", recording),
];

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [serve, first_us, each_us] = words.as_slice()
        && serve == null_target::SERVE
    {
        pin_to(&[0]);
        return null_target::serve(first_us.parse()?, each_us.parse()?);
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    loadgen::socket_capacity();
    if let [once, users, tokens, gap_us] = words.as_slice()
        && once == "once"
    {
        return self::once(users.parse()?, tokens.parse()?, gap_us.parse()?);
    }
    pin_to(&[1]);
    for word in &words {
        let names = PARTS.map(|(name, _)| name).join(", ");
        let known = PARTS.iter().any(|(name, _)| name == word);
        anyhow::ensure!(known, "`{word}` is no part; there are {names}");
    }
    for (name, print) in PARTS {
        if words.is_empty() || words.iter().any(|word| word == name) {
            println!("\n## {name}");
            print()?;
        }
    }
    Ok(())
}

/// One answer for each of `users`, with `gap_us` between two tokens.
fn once(users: u32, tokens: u32, gap_us: u64) -> anyhow::Result<()> {
    let rhythm = Rhythm { each: Duration::from_micros(gap_us), ..BURST };
    let target = NullTarget::start(rhythm)?;
    let load = json!({"arrival": "all_at_once", "max_requests": users, "duration": 600});
    let report = Run { load, ..Run::of_users(1, tokens, 1) }.against(&target)?;
    println!("{} requests, {} tokens", report.requests.completed, report.tokens.output);
    Ok(())
}

/// One token a write, 50 a second and stream, as far as one core of the target can write: beyond
/// 1,000 streams each gets its share of 50,000 a second.
fn steady(streams: u32) -> Rhythm {
    let each = Duration::from_millis(20).max(Duration::from_secs(1) * streams / 50_000);
    Rhythm { first: Duration::from_millis(200), each }
}

/// Tokens that take a stream of that rhythm some 8 s, so that requests weigh little beside events.
fn long(rhythm: Rhythm) -> u32 {
    let tokens = Duration::from_secs(8).as_micros() / rhythm.each.as_micros();
    u32::try_from(tokens).unwrap_or(u32::MAX).max(100)
}

fn curve() -> anyhow::Result<()> {
    rows(&[100, 300, 1_000, 3_000, 10_000].map(|streams| (streams, Driver::Readiness)))?;
    rows(&[(1_000, Driver::Hyper)])
}

fn event() -> anyhow::Result<()> {
    rows(&[(1_000, Driver::Readiness)])
}

fn rows(of: &[(u32, Driver)]) -> anyhow::Result<()> {
    println!(
        "| streams | driver | bare, us an event | bare with the kernel's stamps | instrument | \
         of bare | of bare with them | {TRUTH} |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for &(streams, driver) in of {
        let rhythm = steady(streams);
        let tokens = long(rhythm);
        let mut last = String::new();
        let figures = side_by_side(|| {
            let target = NullTarget::start(rhythm)?;
            let [own, kernel] = [Stamped::Own, Stamped::Kernel].map(|stamped| {
                let bare = bare_reader::event_us(target.address(), streams, tokens, stamped);
                target.written().and(bare)
            });
            let (own, kernel) = (own?, kernel?);
            let run = Run { driver, ..Run::of_users(streams, tokens, 1) };
            let report = run.against(&target)?;
            last = beside_the_truth(&report, &target)?;
            let cost = cost_us(&report, report.tokens.output);
            Ok([own, kernel, cost, cost / own, cost / kernel])
        })?;
        let figures = figures.join(" | ");
        println!("| {streams} | {driver:?} | {figures} | {last} |");
    }
    Ok(())
}

fn requests() -> anyhow::Result<()> {
    println!("answers of one token, 100 users, connections kept");
    println!("| driver | bare, us a request | instrument, us a request | ratio |");
    println!("|---|---|---|---|");
    for driver in [Driver::Readiness, Driver::Hyper] {
        let [bare, cost, ratio] = side_by_side(|| {
            let target = NullTarget::start(BURST)?;
            let bare = bare_reader::request_us(target.address(), 100, Duration::from_secs(4))?;
            let report = Run { driver, ..Run::of_users(100, 1, 4) }.against(&target)?;
            let cost = cost_us(&report, report.requests.completed);
            Ok([bare, cost, cost / bare])
        })?;
        println!("| {driver:?} | {bare} | {cost} | {ratio} |");
    }
    Ok(())
}

fn burst() -> anyhow::Result<()> {
    println!("4,000 tokens at once, 20 users");
    println!("| driver | bare, us an event | instrument, us an event |");
    println!("|---|---|---|");
    for driver in [Driver::Readiness, Driver::Hyper] {
        let [bare, cost] = side_by_side(|| {
            let target = NullTarget::start(BURST)?;
            let bare = bare_reader::event_us(target.address(), 20, 4_000, Stamped::Own)?;
            let report = Run { driver, ..Run::of_users(20, 4_000, 4) }.against(&target)?;
            Ok([bare, cost_us(&report, report.tokens.output)])
        })?;
        println!("| {driver:?} | {bare} | {cost} |");
    }
    Ok(())
}

fn schedule() -> anyhow::Result<()> {
    println!("Poisson arrivals for 10 s, answers of one token after 20 ms");
    println!("| requests/s | sent | schedule lag p50, ms | p99, ms | max, ms |");
    println!("|---|---|---|---|---|");
    let target = NullTarget::start(BURST)?;
    for rate in [10, 1_000] {
        let load = json!({"arrival": "poisson", "rate": rate, "duration": 10});
        let report = Run { load, ..Run::of_users(1, 1, 1) }.against(&target)?;
        let lag = report.validity.schedule_lag_ms.as_ref();
        let [p50, p99] = both(lag);
        let max = lag.map_or(f64::NAN, |lag| lag.max);
        println!("| {rate} | {} | {p50:.3} | {p99:.3} | {max:.3} |", report.requests.started);
    }
    Ok(())
}

fn memory() -> anyhow::Result<()> {
    println!("| streams | resident before, MiB | most while they are open, MiB | KiB a stream |");
    println!("|---|---|---|---|");
    for streams in [1_000, 5_000, 10_000] {
        let rhythm = steady(streams);
        let target = NullTarget::start(rhythm)?;
        // What any run takes, whatever its streams.
        Run::of_users(1, 100, 1).against(&target)?;
        let before = memory::resident_kib()?;
        let peak = memory::Peak::watch();
        Run::of_users(streams, long(rhythm), 1).against(&target)?;
        let most = peak.kib();
        println!(
            "| {streams} | {} | {} | {:.1} |",
            before / 1024,
            most / 1024,
            f64::from(most.saturating_sub(before)) / f64::from(streams),
        );
    }
    Ok(())
}

fn threads() -> anyhow::Result<()> {
    println!("4,000 tokens at once with 1 us of work each, 40 users; both cores for the load, the");
    println!("target on core 0 too");
    println!("| load threads | events/s | busiest load thread |");
    println!("|---|---|---|");
    pin_to(&[0, 1]);
    // So that the load threads are at their limit before the target is.
    let handicap = Handicap { spin_per_event: Duration::from_micros(1), ..Handicap::default() };
    for load_threads in [1, 2] {
        let target = NullTarget::start(BURST)?;
        let run = Run { load_threads, handicap, ..Run::of_users(40, 4_000, 5) };
        let report = run.against(&target)?;
        println!(
            "| {load_threads} | {:.0} | {:.0} % |",
            report.throughput.output_tokens_per_s,
            share(&report) * 100.0,
        );
    }
    pin_to(&[1]);
    Ok(())
}

/// The same streams with the kernel's stamps and with our own, the load thread at ease and busy.
fn truth() -> anyhow::Result<()> {
    println!("| streams | work an event | stamps | {TRUTH} |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (streams, work_us) in [(1_000, 0), (1_000, 10), (500, 30)] {
        for user_stamps in [false, true] {
            let rhythm = steady(streams);
            let target = NullTarget::start(rhythm)?;
            let spin_per_event = Duration::from_micros(work_us);
            let handicap = Handicap { user_stamps, spin_per_event };
            let run = Run { handicap, ..Run::of_users(streams, long(rhythm), 1) };
            let told = beside_the_truth(&run.against(&target)?, &target)?;
            let stamps = if user_stamps { "user" } else { "kernel" };
            println!("| {streams} | {work_us} us | {stamps} | {told} |");
        }
    }
    Ok(())
}

/// The same load with its requests' rows written to a file, with its texts counted, and without,
/// by turns: what that costs the load thread. All threads share one core, so that what the others
/// do can only be dearer here than where there are more.
fn recording() -> anyhow::Result<()> {
    println!("requests: answers of one token, 100 users. events: 1,000 streams, 50 tokens/s");
    println!("| beside the load | load thread, us a request | us an event |");
    println!("|---|---|---|");
    let rhythm = steady(1_000);
    let asides = [
        ("nothing", false, false),
        ("rows written, with token times", true, false),
        ("texts kept and tokenized", false, true),
    ];
    let mut costs = asides.map(|_| (vec![], vec![]));
    for _ in 0..REPEATS {
        for ((_, recording, counting), (requests, events)) in asides.into_iter().zip(&mut costs) {
            let target = NullTarget::start(BURST)?;
            let run = Run { recording, counting, ..Run::of_users(100, 1, 4) };
            let report = run.against(&target)?;
            requests.push(cost_us(&report, report.requests.completed));
            let target = NullTarget::start(rhythm)?;
            let run = Run { recording, counting, ..Run::of_users(1_000, long(rhythm), 1) };
            let report = run.against(&target)?;
            events.push(cost_us(&report, report.tokens.output));
        }
    }
    for ((name, ..), (requests, events)) in asides.into_iter().zip(&mut costs) {
        println!("| {name} | {} | {} |", spread(requests), spread(events));
    }
    Ok(())
}

/// Pins the calling thread, and all it will start, to some cores.
fn pin_to(wanted: &[usize]) {
    let mut cores = CpuSet::new();
    let set = wanted.iter().try_for_each(|core| cores.set(*core));
    if set.and_then(|()| sched_setaffinity(Pid::from_raw(0), &cores)).is_err() {
        eprintln!("cannot pin to cores {wanted:?}: figures will be noisier");
    }
}

/// The columns of [`beside_the_truth`].
const TRUTH: &str = "load thread | ITL p50 written / measured, ms | p99 | TTFT p50 | p99 | verdict";

/// What a run measured, beside what its target wrote.
fn beside_the_truth(report: &Report, target: &NullTarget) -> anyhow::Result<String> {
    let (written, latency) = (target.written()?, &report.latency);
    let [itl50, itl99] = both(latency.itl_ms.as_ref());
    let [ttft50, ttft99] = both(latency.ttft_ms.as_ref());
    Ok(format!(
        "{:.0} % | {:.2} / {itl50:.2} | {:.2} / {itl99:.2} | {:.1} / {ttft50:.1} | \
         {:.1} / {ttft99:.1} | {}",
        share(report) * 100.0,
        written.gap_ms[0],
        written.gap_ms[1],
        written.first_ms[0],
        written.first_ms[1],
        verdict(report),
    ))
}

/// The verdict, and what a verdict that is not `valid` is for.
fn verdict(report: &Report) -> String {
    let validity = &report.validity;
    match (validity.verdict, validity.reasons.first()) {
        (verdict @ Verdict::Valid, _) | (verdict, None) => format!("{verdict:?}"),
        (verdict, Some(reason)) => format!("{verdict:?}: {reason}"),
    }
}

/// Figures that are measured beside each other, each with its spread.
fn side_by_side<const FIGURES: usize>(
    mut measured: impl FnMut() -> anyhow::Result<[f64; FIGURES]>,
) -> anyhow::Result<[String; FIGURES]> {
    let mut all = [const { Vec::new() }; FIGURES];
    for _ in 0..REPEATS {
        for (kept, figure) in all.iter_mut().zip(measured()?) {
            kept.push(figure);
        }
    }
    Ok(all.each_mut().map(spread))
}

/// p50 and p99.
fn both(of: Option<&Distribution>) -> [f64; 2] {
    of.map_or([f64::NAN; 2], |of| [of.p50, of.p99])
}

/// The median, and the extremes.
fn spread(of: &mut Vec<f64>) -> String {
    of.sort_unstable_by(f64::total_cmp);
    let digits = if of.last().is_some_and(|most| *most < 1.0) { 3 } else { 2 };
    match of.as_slice() {
        [] => "none".to_owned(),
        [least, .., most] => {
            format!("{:.digits$} ({least:.digits$} to {most:.digits$})", of[of.len() / 2])
        }
        [one] => format!("{one:.digits$}"),
    }
}
