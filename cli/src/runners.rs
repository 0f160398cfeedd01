//! The runners of a server: which there are, and asking one to take up nothing more.

use std::process::ExitCode;

use clap::Args;

use crate::{
    failure::Failure,
    server::{Server, ServerArgs},
    table,
};

/// `llm-bench runners`
#[derive(Debug, Args)]
pub(crate) struct RunnersArgs {
    /// Print the list as the API gives it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// `llm-bench drain`
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Its id, as `runners` prints it
    id: String,
    #[command(flatten)]
    server: ServerArgs,
}

impl RunnersArgs {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let (runners, json) = Server::new(&self.server)?.runners().await?;
        if self.json {
            crate::print(&json);
            return Ok(ExitCode::SUCCESS);
        }
        crate::print(&table::runners(&runners));
        Ok(ExitCode::SUCCESS)
    }
}

impl DrainArgs {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let runner = Server::new(&self.server)?.drain(&self.id).await?;
        let (id, state) = (&runner.id, table::state_of(&runner));
        let rest = match runner.benchmark {
            Some(benchmark) => format!("and ends with benchmark {benchmark}"),
            None => "and has nothing to finish".to_owned(),
        };
        crate::print(&format!("runner {id} is {state}, {rest}"));
        Ok(ExitCode::SUCCESS)
    }
}
