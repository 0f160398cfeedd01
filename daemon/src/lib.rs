//! How every process of ours begins and ends: settings, log, signals, what it counts.
//!
//! Knows nothing of what the process does in between.

mod measures;
mod shutdown;

use std::{ffi::OsStr, io::IsTerminal, process::ExitCode};

use clap::{Args, Parser, ValueEnum, builder::Resettable};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

pub use self::measures::{measures, tell, told};
pub use self::shutdown::Shutdown;
use self::shutdown::Signals;

/// How a process logs.
#[derive(Args, Clone, Debug)]
pub struct Log {
    /// How log lines are written. `RUST_LOG` says which.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Log {
    /// Starts the log on standard error; without `RUST_LOG`, `default_filter` says which lines.
    pub fn start(&self, default_filter: &str) {
        let filter =
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        // A log that is already there stays: two services may share this process.
        let _ = match self.log_format {
            LogFormat::Text => log.try_init(),
            LogFormat::Json => log.json().try_init(),
        };
    }
}

/// Reads `.env`, the environment and the command line, and sets up what TLS needs. Ends the
/// process, with words, where they make no sense.
pub fn begin<P: Parser>() -> P {
    // The file is a convenience: none is no error, and what it names twice is set already.
    let _ = dotenvy::dotenv();
    let _ = rustls::crypto::ring::default_provider().install_default();
    measures();
    let matches = without_empty_variables(P::command()).get_matches();
    P::from_arg_matches(&matches).unwrap_or_else(|refused| refused.exit())
}

/// Makes every empty environment variable of `command` an unset one: `.env` files of the original
/// service name variables without a value.
pub fn without_empty_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let is_empty = arg.get_env().is_some_and(is_empty_variable);
        if is_empty { arg.env(Resettable::Reset) } else { arg }
    });
    command.mut_subcommands(without_empty_variables)
}

fn is_empty_variable(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.to_string_lossy().trim().is_empty())
}

/// A token that is cancelled by SIGTERM or Ctrl-C; a second one ends the process at once.
///
/// # Panics
///
/// Outside a tokio runtime, or where the system has no signals.
pub fn shutdown_on_signal() -> CancellationToken {
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let mut signals = Signals::listen();
    tokio::spawn(async move {
        signals.next().await;
        token.cancel();
        signals.next().await;
        std::process::exit(130);
    });
    shutdown
}

/// Whether a process did what it was started for; a failure is told on standard error, with its
/// causes, in one line.
pub fn end<E: Into<Box<dyn std::error::Error>>>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", causes(error.into().as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, in one line.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        cause = deeper.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[derive(Debug, Parser)]
    struct Options {
        #[arg(long, env = "PATH_THAT_IS_UNSET_HERE")]
        unset: Option<u32>,
        #[arg(long, env = "PATH")]
        path: Option<String>,
    }

    #[test]
    fn only_empty_variables_lose_their_names() {
        let command = without_empty_variables(Options::command());
        let named = |id: &str| {
            let arg = command.get_arguments().find(|arg| arg.get_id() == id).unwrap();
            arg.get_env().is_some()
        };
        assert!(named("unset") && named("path"));
        assert!(!is_empty_variable(OsStr::new("PATH")));
    }

    #[test]
    fn causes_are_told_once_each() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the database is out of reach")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = Outer(std::io::Error::other("refused"));
        assert_eq!(causes(&error), "the database is out of reach: refused");
    }
}
