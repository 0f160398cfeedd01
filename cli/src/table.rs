//! A benchmark's result as a person reads it: one screenful, 80 columns.

mod call;
mod load;
mod objectives;
mod queue;
mod runners;
mod targets;

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Table, Width,
    presets::{NOTHING, UTF8_FULL_CONDENSED},
};
use shared::{
    Benchmark, Endpoint, Report, State,
    report::{Distribution, FromIntent, Rates, StampSource, TokenSource, Tokens, Verdict},
};

pub(crate) use self::queue::queue;
pub(crate) use self::runners::{runners, state_of};
use crate::figures::{count, decimal, measured, measured_or_dash, percent};

const COLUMNS: u16 = 80;
/// Most characters of what a target said; the whole of it is in the JSON.
const SAMPLE: usize = 160;

/// The whole result.
pub(crate) fn result(benchmark: &Benchmark) -> String {
    let mut facts = Facts::new();
    head(&mut facts, benchmark);
    let Some(report) = &benchmark.report else {
        return format!("{}\n\nNothing was measured.", facts.written());
    };
    requests(&mut facts, report);
    let mut parts = vec![facts.written(), latency(report), throughput(report)];
    let mut facts = Facts::new();
    objectives::objectives(&mut facts, report);
    trust(&mut facts, report);
    parts.push(facts.written());
    parts.join("\n")
}

/// Named facts, one under the other; long ones wrap.
struct Facts(Table);

impl Facts {
    fn new() -> Self {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_width(COLUMNS)
            .set_content_arrangement(ContentArrangement::Dynamic);
        Self(table)
    }

    fn add(&mut self, name: &str, fact: impl Into<String>) {
        self.0.add_row([name.to_owned(), fact.into()]);
    }

    fn written(mut self) -> String {
        if let Some(names) = self.0.column_mut(0) {
            names.set_constraint(ColumnConstraint::Absolute(Width::Fixed(12)));
        }
        self.0.trim_fmt()
    }
}

fn head(facts: &mut Facts, benchmark: &Benchmark) {
    let id = match benchmark.id.0 {
        0 => "local".to_owned(),
        id => id.to_string(),
    };
    let status = match &benchmark.reason {
        Some(reason) => format!("{}: {}", benchmark.status, shortened(&reason.detail)),
        None => benchmark.status.to_string(),
    };
    facts.add("Benchmark", format!("{id}, {status}"));
    let server = benchmark.report.as_ref().and_then(|r| r.environment.target.server.as_deref());
    let server = server.map(|server| format!(" ({server})")).unwrap_or_default();
    facts.add("Target", format!("{}{server}", benchmark.url));
    let model = if benchmark.model.is_empty() { "not known yet" } else { &benchmark.model };
    facts.add("Model", model);
    facts.add("Load", load::words(&benchmark.spec.load));
    let spec = &benchmark.spec;
    if !spec.call.is_plain() {
        facts.add("Asked", call::words(&spec.call));
    }
    let exactly = if spec.output.ignore_eos { "exactly" } else { "at most" };
    let answers = if spec.call.endpoint == Endpoint::Embeddings {
        String::new()
    } else {
        format!("; answers of {exactly} {} tokens", spec.output.max_tokens.get())
    };
    let turns = spec.turns.map_or(String::new(), |turns| format!(", {} turns", turns.get()));
    facts.add("Prompts", format!("{}{turns}, seed {}{answers}", spec.dataset, spec.seed.get()));
    if let Some(shards) = benchmark.report.as_ref().map(|report| &report.environment.shards)
        && !shards.is_empty()
    {
        let error = shards.iter().map(|shard| shard.clock_error_ms).fold(0.0, f64::max);
        let begun = format!("begun together to {} ms", decimal(error, 1));
        facts.add("Runners", format!("{}, {begun}", shards.len()));
    }
    if !benchmark.notes.is_empty() {
        facts.add("Notes", shortened(&benchmark.notes));
    }
    if benchmark.report.is_some() && benchmark.status != State::Completed {
        facts.add("Partial", "these figures cover only a part of the run");
    }
}

fn requests(facts: &mut Facts, report: &Report) {
    let requests = &report.requests;
    let rate = match requests.error_rate {
        Some(rate) => format!(" ({})", percent(rate)),
        None => String::new(),
    };
    let dropped = match requests.dropped {
        0 => String::new(),
        dropped => format!(", {} dropped", count(dropped)),
    };
    facts.add(
        "Requests",
        format!(
            "{} completed, {} failed{rate}, {} cut off at the end{dropped}",
            count(requests.completed),
            count(requests.failed),
            count(requests.cancelled),
        ),
    );
    for (nth, failure) in report.failures.iter().enumerate() {
        let name = if nth == 0 { "Failures" } else { "" };
        let sample = shortened(&failure.sample);
        facts.add(name, format!("{} {}: {sample}", count(failure.count), failure.class));
    }
    targets::targets(facts, report);
}

fn boxed<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_width(COLUMNS)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A table whose first `texts` columns are texts, and the others figures.
pub(crate) fn of_texts<const N: usize>(header: [&str; N], texts: usize) -> Table {
    let mut table = boxed(header);
    for column in table.column_iter_mut().take(texts) {
        column.set_cell_alignment(CellAlignment::Left);
    }
    table
}

fn latency(report: &Report) -> String {
    let latency = &report.latency;
    let mut table = boxed(["Each request", "p50", "p90", "p99", "mean", "max", "n"]);
    let reasoned = latency.ttfa_ms != latency.ttft_ms;
    let rows = [
        ("TTFT first token, ms", latency.ttft_ms.as_ref()),
        ("TTFA first answer, ms", latency.ttfa_ms.as_ref().filter(|_| reasoned)),
        ("TPOT per token, ms", latency.tpot_ms.as_ref()),
        ("ITL between tokens, ms", latency.itl_ms.as_ref()),
        ("E2E whole answer, ms", latency.e2e_ms.as_ref()),
    ];
    for (name, distribution) in rows {
        if let Some(distribution) = distribution {
            table.add_row(row(name, distribution));
        }
    }
    intent(&mut table, &latency.from_intent);
    if let Some(speed) = &report.token_speed_per_s {
        table.add_row(row("speed, tokens/s", speed));
    }
    if table.is_empty() {
        "No request completed: no latencies.".to_owned()
    } else {
        table.to_string()
    }
}

fn row(name: &str, d: &Distribution) -> [String; 7] {
    let [p50, p90, p99, mean, max] = [d.p50, d.p90, d.p99, d.mean, d.max].map(measured);
    [name.to_owned(), p50, p90, p99, mean, max, count(d.n)]
}

/// Failures count as infinitely late there, so it is worth a row only where something failed.
fn intent(table: &mut Table, from_intent: &FromIntent) {
    let (name, d) = match (&from_intent.ttft_ms, &from_intent.e2e_ms) {
        (Some(ttft), _) => ("TTFT with failures, ms", ttft),
        (None, Some(e2e)) => ("E2E with failures, ms", e2e),
        (None, None) => return,
    };
    if d.failed == 0 {
        return;
    }
    let [p50, p90, p99] =
        [d.p50, d.p90, d.p99].map(|value| value.map_or_else(|| "never".to_owned(), measured));
    let none = "-".to_owned();
    table.add_row([name.to_owned(), p50, p90, p99, none.clone(), none, count(d.n)]);
}

fn throughput(report: &Report) -> String {
    let mut table =
        boxed(["Throughput, a second", "requests", "input tok", "output tok", "all tok"]);
    let whole = &report.throughput;
    let rates = Rates {
        requests_per_s: whole.requests_per_s,
        input_tokens_per_s: whole.input_tokens_per_s,
        output_tokens_per_s: whole.output_tokens_per_s,
        total_tokens_per_s: whole.total_tokens_per_s,
    };
    let mut add = |name: String, rates: &Rates| {
        table.add_row([
            name,
            measured(rates.requests_per_s),
            measured_or_dash(rates.input_tokens_per_s),
            measured(rates.output_tokens_per_s),
            measured_or_dash(rates.total_tokens_per_s),
        ]);
    };
    add(objectives::counted(&report.window), &rates);
    if let (Some(steady), Some(steady_s)) = (&whole.steady, report.window.steady_s) {
        add(format!("steady {} s", decimal(steady_s, 1)), steady);
    }
    table.to_string()
}

fn trust(facts: &mut Facts, report: &Report) {
    facts.add("Tokens", tokens(&report.tokens));
    let concurrency = &report.concurrency;
    facts.add(
        "In flight",
        format!("{} on average, {} at most", decimal(concurrency.mean, 1), count(concurrency.peak)),
    );
    let validity = &report.validity;
    let verdict = match validity.verdict {
        Verdict::Valid => "valid",
        Verdict::Degraded => "degraded",
        Verdict::Invalid => "INVALID",
    };
    let stamps = match validity.stamp_source {
        StampSource::Kernel => "the kernel took the stamps",
        StampSource::User => "stamps were taken by this process",
    };
    let cpu = validity.cpu_share.map(|share| format!(", busiest load thread {}", percent(share)));
    facts.add("Validity", format!("{verdict}; {stamps}{}", cpu.unwrap_or_default()));
    for reason in &validity.reasons {
        facts.add("", reason);
    }
}

fn tokens(tokens: &Tokens) -> String {
    let input = tokens.input.map_or_else(|| "unknown".to_owned(), count);
    let source = match tokens.source {
        Some(TokenSource::Usage) => "counted by the server",
        Some(TokenSource::Tokenizer) => "counted by the tokenizer",
        Some(TokenSource::Events) => "ESTIMATED, one for each event",
        Some(TokenSource::Mixed) => "counted by different sources",
        None => "no request completed",
    };
    let reached =
        tokens.reached_ratio.map(|ratio| format!(" ({} of what was asked)", percent(ratio)));
    let mismatched = tokens
        .mismatched_share
        .map(|share| format!("; the tokenizer differs in {} of requests", percent(share)));
    format!(
        "{input} in, {} out{}, {source}{}",
        count(tokens.output),
        reached.unwrap_or_default(),
        mismatched.unwrap_or_default()
    )
}

fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SAMPLE {
        return line;
    }
    line.chars().take(SAMPLE).chain(['…']).collect()
}

/// Benchmarks, one a line.
pub(crate) fn list(benchmarks: &[Benchmark]) -> String {
    let header = ["id", "status", "model", "target", "users", "TTFT p50", "out tok/s"];
    let mut table = of_texts(header, 4);
    for benchmark in benchmarks {
        let report = benchmark.report.as_ref();
        let ttft_ms = report.and_then(|r| r.latency.ttft_ms.as_ref()).map(|d| d.p50);
        table.add_row([
            benchmark.id.to_string(),
            benchmark.status.to_string(),
            benchmark.model.clone(),
            benchmark.url.clone(),
            count(u64::from(benchmark.user)),
            measured_or_dash(ttft_ms),
            measured_or_dash(report.map(|r| r.throughput.output_tokens_per_s)),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests;
