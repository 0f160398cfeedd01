//! What this server can do: asked once before the load, so that a target that cannot be measured
//! ends a run in seconds and with its own words.
//!
//! A list of models, then one short answer as the load will ask for it. Fields that not every server takes are tried
//! and left out where they are refused; what remains is what the load sends. It measures nothing.

mod failure;
mod taste;

use std::time::Duration;

use reqwest::Method;
use shared::{BenchmarkSpec, Endpoint, MaxTokens, MinTokens, ModelName, Output, ReasonCode};

use crate::{
    Control, TargetError,
    control::Model,
    request::{RequestMould, Said},
};
pub use failure::ProbeFailure;
use taste::Taste;

/// Most tokens that the probe asks for.
const MAX_TOKENS: u32 = 4;

/// Fewest tokens that the probe asks for, where it tries `min_tokens`.
const MIN_TOKENS: u32 = 2;

/// Longest wait for the list of models.
const MODELS_WITHIN: Duration = Duration::from_secs(10);

/// Longest wait for the short answer.
const CHAT_WITHIN: Duration = Duration::from_secs(30);

/// Longest wait for a connection.
const CONNECT_WITHIN: Duration = crate::control::CONNECT_WITHIN;

/// What a target takes, and what it calls itself.
///
/// That a field is taken means that it was not refused: a server may still ignore it, and the
/// samples tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `stream_options.include_usage`.
    pub stream_usage: bool,
    /// `ignore_eos`; false where the spec does not ask for it.
    pub ignore_eos: bool,
    /// `min_tokens`; false where the spec does not ask for it.
    pub min_tokens: bool,
    /// The model to ask for: the spec's, or the first that the target lists.
    pub model: String,
    /// Tokens of prompt and answer together that it takes, where it lists them with the model.
    pub context_tokens: Option<u64>,
    /// The `Server` header, at most 256 bytes.
    pub server: Option<String>,
    /// The server's name for its configuration, at most 256 bytes.
    pub system_fingerprint: Option<String>,
}

/// Finds out what the target can do.
///
/// Ends within the connect timeout (at most 10 s) and 30 s, whatever the target does.
pub async fn probe(control: &Control, spec: &BenchmarkSpec) -> Result<Capabilities, ProbeFailure> {
    let connect = seconds(spec.timeouts.connect_s.get()).min(CONNECT_WITHIN);
    let bound = connect + CHAT_WITHIN;
    let outcome = match tokio::time::timeout(bound, find_out(control, spec)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(TargetError::Timeout { within: bound }.into()),
    };
    outcome.map_err(|failure: ProbeFailure| failure.scrubbed(control))
}

async fn find_out(control: &Control, spec: &BenchmarkSpec) -> Result<Capabilities, ProbeFailure> {
    let found = find_model(control, spec).await?;
    let limit = seconds(spec.timeouts.first_token_s.get()).min(CHAT_WITHIN);
    let ask = Ask { control, spec, limit };

    let wanted = Fields::of(spec);
    let refusal = match ask.with(&found, wanted).await {
        Ok(taste) => return Ok(taste.complete(found, wanted)),
        Err(failure) if is_refusal(&failure) => failure,
        Err(failure) => return Err(failure),
    };
    // Something in the request is refused: the request as such, or fields of it.
    tracing::debug!(%refusal, "the target refuses the request with optional fields");
    let plain = ask.with(&found, Fields::default()).await?;
    let mut taken = Fields::default();
    for field in wanted.each() {
        match ask.with(&found, field).await {
            Ok(_) => taken = taken.and(field),
            Err(failure) if is_refusal(&failure) => (),
            Err(failure) => return Err(failure),
        }
    }
    Ok(plain.complete(found, taken))
}

/// The model to ask for, and what its list says beside it.
async fn find_model(control: &Control, spec: &BenchmarkSpec) -> Result<Capabilities, ProbeFailure> {
    let limit = seconds(spec.timeouts.total_s.get()).min(MODELS_WITHIN);
    let wanted = spec.model.as_ref().map(|ModelName(model)| model.as_str());
    let found = |model: &str, listed: Option<&Model>, server| Capabilities {
        model: model.to_owned(),
        context_tokens: listed.and_then(|listed| listed.max_model_len),
        server,
        ..Capabilities::default()
    };
    match (control.list(limit).await, wanted) {
        (Ok(list), None) => match list.models.first() {
            Some(first) => Ok(found(&first.id, Some(first), list.server)),
            None => Err(TargetError::NoModel.into()),
        },
        (Ok(list), Some(model)) => {
            let listed = list.models.iter().find(|listed| listed.id == model);
            if list.models.is_empty() || listed.is_some() {
                Ok(found(model, listed, list.server))
            } else {
                Err(not_listed(model, &list.models))
            }
        }
        // Some servers serve a model and list none.
        (
            Err(TargetError::Status { status: 404 | 405 | 501, .. } | TargetError::NotAList(_)),
            Some(model),
        ) => Ok(found(model, None, None)),
        (Err(TargetError::Status { status: status @ (404 | 405 | 501), .. }), None) => {
            Err(ProbeFailure::new(
                ReasonCode::ModelMissing,
                format!("no model was named, and the target does not list any (HTTP {status})"),
            ))
        }
        (Err(error), _) => Err(error.into()),
    }
}

fn not_listed(model: &str, listed: &[Model]) -> ProbeFailure {
    const NAMED: usize = 5;
    let names: Vec<_> = listed.iter().take(NAMED).map(|model| format!("`{}`", model.id)).collect();
    let more = match listed.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    ProbeFailure::new(
        ReasonCode::ModelMissing,
        format!(
            "the target does not list the model `{model}`; it lists {}{more}",
            names.join(", ")
        ),
    )
}

/// Whether the target refused the request's content, so that another one may pass.
fn is_refusal(failure: &ProbeFailure) -> bool {
    matches!(failure.status(), Some(400 | 422))
}

/// The fields that not every server takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fields {
    stream_usage: bool,
    ignore_eos: bool,
    min_tokens: bool,
}

impl Fields {
    /// Those that the load would send.
    fn of(spec: &BenchmarkSpec) -> Self {
        let (endpoint, output) = (spec.call.endpoint, &spec.output);
        let of_choices = matches!(endpoint, Endpoint::Chat | Endpoint::Completions);
        let generates = endpoint != Endpoint::Embeddings;
        Self {
            stream_usage: spec.call.stream && of_choices,
            ignore_eos: generates && output.ignore_eos,
            min_tokens: generates && (output.ignore_eos || output.min_tokens.get() > 0),
        }
    }

    /// Each of them alone.
    fn each(self) -> impl Iterator<Item = Self> {
        let none = Self::default();
        [
            self.stream_usage.then_some(Self { stream_usage: true, ..none }),
            self.ignore_eos.then_some(Self { ignore_eos: true, ..none }),
            self.min_tokens.then_some(Self { min_tokens: true, ..none }),
        ]
        .into_iter()
        .flatten()
    }

    fn and(self, other: Self) -> Self {
        Self {
            stream_usage: self.stream_usage || other.stream_usage,
            ignore_eos: self.ignore_eos || other.ignore_eos,
            min_tokens: self.min_tokens || other.min_tokens,
        }
    }

    fn taken_by(self, found: Capabilities) -> Capabilities {
        let Self { stream_usage, ignore_eos, min_tokens } = self;
        Capabilities { stream_usage, ignore_eos, min_tokens, ..found }
    }
}

/// A short request, and how long it may take.
struct Ask<'a> {
    control: &'a Control,
    spec: &'a BenchmarkSpec,
    limit: Duration,
}

impl Ask<'_> {
    async fn with(&self, found: &Capabilities, fields: Fields) -> Result<Taste, ProbeFailure> {
        let most = self.spec.output.max_tokens.get().min(MAX_TOKENS);
        let fewest = if fields.min_tokens { MIN_TOKENS.min(most) } else { 0 };
        let output = Output {
            max_tokens: MaxTokens::try_from(most).expect("lower than a valid one, and not 0"),
            min_tokens: MinTokens::try_from(fewest).expect("lower than max_tokens"),
            ignore_eos: fields.ignore_eos,
            of_dataset: false,
        };
        let can = fields.taken_by(found.clone());
        let mould = RequestMould::new(&self.spec.call, &output, &self.spec.sampling, &can);
        let body = mould.body(Said::Text("Count from one to ten."), (&output).into());
        let tasting = async {
            let Self { control, spec: BenchmarkSpec { call, .. }, limit } = *self;
            let path = call.endpoint.path();
            let response = control.send(Method::POST, path, Some(body), limit).await?;
            if call.stream {
                taste::taste(control, call.endpoint, response, limit).await
            } else {
                taste::whole(control, call.endpoint, response, limit).await
            }
        };
        match tokio::time::timeout(self.limit, tasting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(TargetError::Timeout { within: self.limit }.into()),
        }
    }
}

impl Taste {
    fn complete(self, found: Capabilities, fields: Fields) -> Capabilities {
        let Capabilities { server, .. } = &found;
        let server = self.server.or_else(|| server.clone());
        let system_fingerprint = self.system_fingerprint;
        Capabilities { server, system_fingerprint, ..fields.taken_by(found) }
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
