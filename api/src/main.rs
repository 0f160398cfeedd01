//! The binary `api`: settings, logging, signals; everything else is in the library.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use api::Options;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    // Before any thread is there: it changes the environment.
    let dotenv = dotenvy::dotenv();
    let options = Options::from_environment();
    start_logging(&options.log_format);
    match dotenv {
        Ok(path) => tracing::info!(path = %path.display(), "read a .env file"),
        Err(error) if error.not_found() => {}
        Err(error) => return Err(error).context("cannot read the .env file"),
    }
    // Fails only where one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(options))
}

async fn run(options: Options) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    let store = options.database.open().await.context("cannot open the database")?;
    api::run(options.settings, store, shutdown).await?;
    tracing::info!("stopped");
    Ok(())
}

fn start_logging(format: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if format == "json" {
        lines.json().init();
    } else {
        lines.init();
    }
}

async fn cancel_on_signal(shutdown: CancellationToken) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("shutting down");
    shutdown.cancel();
}
