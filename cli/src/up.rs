//! The whole service in one process: the API, one runner, and the database between them.
//!
//! They share nothing but the store, just as they would in two processes.

use std::process::ExitCode;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches, builder::Resettable};
use secrecy::{ExposeSecret, SecretString};
use store::DatabaseSettings;
use target::Egress;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{failure::Failure, listen, master_key};

/// `llm-bench up`
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    service: Service,
    #[command(flatten)]
    log: daemon::Log,
}

/// The settings of API, runner and database; what two of them name is one setting.
///
/// Other than the separate programs, this listens on loopback, and targets may be anywhere but
/// where they never may: it is for one person.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) api: api::Settings,
    pub(crate) runner: runner::Settings,
    pub(crate) database: DatabaseSettings,
}

impl Args for Service {
    fn augment_args(command: Command) -> Command {
        let command = api::Settings::augment_args(command);
        let command = DatabaseSettings::augment_args(command);
        let runner = runner::Settings::augment_args(Command::new("runner"));
        let known: Vec<_> = command.get_arguments().map(|arg| arg.get_id().clone()).collect();
        let own = runner.get_arguments().filter(|arg| !known.contains(arg.get_id()));
        command
            .args(own.cloned())
            .mut_arg("host", |arg| arg.default_value("127.0.0.1"))
            .mut_arg("egress_allow", |arg| arg.default_value(Egress::LOCAL))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Service {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self {
            api: api::Settings::from_arg_matches(matches)?,
            runner: runner::Settings::from_arg_matches(matches)?,
            database: DatabaseSettings::from_arg_matches(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Service {
    fn command() -> Command {
        Self::augment_args(Command::new("llm-bench").no_binary_name(true))
    }

    /// The settings of the environment, for a command that does not take them as options.
    pub(crate) fn of_environment() -> Result<Self, Failure> {
        Self::parse(daemon::without_empty_variables(Self::command()))
    }

    /// The settings of an empty environment: nothing that serves others is touched.
    pub(crate) fn of_its_own() -> Result<Self, Failure> {
        Self::parse(Self::command().mut_args(|arg| arg.env(Resettable::Reset)))
    }

    fn parse(command: Command) -> Result<Self, Failure> {
        let none: [&str; 0] = [];
        let matches = command.try_get_matches_from(none).and_then(|m| Self::from_arg_matches(&m));
        matches.map_err(|error| {
            let told = error.to_string();
            let line = told.trim_start_matches("error: ").lines().next().unwrap_or_default();
            Failure::Usage(line.to_owned())
        })
    }

    /// Serves on `listener` until `shutdown`; the run under way is then stopped and stored.
    pub(crate) async fn serve(
        mut self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let unset = |key: &SecretString| key.expose_secret().trim().is_empty();
        if self.database.master_key.as_ref().is_none_or(unset) {
            self.database.master_key = Some(master_key::of(&self.database.data_dir)?);
        }
        let store = self.database.open().await?;
        // Each must end when the other has failed: half a service serves nobody.
        let api = {
            let (store, shutdown) = (store.clone(), shutdown.clone());
            async move {
                let served = api::serve(self.api, store, listener, shutdown.clone()).await;
                shutdown.cancel();
                served
            }
        };
        let runner = {
            let shutdown = shutdown.clone();
            let data_dir = self.database.data_dir;
            async move {
                let at_once = daemon::Shutdown::at_once(shutdown.clone());
                let worked = runner::run(self.runner, store, &data_dir, at_once).await;
                if worked.is_err() {
                    shutdown.cancel();
                } else if !shutdown.is_cancelled() {
                    tracing::warn!("the runner has drained as asked; the API goes on without one");
                }
                worked
            }
        };
        let (api, runner) = tokio::join!(api, runner);
        api.and(runner)
    }
}

impl Up {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let Self { service, log } = self;
        log.start("info");
        let shutdown = daemon::shutdown_on_signal();
        let (listener, address) = listen(&service.api.host, service.api.port).await?;
        crate::print(&format!(
            "LLM Benchmark API at http://{address}, its documentation at http://{address}/docs; data in {}",
            service.database.data_dir.display()
        ));
        service.serve(listener, shutdown).await?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_it_listens_on_loopback_and_may_reach_local_servers() {
        let service = Service::of_its_own().unwrap();
        assert_eq!((service.api.host.as_str(), service.api.port), ("127.0.0.1", 8000));
        assert_eq!(service.api.egress_allow, "public,private,loopback");
        assert_eq!(service.runner.egress_allow, service.api.egress_allow);
    }

    #[test]
    fn one_option_sets_what_both_halves_name() {
        let words = ["--egress-allow", "public", "--runner-max-users", "7"];
        let matches = Service::command().get_matches_from(words);
        let service = Service::from_arg_matches(&matches).unwrap();
        assert_eq!(service.api.egress_allow, "public");
        assert_eq!(
            (service.runner.egress_allow.as_str(), service.runner.runner_max_users),
            ("public", Some(7))
        );
    }
}
