//! A request for a benchmark, as command line options.
//!
//! The options are made from the contract's own list of fields, so there is one for each, and what
//! is given goes through the contract's own gate: the command line has no limits of its own.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use serde_json::Value;
use shared::request::{FIELDS, Field, Fields, Kind};

/// The fields that were given, and only those.
#[derive(Debug, Default)]
pub(crate) struct Asked(pub(crate) Fields);

impl Args for Asked {
    fn augment_args(command: Command) -> Command {
        FIELDS.iter().fold(command, |command, field| command.arg(option(field)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn option(field: &Field) -> Arg {
    let help = format!("{} [default: {}]", field.doc.trim_end_matches('.'), field.default);
    let option = Arg::new(field.name)
        // Leaked: the parser wants names that live as long as the process, and so do these.
        .long(&*field.name.replace('_', "-").leak())
        .help(help)
        .help_heading("Benchmark");
    let option = match field.kind {
        // `--ignore-eos` alone means true.
        Kind::Flag => option.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Integer { .. } | Kind::Signed { .. } | Kind::Number { .. } => {
            option.value_name("N").allow_negative_numbers(true)
        }
        Kind::Time => option.value_name("TIME"),
        Kind::Text { .. } => option.value_name("TEXT"),
        Kind::Texts { .. } => option.value_name("TEXT,TEXT"),
        Kind::Labels { .. } => option.value_name("NAME=VALUE,NAME=VALUE"),
        Kind::Object { .. } => option.value_name("JSON"),
    };
    match field.name {
        "url" => option.value_name("URL"),
        "urls" => option.value_name("URL,URL"),
        "user" => option.alias("users"),
        "spawnrate" => option.alias("spawn-rate"),
        "api_key" => option.value_name("KEY").env("API_AUTH_TOKEN").hide_env_values(true),
        _ => option,
    }
    .action(ArgAction::Set)
}

impl FromArgMatches for Asked {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut asked = Self::default();
        asked.update_from_arg_matches(matches)?;
        Ok(asked)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for Field { name, .. } in FIELDS {
            if let Some(given) = matches.get_one::<String>(name) {
                self.0.insert((*name).to_owned(), Value::String(given.clone()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        asked: Asked,
    }

    fn asked(words: &[&str]) -> Fields {
        CommandLine::parse_from([&["run"], words].concat()).asked.0
    }

    #[test]
    fn every_field_has_an_option_that_fills_it() {
        for field in FIELDS {
            let option = format!("--{}=x", field.name.replace('_', "-"));
            assert_eq!(asked(&[&option]).get(field.name), Some(&Value::from("x")), "{option}");
        }
    }

    #[test]
    fn what_is_not_given_is_not_sent() {
        let given = asked(&["--url", "http://x", "--user", "-5", "--ignore-eos"]);
        let names: Vec<_> = given.keys().filter(|name| *name != "api_key").collect();
        assert_eq!(names, ["ignore_eos", "url", "user"]);
        assert_eq!(given["user"], "-5", "the contract refuses it, with the limit");
        assert_eq!(given["ignore_eos"], "true");
    }
}
