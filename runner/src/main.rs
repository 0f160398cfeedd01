//! The runner's process.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use daemon::Shutdown;

/// Works off benchmarks, one at a time; as many such processes as you like, on as many machines.
#[derive(Parser)]
#[command(name = "runner", version)]
struct Options {
    #[command(flatten)]
    settings: runner::Settings,
    /// Where the database is.
    #[command(flatten)]
    database: store::DatabaseSettings,
    /// Seconds that the run under way still gets after SIGTERM; 0: it is stopped at once.
    #[arg(long, env = "DRAIN_TIMEOUT_S", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    drain_timeout_s: u32,
    /// Where `GET /metrics` is answered, e.g. 0.0.0.0:9464; nowhere where it is left out.
    #[arg(long, env = "METRICS_ADDRESS")]
    metrics_address: Option<std::net::SocketAddr>,
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
    let patience = Duration::from_secs(options.drain_timeout_s.into());
    let shutdown = Shutdown::on_signal(patience);
    let store = options.database.open().await?;
    if let Some(address) = options.metrics_address {
        let told = daemon::tell(address, shutdown.now().clone()).await;
        told.with_context(|| format!("METRICS_ADDRESS {address} cannot be listened on"))?;
    }
    runner::run(options.settings, store, &options.database.data_dir, shutdown).await
}
