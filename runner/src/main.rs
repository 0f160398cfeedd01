//! The runner's process.

use std::process::ExitCode;

use clap::Parser;

/// Works off benchmarks, one at a time; as many such processes as you like, on as many machines.
#[derive(Parser)]
#[command(name = "runner", version)]
struct Options {
    #[command(flatten)]
    settings: runner::Settings,
    /// Where the database is.
    #[command(flatten)]
    database: store::DatabaseSettings,
    #[command(flatten)]
    log: daemon::Log,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options: Options = daemon::begin();
    options.log.start("info");
    daemon::end(work(options).await)
}

async fn work(options: Options) -> anyhow::Result<()> {
    let shutdown = daemon::shutdown_on_signal();
    let store = options.database.open().await?;
    runner::run(options.settings, store, &options.database.data_dir, shutdown).await
}
