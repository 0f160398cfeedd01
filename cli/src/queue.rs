//! The queue of a server: how it stands, and stopping it.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::{
    failure::Failure,
    figures::count,
    server::{Server, ServerArgs},
    table,
};

/// `llm-bench queue`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    command: Option<QueueCommand>,
    #[command(flatten)]
    show: ShowArgs,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// Begin nothing more; what is active goes on
    Pause {
        /// Base URL of the one target that is meant; left out: the whole queue
        #[arg(long, value_name = "URL", conflicts_with = "abort")]
        target: Option<String>,
        /// Also cancel everything that waits, and ask everything active to stop
        #[arg(long)]
        abort: bool,
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Begin again, at once; the pause of the queue and those of targets end each by itself
    Resume {
        /// Base URL of the one target that is meant; left out: the whole queue
        #[arg(long, value_name = "URL")]
        target: Option<String>,
        #[command(flatten)]
        show: ShowArgs,
    },
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Print how it stands as the API gives it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl QueueArgs {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let (show, now) = match self.command {
            None => {
                let now = Server::new(&self.show.server)?.queue().await?;
                (self.show, now)
            }
            Some(QueueCommand::Pause { target, abort, show }) => {
                let server = Server::new(&show.server)?;
                let mut now = server.pause(target.as_deref()).await?;
                if abort {
                    let aborted = server.abort().await?;
                    let [cancelled, stopping] =
                        [aborted.cancelled, aborted.asked_to_stop].map(count);
                    eprintln!("{cancelled} cancelled, {stopping} asked to stop");
                    now = server.queue().await?;
                }
                (show, now)
            }
            Some(QueueCommand::Resume { target, show }) => {
                let now = Server::new(&show.server)?.resume(target.as_deref()).await?;
                (show, now)
            }
        };
        let (state, json) = now;
        crate::print(&if show.json { json } else { table::queue(&state) });
        Ok(ExitCode::SUCCESS)
    }
}
