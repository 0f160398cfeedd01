//! `llm-bench run`: one benchmark, from asking for it to its figures.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use shared::State;
use tokio_util::sync::CancellationToken;

use crate::{
    asked::Asked,
    failure::Failure,
    follow::{self, Followed},
    local,
    requests::Output,
    server::{Server, ServerArgs},
    table,
    watch::Watch,
};

/// What a shell says of a program that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// `llm-bench run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    asked: Asked,
    /// Run in this process: no server, no database, nothing is kept. `DATA_DIR`, `EGRESS_ALLOW` and
    /// the rest of the environment mean what they mean for `up`
    #[arg(long, conflicts_with_all = ["server", "user_auth"])]
    local: bool,
    /// Keep a row for each request in FILE, which ends in .parquet, .csv or .jsonl
    #[arg(long, value_name = "FILE")]
    requests: Option<PathBuf>,
    /// Print the resource as the API gives it, and nothing else
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    log: daemon::Log,
}

impl RunArgs {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        self.log.start("warn");
        let stop = daemon::shutdown_on_signal();
        // Asked for before anything is sent: a file that cannot be written must not cost a run.
        let output = self.requests.as_deref().map(Output::named).transpose()?;
        let followed = if self.local {
            local::run(&self.asked.0, &stop, output).await?
        } else {
            self.on_server(&stop, output).await?
        };
        Ok(conclude(&followed, self.json))
    }

    async fn on_server(
        &self,
        stop: &CancellationToken,
        output: Option<Output>,
    ) -> Result<Followed, Failure> {
        let server = Server::new(&self.server)?;
        let submitted = server.submit(&self.asked.0).await?;
        let watch = Watch::new(submitted.benchmark.duration);
        watch.say(&format!("benchmark {} is queued", submitted.benchmark.id));
        let id = submitted.benchmark.id;
        let followed = follow::to_its_end(&server, submitted, watch, stop).await?;
        if let Some(mut output) = output
            && followed.read.benchmark.report.is_some()
        {
            server.download(id, output.format, &mut output.file).await?;
            output.keep()?;
        }
        Ok(followed)
    }
}

/// Prints the result and says what to exit with.
pub(crate) fn conclude(followed: &Followed, json: bool) -> ExitCode {
    let Followed { read, interrupted } = followed;
    crate::print(
        if json { read.json.trim_end().to_owned() } else { table::result(&read.benchmark) }
            .as_str(),
    );
    if json && read.benchmark.status != State::Completed {
        let reason = read.benchmark.reason.as_ref().map_or("no reason given", |r| &r.detail);
        eprintln!("the benchmark is {}: {reason}", read.benchmark.status);
    }
    match read.benchmark.status {
        State::Completed => ExitCode::SUCCESS,
        _ if *interrupted => ExitCode::from(INTERRUPTED),
        _ => ExitCode::FAILURE,
    }
}
