use clap::{CommandFactory, FromArgMatches, Parser, builder::Resettable};

use super::*;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    settings: Settings,
}

fn read(arguments: &[&str]) -> Result<Settings, String> {
    let arguments = std::iter::once("program").chain(arguments.iter().copied());
    // The developer's own environment stays out of it.
    let command = Program::command().mut_args(|arg| arg.env(Resettable::Reset));
    let matches = command.try_get_matches_from(arguments).map_err(|error| error.to_string())?;
    Ok(Program::from_arg_matches(&matches).unwrap().settings)
}

#[test]
fn an_empty_environment_gives_the_defaults() {
    assert_eq!(format!("{:?}", read(&[]).unwrap()), format!("{:?}", Settings::default()));
    let defaults = Settings::default().defaults();
    assert_eq!((defaults.users.get(), defaults.duration_s.get()), (100, 60));
    assert!(defaults.url.is_none());
}

#[test]
fn values_out_of_their_limits_name_variable_and_limit() {
    for (argument, value, expected) in [
        ("--locust-users", "0", "LOCUST_USERS must be between 1 and 640000, not 0"),
        ("--locust-users", "many", "LOCUST_USERS must be a whole number between 1 and 640000"),
        (
            "--locust-spawn-rate",
            "640001",
            "LOCUST_SPAWN_RATE must be between 1 and 640000, not 640001",
        ),
        ("--locust-duration", "3601", "LOCUST_DURATION must be between 1 and 3600, not 3601"),
        ("--locust-host", "ftp://x", "url must start with http:// or https://, not ftp:"),
        ("--cors-origins", "*", "CORS_ORIGINS takes origins such as https://ui.example, not `*`"),
        ("--basic-auth", "perhaps", "BASIC_AUTH must be true or false, not `perhaps`"),
        ("--port", "70000", "70000 is not in 0..=65535"),
    ] {
        let refused = read(&[&format!("{argument}={value}")]).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
        assert!(refused.contains(argument), "{refused}");
    }
}

#[test]
fn booleans_are_read_as_python_writes_them() {
    for (written, expected) in [("True", true), ("true", true), ("1", true), ("False", false)] {
        assert_eq!(read(&["--basic-auth", written]).unwrap().basic_auth, expected);
        assert_eq!(
            read(&["--compat-blocking-run", written]).unwrap().compat_blocking_run,
            expected
        );
    }
    assert!(read(&["--basic-auth"]).unwrap().basic_auth);
}

#[test]
fn lists_are_split_at_commas() {
    let settings = read(&["--cors-origins", "https://a.example/,http://localhost:5173"]).unwrap();
    assert_eq!(settings.cors_origins, ["https://a.example", "http://localhost:5173"]);
    assert_eq!(read(&["--api-tokens", "one,two"]).unwrap().api_tokens.len(), 2);
}

#[test]
fn the_example_s_placeholder_is_no_key() {
    let key = |key: &str| read(&["--api-auth-token", key]).unwrap().default_key();
    assert!(key(PLACEHOLDER_KEY).is_none());
    assert!(key(" ").is_none());
    assert_eq!(key("sk-real").unwrap().expose_secret(), "sk-real");
}

#[test]
fn secrets_are_neither_in_debug_nor_in_help() {
    let secrets =
        ["--api-password", "canary", "--api-tokens", "canary", "--api-auth-token", "canary"];
    assert!(!format!("{:?}", read(&secrets).unwrap()).contains("canary"));
    for arg in Program::command().get_arguments() {
        let is_secret =
            ["api_password", "api_tokens", "api_auth_token"].contains(&arg.get_id().as_str());
        assert_eq!(arg.is_hide_env_values_set(), is_secret, "{}", arg.get_id());
    }
}

#[test]
fn every_setting_has_a_variable_and_an_explanation() {
    for arg in Program::command().get_arguments() {
        assert!(arg.get_env().is_some(), "{}", arg.get_id());
        assert!(arg.get_help().is_some(), "{}", arg.get_id());
    }
}
