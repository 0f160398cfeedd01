//! The instrument, driven as a runner drives it.

use loadgen::{Control, Driver, Handicap, Hub, Settings, Snapshot, prepare};
use serde_json::{Value, json};
use shared::{
    Report, Seed,
    request::{Defaults, Fields, NewBenchmark},
};
use target::Egress;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::null_target::NullTarget;

/// A run of the instrument; its figures are of its own report.
#[derive(Clone, Debug)]
pub struct Run {
    /// The fields of its load.
    pub load: Value,
    /// Tokens of an answer.
    pub tokens: u32,
    /// What moves the bytes.
    pub driver: Driver,
    /// How many threads do.
    pub load_threads: u32,
    /// What they are to suffer.
    pub handicap: Handicap,
    /// Whether each request's row is written to a file, with the times of its tokens.
    pub recording: bool,
    /// Whether a tokenizer counts what comes back.
    pub counting: bool,
}

/// A tokenizer to which every word is a token.
const TOKENIZER: &str = r#"{
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
    "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
    "decoder": null,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
}"#;

impl Run {
    /// `users` who ask for `tokens` again and again, for `duration_s`.
    pub fn of_users(users: u32, tokens: u32, duration_s: u32) -> Self {
        let load = json!({"user": users, "spawnrate": 10_000, "duration": duration_s});
        let handicap = Handicap::default();
        let driver = Driver::default();
        let (recording, counting) = (false, false);
        Self { load, tokens, driver, load_threads: 1, handicap, recording, counting }
    }

    /// The report of it.
    pub fn against(&self, target: &NullTarget) -> anyhow::Result<Report> {
        let url = format!("http://{}", target.address());
        let asked = json!({
            "url": url, "max_tokens": self.tokens, "min_tokens": 0, "grace": 120,
            "record_tokens": self.recording,
        });
        let mut fields: Fields = serde_json::from_value(asked)?;
        fields.extend(serde_json::from_value::<Fields>(self.load.clone())?);
        let data_dir = tempfile::tempdir()?;
        if self.counting {
            std::fs::write(data_dir.path().join("tokenizer.json"), TOKENIZER)?;
            fields.insert("tokenizer".to_owned(), "tokenizer.json".into());
        }
        let new = NewBenchmark::parse(&fields, &Defaults::default(), Seed::try_from(1)?)
            .map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        let settings = Settings {
            egress: Egress::new(Egress::LOCAL, Vec::new())?,
            hub: Hub::new(Hub::PUBLIC, None, data_dir.path())?,
            data_dir: data_dir.path().to_owned(),
            load_threads: Some(self.load_threads),
            driver: self.driver,
            runner: String::new(),
            shard: loadgen::Shard::WHOLE,
            label: String::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(async {
            let prepared = prepare(new.spec, None, &settings).await?;
            let control = Control {
                stop: CancellationToken::new(),
                snapshots: watch::Sender::new(Snapshot::default()),
            };
            let mut prepared = prepared.under(self.handicap);
            if self.recording {
                prepared = prepared.recording_to(tempfile::tempfile()?);
            }
            anyhow::Ok(prepared.run(control).await)
        })?;
        let requests = &outcome.report.requests;
        let clean = requests.failed == 0 && requests.cancelled == 0;
        anyhow::ensure!(clean, "{requests:?} {:?}", outcome.report.failures);
        let rows = outcome.report.recorded.as_ref().map_or(0, |recorded| recorded.rows);
        let whole = !self.recording || rows == requests.started;
        anyhow::ensure!(whole, "{rows} rows of {} requests", requests.started);
        Ok(outcome.report)
    }
}

/// CPU time of the load thread for each of `events`, in us.
#[expect(clippy::cast_precision_loss, reason = "a count of events")]
pub fn cost_us(report: &Report, events: u64) -> f64 {
    share(report) * report.window.measured_s * 1e6 / events.max(1) as f64
}

/// The busiest load thread's share of a core.
pub fn share(report: &Report) -> f64 {
    report.validity.cpu_share.unwrap_or(f64::NAN)
}
