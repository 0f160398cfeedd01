//! What the environment and the command line say, read and judged once, at start.
//!
//! Names and meanings are the original service's where it had them. An empty variable is an unset
//! one, and a value outside its limits stops the start instead of being bent into shape.

use std::fmt::Display;

use secrecy::{ExposeSecret, SecretString};
use shared::{
    DurationS, ModelName, OutOfRange, PromptSource, SpawnRate, TargetUrl, TokenizerSource, Users,
    request::Defaults,
};

/// What people leave in `API_AUTH_TOKEN` when they copy an example; it is no key.
const PLACEHOLDER_KEY: &str = "your_api_token_here";

/// What the API needs to know beside its database.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "these comments are what --help says")]
pub struct Settings {
    /// Address to listen on.
    #[arg(long, env = "HOST", default_value = "0.0.0.0")]
    pub host: String,
    /// Port to listen on; 0 takes a free one and logs it.
    #[arg(long, env = "PORT", default_value_t = 8000)]
    pub port: u16,

    /// Ask clients for API_USERNAME and API_PASSWORD: true or false.
    #[arg(
        long,
        env = "BASIC_AUTH",
        default_value = "false",
        value_name = "BOOL",
        value_parser = flag("BASIC_AUTH"),
        num_args = 0..=1,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub basic_auth: bool,
    /// User name for BASIC_AUTH.
    #[arg(long, env = "API_USERNAME")]
    pub api_username: Option<String>,
    /// Password for BASIC_AUTH.
    #[arg(long, env = "API_PASSWORD", hide_env_values = true)]
    pub api_password: Option<SecretString>,
    /// Bearer tokens that clients may use, separated by commas.
    #[arg(long, env = "API_TOKENS", hide_env_values = true, value_delimiter = ',')]
    pub api_tokens: Vec<SecretString>,

    /// Key for targets whose request names none. Needs MASTER_KEY.
    ///
    /// A benchmark's target gets it whatever the target is; `generate` and `model` send it to
    /// LOCUST_HOST alone.
    #[arg(long, env = "API_AUTH_TOKEN", hide_env_values = true)]
    pub api_auth_token: Option<SecretString>,
    /// Target of requests that name none.
    #[arg(long, env = "LOCUST_HOST", value_parser = text::<TargetUrl>)]
    pub locust_host: Option<TargetUrl>,
    /// Model of requests that name none; unset: the first that the target lists.
    #[arg(long, env = "LOCUST_MODEL", value_parser = model)]
    pub locust_model: Option<ModelName>,
    /// Tokenizer of requests that name none; unset: none.
    #[arg(long, env = "LOCUST_TOKENIZER", value_parser = text::<TokenizerSource>)]
    pub locust_tokenizer: Option<TokenizerSource>,
    /// Prompts of requests that name none; unset: the embedded set.
    #[arg(long, env = "LOCUST_DATASET", value_parser = text::<PromptSource>)]
    pub locust_dataset: Option<PromptSource>,
    /// Virtual users of requests that name none, from 1 to 640000; unset: 100.
    #[arg(
        long,
        env = "LOCUST_USERS",
        value_parser = limited::<Users>("LOCUST_USERS", Users::MIN, Users::MAX)
    )]
    pub locust_users: Option<Users>,
    /// Users started a second where a request does not say, from 1 to 640000; unset: 100.
    #[arg(
        long,
        env = "LOCUST_SPAWN_RATE",
        value_parser = limited::<SpawnRate>("LOCUST_SPAWN_RATE", SpawnRate::MIN, SpawnRate::MAX)
    )]
    pub locust_spawn_rate: Option<SpawnRate>,
    /// Seconds of load where a request does not say, from 1 to 3600; unset: 60.
    #[arg(
        long,
        env = "LOCUST_DURATION",
        value_parser = limited::<DurationS>("LOCUST_DURATION", DurationS::MIN, DurationS::MAX)
    )]
    pub locust_duration: Option<DurationS>,

    /// Let POST benchmarks/run answer when the run has ended, as the original service did.
    #[arg(
        long,
        env = "COMPAT_BLOCKING_RUN",
        default_value = "false",
        value_name = "BOOL",
        value_parser = flag("COMPAT_BLOCKING_RUN"),
        num_args = 0..=1,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub compat_blocking_run: bool,
    /// Which addresses may be targets: `public`, `private`, `loopback`, networks with ports such
    /// as `10.0.0.0/8:8000-8999`, host patterns such as `*.svc.cluster.local`.
    #[arg(long, env = "EGRESS_ALLOW", default_value = target::Egress::PUBLIC)]
    pub egress_allow: String,
    /// Origins whose pages may call the API from a browser, separated by commas; unset: none.
    #[arg(long, env = "CORS_ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub cors_origins: Vec<String>,
}

impl Default for Settings {
    /// The settings of an empty environment.
    fn default() -> Self {
        Self {
            host: "0.0.0.0".to_owned(),
            port: 8000,
            basic_auth: false,
            api_username: None,
            api_password: None,
            api_tokens: Vec::new(),
            api_auth_token: None,
            locust_host: None,
            locust_model: None,
            locust_tokenizer: None,
            locust_dataset: None,
            locust_users: None,
            locust_spawn_rate: None,
            locust_duration: None,
            compat_blocking_run: false,
            egress_allow: target::Egress::PUBLIC.to_owned(),
            cors_origins: Vec::new(),
        }
    }
}

impl Settings {
    /// What a request gets for the fields it leaves out.
    pub fn defaults(&self) -> Defaults {
        let original = Defaults::default();
        Defaults {
            url: self.locust_host.clone(),
            model: self.locust_model.clone(),
            tokenizer: self.locust_tokenizer.clone(),
            dataset: self.locust_dataset.clone().unwrap_or(original.dataset),
            users: self.locust_users.unwrap_or(original.users),
            spawn_rate: self.locust_spawn_rate.unwrap_or(original.spawn_rate),
            duration_s: self.locust_duration.unwrap_or(original.duration_s),
        }
    }

    /// The key for targets whose request names none.
    pub fn default_key(&self) -> Option<SecretString> {
        let key = self.api_auth_token.as_ref()?.expose_secret().trim();
        (!key.is_empty() && key != PLACEHOLDER_KEY).then(|| key.into())
    }
}

/// What the binary `api` is started with.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "api", version, about = "The REST API of LLM Benchmark API")]
pub struct Options {
    /// What the API needs to know beside its database.
    #[command(flatten)]
    pub settings: Settings,
    /// Where the database is.
    #[command(flatten)]
    pub database: store::DatabaseSettings,
    /// How it logs.
    #[command(flatten)]
    pub log: daemon::Log,
}

/// Python's way of writing booleans, and everybody else's.
fn flag(variable: &'static str) -> impl Fn(&str) -> Result<bool, String> + Clone + Send + Sync {
    move |written| match written.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{variable} must be true or false, not `{written}`")),
    }
}

fn text<T: TryFrom<String, Error: Display>>(written: &str) -> Result<T, String> {
    T::try_from(written.trim().to_owned()).map_err(|refused| refused.to_string())
}

fn model(written: &str) -> Result<ModelName, String> {
    let chars = written.chars().count();
    if chars > ModelName::MAX_CHARS {
        let most = ModelName::MAX_CHARS;
        return Err(format!("LOCUST_MODEL must be at most {most} characters long, not {chars}"));
    }
    Ok(ModelName(written.trim().to_owned()))
}

fn origin(written: &str) -> Result<String, String> {
    let written = written.trim().trim_end_matches('/');
    let known =
        url::Url::parse(written).is_ok_and(|url| url.origin().ascii_serialization() == written);
    if known || written.is_empty() {
        Ok(written.to_owned())
    } else {
        Err(format!("CORS_ORIGINS takes origins such as https://ui.example, not `{written}`"))
    }
}

fn limited<T>(
    variable: &'static str,
    min: u32,
    max: u32,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<u32, Error = OutOfRange>,
{
    move |written| {
        let number = written.trim().parse().map_err(|_| {
            format!("{variable} must be a whole number between {min} and {max}, not `{written}`")
        })?;
        T::try_from(number).map_err(|mut refused| {
            refused.field = variable;
            refused.to_string()
        })
    }
}

#[cfg(test)]
mod tests;
