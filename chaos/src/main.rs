//! What the service promises, tried on the real programs: they are killed, frozen, cut off and
//! restarted, and after each cycle the database, the target and the APIs must agree that nothing
//! was lost and nothing was loaded twice. `docs/durability.md` has the promises and the figures.

mod arrivals;
mod checker;
mod client;
mod disk;
mod experiment;
mod loss;
mod process;
mod proxy;
mod server;
mod soak;
mod tally;
mod yard;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use testkit::TestDatabase;

use crate::{
    experiment::{Experiment, Plan},
    tally::Tally,
};

/// Tries to break the service's promises
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    soak: Option<Endurance>,
    /// What every cycle derives from; printed, so that it can be seen again
    #[arg(long)]
    seed: Option<u64>,
    /// Only these experiments: E1, E2 …
    #[arg(long, value_delimiter = ',', value_parser = experiment)]
    only: Vec<Experiment>,
    /// Cycles of each; left out: a few
    #[arg(long)]
    cycles: Option<u64>,
    /// Number of the first cycle
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only on this database
    #[arg(long, value_parser = ["sqlite", "postgres"])]
    database: Option<String>,
    /// Benchmarks of E11
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    runs: u32,
    /// Clients of E11 who ask for a benchmark, once a second each; a fifth as many follow events
    #[arg(long, default_value_t = 1_000)]
    clients: u64,
    /// Print the rows of the table in docs/durability.md, too
    #[arg(long)]
    table: bool,
}

#[derive(Subcommand)]
enum Endurance {
    /// Many short runs, and what the processes grow by meanwhile
    Soak {
        /// How many runs
        #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
        runs: u32,
        /// On which database
        #[arg(long, default_value = "postgres", value_parser = ["sqlite", "postgres"])]
        database: String,
    },
}

fn experiment(name: &str) -> Result<Experiment, String> {
    let found = Experiment::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let known: Vec<_> = Experiment::ALL.iter().map(|known| known.name()).collect();
        format!("known are {}", known.join(", "))
    })
}

/// These experiments one after the other, on one kind of database.
async fn lane(kind: &'static str, experiments: Vec<Experiment>, plan: Plan) -> Vec<Tally> {
    let mut tallies = Vec::new();
    for experiment in experiments {
        let database = match kind {
            "postgres" => TestDatabase::postgres().await,
            _ => Some(TestDatabase::sqlite().await),
        };
        let Some(database) = database else { return tallies };
        if let Some(tally) = Box::pin(experiment.run(&plan, database)).await {
            println!("{}", tally.line());
            tallies.push(tally);
        }
    }
    tallies
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(Endurance::Soak { runs, database }) = options.soak {
        return soak::run(runs, &database).await;
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = options.seed.unwrap_or_else(|| since.map_or(1, |since| since.as_secs()));
    println!("seed {seed}");
    let is_asked_for = !options.only.is_empty();
    let all = if options.only.is_empty() { Experiment::ALL.to_vec() } else { options.only };
    let Options { from, cycles, runs, clients, .. } = options;
    let plan = Plan { seed, from, cycles, is_asked_for, runs, clients };
    let only = options.database.as_deref();
    // Most of the time everybody waits, for a lease or an end: so one lane for each database.
    let lanes =
        ["postgres", "sqlite"].into_iter().filter(|kind| only.is_none_or(|only| only == *kind));
    let lanes: Vec<_> = lanes.map(|kind| tokio::spawn(lane(kind, all.clone(), plan))).collect();
    let mut tallies = Vec::new();
    for lane in lanes {
        tallies.extend(lane.await.expect("an experiment does not panic"));
    }
    if options.table {
        println!("\n| | what | seed | cycles | benchmarks | violations | measured |");
        println!("|---|---|---|---|---|---|---|");
        for tally in &tallies {
            println!("{}", tally.row());
        }
    }
    let violations: usize = tallies.iter().map(|tally| tally.violations.len()).sum();
    if violations > 0 {
        println!("{violations} violations");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
