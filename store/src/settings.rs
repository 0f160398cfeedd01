//! Which database, under which names people set it.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{Aliases, Artifacts, Lease, Rules, Store, StoreError, Vault};

/// Where the data is. `DATABASE_URL` goes before `DB_*`; with neither, it is an SQLite file in
/// `DATA_DIR`.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseSettings {
    /// `sqlite:path` or `postgres://user:password@host:port/name`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<SecretString>,
    /// Host of a PostgreSQL server [default: localhost, if any other DB_* is set].
    #[arg(long, env = "DB_HOST")]
    pub db_host: Option<String>,
    /// Database on it [default: `benchmark_db`].
    #[arg(long, env = "DB_NAME")]
    pub db_name: Option<String>,
    /// User on it [default: postgres].
    #[arg(long, env = "DB_USER")]
    pub db_user: Option<String>,
    /// That user's password.
    #[arg(long, env = "DB_PASSWORD", hide_env_values = true)]
    pub db_password: Option<SecretString>,
    /// Port of the server [default: 5432].
    #[arg(long, env = "DB_PORT")]
    pub db_port: Option<String>,
    /// Folder of the SQLite database, of prompts and tokenizers, and of what is cached.
    #[arg(long, env = "DATA_DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Where the files of benchmarks are: `file:///folder` or `s3://bucket/prefix`, the same for
    /// API and runners [default: `artifacts` in `DATA_DIR`].
    #[arg(long, env = "ARTIFACTS_URL")]
    pub artifacts_url: Option<String>,
    /// Seals keys of targets in the database: 32 bytes in base64. Without it, such keys are
    /// refused.
    #[arg(long, env = "MASTER_KEY", hide_env_values = true)]
    pub master_key: Option<SecretString>,
    /// Seconds after which a silent runner has lost its run.
    #[arg(long, env = "LEASE_TTL_S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub lease_ttl_s: u64,
    /// Seconds that pass on top before others act on it.
    #[arg(long, env = "LEASE_GRACE_S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub lease_grace_s: u64,
    /// Seconds after a run in which no other begins on any of its targets [default: 5 with
    /// `PostgreSQL`, 0 with `SQLite`].
    #[arg(long, env = "TARGET_COOLDOWN_S", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub target_cooldown_s: Option<u64>,
    /// Other names of targets, as `NAME=TARGET` with commas between: runs against any of them wait for
    /// each other. Both are base URLs.
    #[arg(long, env = "TARGET_ALIASES", default_value = "", hide_default_value = true)]
    pub target_aliases: Aliases,
    /// Most benchmarks of one client that are queued or active; 0: any number.
    #[arg(long, env = "QUOTA_QUEUED", default_value_t = 1_000)]
    pub quota_queued: u32,
    /// Most benchmarks that one client submits in an hour; 0: any number.
    #[arg(long, env = "QUOTA_RUNS_PER_HOUR", default_value_t = 0)]
    pub quota_runs_per_hour: u32,
    /// Days after a run's end for which its events, per-second rows, histograms and requests are
    /// kept; 0: for ever.
    #[arg(long, env = "RETAIN_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=36_500))]
    pub retain_days: u32,
}

impl DatabaseSettings {
    /// The URL that these settings come to. It may hold a password.
    pub fn url(&self) -> Result<SecretString, StoreError> {
        if let Some(url) = set(self.database_url.as_ref().map(ExposeSecret::expose_secret)) {
            return Ok(url.into());
        }
        let password = set(self.db_password.as_ref().map(ExposeSecret::expose_secret));
        let [host, name, user, port] = [&self.db_host, &self.db_name, &self.db_user, &self.db_port]
            .map(|setting| set(setting.as_deref()));
        if [host, name, user, port, password].iter().all(Option::is_none) {
            let file = self.data_dir.join("benchmarks.db");
            let file = file.to_string_lossy().replace('%', "%25").replace('?', "%3F");
            return Ok(format!("sqlite://{file}").into());
        }
        let user = user.unwrap_or("postgres");
        let mut url = Url::parse("postgres://localhost")
            .map_err(|refused| StoreError::InvalidUrl(refused.into()))?;
        let invalid = |what: &str| {
            let refused = std::io::Error::other(format!("{what} is not valid"));
            StoreError::InvalidUrl(refused.into())
        };
        // The URL type encodes everything but the sign of encoding itself.
        let encoded = |text: &str| text.replace('%', "%25");
        url.set_host(Some(host.unwrap_or("localhost"))).map_err(|_| invalid("DB_HOST"))?;
        url.set_username(&encoded(user)).map_err(|()| invalid("DB_USER"))?;
        url.set_password(password.map(encoded).as_deref()).map_err(|()| invalid("DB_PASSWORD"))?;
        let port = port.unwrap_or("5432").parse().map_err(|_| invalid("DB_PORT"))?;
        url.set_port(Some(port)).map_err(|()| invalid("DB_PORT"))?;
        url.set_path(&encoded(name.unwrap_or("benchmark_db")));
        Ok(url.to_string().into())
    }

    /// What clients share the service by; less where it is `alone` on one machine.
    fn rules(&self, alone: bool) -> Rules {
        let cooldown_s = self.target_cooldown_s.unwrap_or(if alone { 0 } else { 5 });
        let set = |number: u32| Some(number).filter(|number| *number > 0);
        Rules {
            aliases: self.target_aliases.clone(),
            cooldown: Duration::from_secs(cooldown_s),
            quota_queued: set(self.quota_queued),
            quota_runs_per_hour: set(self.quota_runs_per_hour),
            retain: set(self.retain_days).map(|days| Duration::from_hours(24) * days),
        }
    }

    /// Opens the database.
    pub async fn open(&self) -> Result<Store, StoreError> {
        let vault = match set(self.master_key.as_ref().map(ExposeSecret::expose_secret)) {
            Some(key) => Vault::from_base64(key).map_err(StoreError::MasterKey)?,
            None => Vault::none(),
        };
        let lease = Lease {
            ttl: Duration::from_secs(self.lease_ttl_s),
            grace: Duration::from_secs(self.lease_grace_s),
        };
        let artifacts = match set(self.artifacts_url.as_deref()) {
            Some(url) => Artifacts::open(url)?,
            None => Artifacts::in_folder(&self.data_dir.join("artifacts"))?,
        };
        let url = self.url()?;
        let store = Store::open(url.expose_secret(), vault, lease).await?;
        let alone = url.expose_secret().starts_with("sqlite:");
        Ok(store.with_artifacts(artifacts).with_rules(self.rules(alone)))
    }
}

/// A setting that is there and not empty.
fn set(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        database: DatabaseSettings,
    }

    fn url(arguments: &[&str]) -> String {
        let arguments = std::iter::once("program").chain(arguments.iter().copied());
        let program = Program::parse_from(arguments);
        program.database.url().unwrap().expose_secret().to_owned()
    }

    #[test]
    fn with_no_database_named_it_is_sqlite_in_the_data_directory() {
        assert_eq!(url(&["--data-dir", "/x/100%"]), "sqlite:///x/100%25/benchmarks.db");
    }

    #[test]
    fn the_original_names_make_a_url_whatever_the_password_holds() {
        let named = ["--db-host", "db", "--db-name", "bench", "--db-user", "me"];
        let mut arguments = named.to_vec();
        arguments.extend(["--db-password", "p@ss/w%41rd:#", "--db-port", "6543"]);
        assert_eq!(url(&arguments), "postgres://me:p%40ss%2Fw%2541rd%3A%23@db:6543/bench");
        assert_eq!(url(&["--db-host", "db"]), "postgres://postgres@db:5432/benchmark_db");
    }

    #[test]
    fn the_url_goes_first() {
        assert_eq!(url(&["--db-host", "db", "--database-url", "sqlite:x.db"]), "sqlite:x.db");
    }

    #[test]
    fn settings_show_no_secrets() {
        let program =
            Program::parse_from(["program", "--db-password", "canary", "--master-key", "canary"]);
        assert!(!format!("{:?}", program.database).contains("canary"));
    }
}
