//! What the environment tells a runner.

use std::path::Path;

use clap::Args;
use secrecy::SecretString;
use shared::Labels;
use target::Egress;

/// Settings of a runner; each is an environment variable, and a flag of `runner`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Addresses that targets may have: a comma list of public, private, loopback, networks
    /// (10.0.0.0/8:8000-8999) and host patterns (*.svc.cluster.local).
    #[arg(long, env = "EGRESS_ALLOW", default_value = Egress::PUBLIC)]
    pub egress_allow: String,
    /// Most users this runner takes in one run; left out: as many as the self-test finds and open
    /// files allow, at most 10000.
    #[arg(long, env = "RUNNER_MAX_USERS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub runner_max_users: Option<u32>,
    /// Measure at start what this machine bears, for about a second: true or false.
    #[arg(
        long,
        env = "SELF_TEST",
        default_value = "true",
        value_name = "BOOL",
        value_parser = clap::builder::BoolishValueParser::new(),
        num_args = 0..=1,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub self_test: bool,
    /// What this runner is known by, name=value with commas between them (zone=eu-1,network=lab):
    /// it also takes benchmarks that ask for some of these.
    #[arg(long, env = "RUNNER_LABELS", default_value_t, hide_default_value = true)]
    pub runner_labels: Labels,
    /// Threads that drive load; left out: one for each core but one.
    #[arg(long, env = "LOAD_THREADS", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub load_threads: Option<u32>,
    /// Seconds between two checkpoints of the requests' rows: what a crash may cost of them.
    #[arg(long, env = "CHECKPOINT_S", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub checkpoint_s: u32,
    /// Token for the Hugging Face hub.
    #[arg(long, env = "HUGGINGFACE_TOKEN", hide_env_values = true)]
    pub huggingface_token: Option<SecretString>,
    /// The Hugging Face hub.
    #[arg(long, env = "HF_ENDPOINT", default_value = loadgen::Hub::PUBLIC)]
    pub hf_endpoint: String,
}

impl Settings {
    /// What the instrument needs of these; `own` are addresses of ours that no target may
    /// have.
    ///
    /// # Errors
    ///
    /// When `EGRESS_ALLOW` or `HF_ENDPOINT` cannot be read.
    pub fn instrument(
        &self,
        own: Vec<(String, u16)>,
        data_dir: &Path,
        runner: &str,
    ) -> anyhow::Result<loadgen::Settings> {
        Ok(loadgen::Settings {
            egress: Egress::new(&self.egress_allow, own)?,
            data_dir: data_dir.to_owned(),
            hub: loadgen::Hub::new(&self.hf_endpoint, self.huggingface_token.clone(), data_dir)?,
            load_threads: self.load_threads,
            driver: loadgen::Driver::default(),
            runner: runner.to_owned(),
            shard: loadgen::Shard::WHOLE,
            label: String::new(),
        })
    }
}
