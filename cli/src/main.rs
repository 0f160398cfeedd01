//! The hand: everything a person does with LLM Benchmark API, as one program.
//!
//! Commands that ask a server know it only by its REST API, as any client does; `up`, `demo` and
//! `run --local` put the parts together in this process.

mod asked;
mod demo;
mod failure;
mod figures;
mod follow;
mod local;
mod master_key;
mod queue;
mod requests;
mod run;
mod runners;
mod server;
mod table;
mod up;
mod watch;

use std::{io::Write, net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use shared::BenchmarkId;
use tokio::net::TcpListener;

use crate::{
    failure::Failure,
    server::{Server, ServerArgs, benchmark_id},
};

/// Load tests for OpenAI-compatible LLM servers, with figures you can trust.
///
/// Exit codes: 0 done; 1 the benchmark did not complete; 2 the command could not be done;
/// 130 ended by Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "llm-bench", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole service in this process: API, one runner, a database in `DATA_DIR`
    Up(Box<up::Up>),
    /// See it work: a simulated LLM server, the whole service, one benchmark
    Demo(demo::DemoArgs),
    /// Run one benchmark and print its figures
    #[command(visible_alias = "bench")]
    Run(Box<run::RunArgs>),
    /// Print a benchmark that a server has
    Show {
        /// Its number
        #[arg(value_parser = benchmark_id)]
        id: BenchmarkId,
        /// Print the resource as the API gives it
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Fetch a row for each request of a benchmark that a server has
    Requests(requests::RequestsArgs),
    /// List the benchmarks that a server has, newest first
    List {
        /// Which page, from 1 on
        #[arg(long, default_value_t = 1)]
        page: u32,
        /// Benchmarks on a page, at most 100
        #[arg(long, default_value_t = 20)]
        limit: u32,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Ask for a benchmark's end
    Cancel {
        /// Its number
        #[arg(value_parser = benchmark_id)]
        id: BenchmarkId,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// See how the queue of a server stands, pause or resume it
    Queue(queue::QueueArgs),
    /// List the runners of a server
    Runners(runners::RunnersArgs),
    /// Have a runner take up nothing more and end when its run has
    Drain(runners::DrainArgs),
    /// Set up the database, or bring it up to date
    Migrate {
        #[command(flatten)]
        database: store::DatabaseSettings,
        #[command(flatten)]
        log: daemon::Log,
    },
    /// Serve a simulated LLM: OpenAI dialect, chosen timing, chosen faults
    Simulate {
        /// Address to listen on
        #[arg(long, default_value = "127.0.0.1")]
        host: String,
        /// Port to listen on; 0: a free one
        #[arg(long, default_value_t = 8080)]
        port: u16,
        #[command(flatten)]
        settings: simulator::Settings,
        #[command(flatten)]
        log: daemon::Log,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let CommandLine { command } = daemon::begin();
    let done = match command {
        Command::Up(up) => up.run().await,
        Command::Demo(demo) => demo.run().await,
        Command::Run(run) => run.run().await,
        Command::Show { id, json, server } => show(id, json, &server).await,
        Command::Requests(requests) => requests.run().await,
        Command::List { page, limit, server } => list(page, limit, &server).await,
        Command::Cancel { id, server } => cancel(id, &server).await,
        Command::Queue(queue) => queue.run().await,
        Command::Runners(runners) => runners.run().await,
        Command::Drain(drain) => drain.run().await,
        Command::Migrate { database, log } => migrate(&database, &log).await,
        Command::Simulate { host, port, settings, log } => {
            simulate(&host, port, settings, &log).await
        }
    };
    done.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::from(2)
    })
}

async fn show(id: BenchmarkId, json: bool, server: &ServerArgs) -> Result<ExitCode, Failure> {
    let read = Server::new(server)?.get(id, 0).await?;
    print(&if json { read.json } else { table::result(&read.benchmark) });
    Ok(ExitCode::SUCCESS)
}

async fn list(page: u32, limit: u32, server: &ServerArgs) -> Result<ExitCode, Failure> {
    let listed = Server::new(server)?.list(page, limit).await?;
    let shown = listed.results.len() as u64;
    print(&table::list(&listed.results));
    if shown < listed.total {
        eprintln!("page {page}: {shown} of {}", figures::count(listed.total));
    }
    Ok(ExitCode::SUCCESS)
}

async fn cancel(id: BenchmarkId, server: &ServerArgs) -> Result<ExitCode, Failure> {
    let read = Server::new(server)?.cancel(id).await?;
    print(&format!("benchmark {id} is {}", read.benchmark.status));
    Ok(ExitCode::SUCCESS)
}

async fn migrate(
    database: &store::DatabaseSettings,
    log: &daemon::Log,
) -> Result<ExitCode, Failure> {
    log.start("info");
    let store = database.open().await.context("cannot open the database")?;
    store.migrate().await.context("cannot migrate the database")?;
    print("the database is up to date");
    Ok(ExitCode::SUCCESS)
}

async fn simulate(
    host: &str,
    port: u16,
    settings: simulator::Settings,
    log: &daemon::Log,
) -> Result<ExitCode, Failure> {
    log.start("info");
    let (listener, address) = listen(host, port).await?;
    let shutdown = daemon::shutdown_on_signal();
    print(&format!(
        "simulated LLM server with the model `{}` at http://{address}/v1, its counts at http://{address}/stats",
        settings.model
    ));
    let served = simulator::serve(settings, listener, shutdown).await;
    served.map_err(|invalid| Failure::Usage(invalid.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

/// A listener, and the address it got.
async fn listen(host: &str, port: u16) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind((host, port))
        .await
        .with_context(|| format!("cannot listen on {host}:{port}"))?;
    let address = listener.local_addr().context("cannot tell my own address")?;
    Ok((listener, address))
}

/// Prints a result. Who closed the pipe wants no more of it.
fn print(text: &str) {
    _ = writeln!(std::io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        CommandLine::command().debug_assert();
    }
}
