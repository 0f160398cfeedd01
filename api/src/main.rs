//! The binary `api`: settings, log, signals; everything else is in the library.

use std::process::ExitCode;

use anyhow::Context as _;
use api::Options;

#[tokio::main]
async fn main() -> ExitCode {
    let options: Options = daemon::begin();
    options.log.start("info");
    daemon::end(serve(options).await)
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let shutdown = daemon::shutdown_on_signal();
    let store = options.database.open().await.context("cannot open the database")?;
    api::run(options.settings, store, shutdown).await?;
    tracing::info!("stopped");
    Ok(())
}
