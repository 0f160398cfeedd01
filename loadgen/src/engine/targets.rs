//! The servers of a run: each asked before its load, and then each in its turn.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use std::time::Duration;

use secrecy::SecretString;
use shared::{BenchmarkSpec, ModelName, TargetUrl};
use target::{
    Control, Egress,
    client::Client,
    probe::{Capabilities, ProbeFailure, probe},
    scrape::Scrape,
};
use tokio::task::JoinSet;

use super::prepare::{PrepareError, Settings};
use crate::metrics::Server;

/// One server under test.
pub(crate) struct Target {
    pub(crate) url: TargetUrl,
    /// Its `Server` header.
    pub(crate) server: Option<String>,
    pub(crate) client: Arc<Client>,
}

impl From<&Target> for Server {
    fn from(Target { url, server, .. }: &Target) -> Self {
        Self { url: url.clone(), name: server.clone() }
    }
}

/// The servers of a run, at least one.
pub(crate) struct Targets {
    each: Vec<Target>,
    /// Requests of a closed loop that have had their turn.
    turns: AtomicU64,
}

/// What was found out before the load.
pub(super) struct Found {
    pub(super) targets: Targets,
    /// What all of them can do; the names are those of the first.
    pub(super) capabilities: Capabilities,
    /// A way to what the first says of itself; none: it says nothing, or nobody asks.
    pub(super) scrape: Option<Scrape>,
}

/// What every server is asked with.
struct Question {
    spec: BenchmarkSpec,
    key: Option<SecretString>,
    egress: Egress,
    /// Whose the load's requests are, in their words.
    label: String,
}

impl Targets {
    /// Asks every server of `spec` what it can do: the first, then all others at once.
    ///
    /// All are sent the same requests: the others must serve the first one's model, and a field
    /// that one of them refuses is sent to none.
    pub(super) async fn find(
        spec: &BenchmarkSpec,
        key: Option<&SecretString>,
        settings: &Settings,
    ) -> Result<Found, PrepareError> {
        let mut question = Question {
            spec: spec.clone(),
            key: key.cloned(),
            egress: settings.egress.clone(),
            label: settings.label.clone(),
        };
        let (first, mut capabilities, control) =
            question.ask(&spec.url).await.map_err(|error| named(error, &spec.url, spec))?;
        let scrape = if spec.scrape { Scrape::find(&control).await } else { None };

        question.spec.model = Some(ModelName(capabilities.model.clone()));
        let question = Arc::new(question);
        let mut asking = JoinSet::new();
        for (nth, url) in spec.urls.iter().cloned().enumerate() {
            let question = Arc::clone(&question);
            asking.spawn(async move {
                let asked = question.ask(&url).await;
                asked.map_err(|error| named(error, &url, &question.spec)).map(|asked| (nth, asked))
            });
        }
        let mut further = Vec::with_capacity(spec.urls.len());
        while let Some(asked) = asking.join_next().await {
            let (nth, (target, can, _)) = asked.expect("asking a server does not panic")?;
            capabilities.stream_usage &= can.stream_usage;
            capabilities.ignore_eos &= can.ignore_eos;
            capabilities.min_tokens &= can.min_tokens;
            further.push((nth, target));
        }
        further.sort_by_key(|(nth, _)| *nth);
        let further = further.into_iter().map(|(_, target)| target);
        let each = std::iter::once(first).chain(further).collect();
        Ok(Found { targets: Self { each, turns: AtomicU64::new(0) }, capabilities, scrape })
    }

    pub(crate) fn each(&self) -> &[Target] {
        &self.each
    }

    /// Whether there is more than one.
    pub(super) fn are_several(&self) -> bool {
        self.each.len() > 1
    }

    /// Whose turn it is with an open loop's request `nth`: its number alone decides, so that any
    /// number of threads and processes sends each request to the same server.
    pub(super) fn scheduled(&self, nth: u64) -> u32 {
        self.of(nth)
    }

    /// Whose turn it is with the next request of a closed loop.
    ///
    /// One count for all users and threads, so that of all requests sent no server gets two more
    /// than another. User and number would not do: how many requests each user sends, its answers
    /// decide, and what is uneven in that would add up over the users. So which of its requests
    /// goes where is as little repeatable as when it is sent; how many go where is the same always.
    pub(super) fn next(&self) -> u32 {
        self.of(self.turns.fetch_add(1, Relaxed))
    }

    fn of(&self, turn: u64) -> u32 {
        let count = self.each.len() as u64;
        u32::try_from(turn % count).expect("fewer servers than that")
    }
}

impl Question {
    async fn ask(&self, url: &TargetUrl) -> Result<(Target, Capabilities, Control), PrepareError> {
        let Self { spec, key, egress, label } = self;
        let key = key.as_ref();
        let control = Control::new(egress, url, key)
            .and_then(|control| control.speaking(spec.call.http_version))
            .map_err(ProbeFailure::from)?;
        let control = control.sending(spec.call.extra_headers.as_ref());
        let connect_timeout = Duration::from_secs_f64(spec.timeouts.connect_s.get());
        let client = if spec.call.http_version.is_1() {
            None
        } else {
            // First: the probe's words would be a reader's who is spoken to in another language.
            let client = Client::new(url, &spec.call, key, egress.clone(), connect_timeout).await?;
            client.check_version().await?;
            Some(client)
        };
        let capabilities = probe(&control, spec).await?;
        let client = match client {
            Some(client) => client,
            None => Client::new(url, &spec.call, key, egress.clone(), connect_timeout).await?,
        };
        let client = client.labelled(label)?;
        let client = if spec.fresh_connections { client.with_fresh_connections() } else { client };
        let (url, server) = (url.clone(), capabilities.server.clone());
        Ok((Target { url, server, client: Arc::new(client) }, capabilities, control))
    }
}

/// The error with the name of its server, where there are several.
fn named(error: PrepareError, url: &TargetUrl, spec: &BenchmarkSpec) -> PrepareError {
    if spec.urls.is_empty() {
        return error;
    }
    PrepareError::Target { url: url.clone(), error: Box::new(error) }
}
