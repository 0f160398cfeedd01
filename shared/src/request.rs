//! What a client asks for: flat fields, from a query string, a form or a JSON object alike.
//!
//! All three meet the same gate here, so they cannot disagree about a limit. [`FIELDS`] is also
//! what the published contract is written from.

mod call;
mod dataset;
mod edit;
mod fields;
mod load;
mod objectives;
mod reader;
mod runners;
mod urls;
mod waiting;

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Value, json};

use self::reader::Reader;
pub use self::{
    edit::Edit,
    fields::{FIELDS, Field, Kind},
};
use crate::{
    BenchmarkSpec, DurationS, FieldError, Labels, MaxTokens, MinTokens, ModelName, OutOfRange,
    Output, PromptSource, Sampling, Seed, SpawnRate, TargetUrl, Timeouts, TokenizerSource, Users,
    Waiting,
};

/// Field names and values as they came, before anything is known of them. Values from query
/// strings and forms are JSON strings.
pub type Fields = BTreeMap<String, Value>;

/// Most characters of notes.
pub const MAX_NOTES_CHARS: usize = 10_000;
/// Most characters of a target's key.
pub const MAX_API_KEY_CHARS: usize = 4_096;

/// What a request gets for the fields it leaves out.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The target; none: a request must name one.
    pub url: Option<TargetUrl>,
    /// The model; none: the first that the target lists.
    pub model: Option<ModelName>,
    /// The tokenizer.
    pub tokenizer: Option<TokenizerSource>,
    /// The prompts.
    pub dataset: PromptSource,
    /// Virtual users.
    pub users: Users,
    /// Users started a second.
    pub spawn_rate: SpawnRate,
    /// Seconds in which requests are sent.
    pub duration_s: DurationS,
}

impl Default for Defaults {
    /// The original service's defaults, but for the target and the prompts: no third party's
    /// endpoint or data set is a default here.
    fn default() -> Self {
        Self {
            url: None,
            model: None,
            tokenizer: None,
            dataset: PromptSource::Embedded,
            users: valid(100),
            spawn_rate: valid(100),
            duration_s: valid(60),
        }
    }
}

/// A default written in this file; a test reads every one.
fn valid<Raw, T: TryFrom<Raw, Error = OutOfRange>>(raw: Raw) -> T {
    T::try_from(raw).expect("defaults are within their limits")
}

/// A request for a benchmark, whole and valid.
#[derive(Debug)]
pub struct NewBenchmark {
    /// Everything that decides what the run does.
    pub spec: BenchmarkSpec,
    /// The client's notes; empty: none.
    pub notes: String,
    /// Whether the client marks it.
    pub favorite: bool,
    /// How it waits in the queue.
    pub waiting: Waiting,
    /// The target's key.
    pub api_key: Option<SecretString>,
    /// What one that waits or runs must have been asked for to be the answer in its place, written
    /// out; none: it is one more in any case.
    pub dedupe: Option<String>,
}

impl NewBenchmark {
    /// Reads a request; what it leaves out comes from `defaults`, its seed from `fresh_seed`.
    ///
    /// # Errors
    ///
    /// Every field that is unknown or out of its limits, each with the limit.
    pub fn parse(
        given: &Fields,
        defaults: &Defaults,
        fresh_seed: Seed,
    ) -> Result<Self, Vec<FieldError>> {
        let mut read = Reader { given, errors: Vec::new() };
        read.refuse_unknown();

        let url = match read.parsed::<TargetUrl>("url") {
            Some(url) => Some(url),
            None if read.text("url").is_some() => None,
            None => defaults.url.clone().or_else(|| {
                read.errors.push(FieldError::new("url", "url is required: the target's base URL"));
                None
            }),
        };
        let urls = read.urls(url.as_ref());
        let call = read.call();
        let max_tokens: MaxTokens = read.number("max_tokens", valid(128));
        let shortest_default = valid(20.min(max_tokens.get()));
        let min_tokens: MinTokens = read.number("min_tokens", shortest_default);
        read.ordered("min_tokens", &min_tokens.get(), "max_tokens", &max_tokens.get());
        let load = load::read(&mut read, defaults);
        let model = read.text_within("model", ModelName::MAX_CHARS).map(ModelName);
        let tokenizer = read.parsed("tokenizer").or_else(|| defaults.tokenizer.clone());
        let dataset = read.dataset(defaults, &load);
        let synthetic = read.synthetic(&dataset, tokenizer.as_ref());
        let turns = read.turns(&load, &dataset);
        let ignore_eos = read.flag("ignore_eos", false);
        let of_dataset = read.lengths_of_dataset(&dataset);
        let output = Output { max_tokens, min_tokens, ignore_eos, of_dataset };
        let sampling = Sampling {
            temperature: read.number("temperature", valid(0.9)),
            top_p: read.number("top_p", valid(0.9)),
        };
        let timeouts = Timeouts {
            connect_s: read.number("timeout_connect", valid(10.0)),
            first_token_s: read.number("timeout_first_token", valid(120.0)),
            idle_s: read.number("timeout_idle", valid(60.0)),
            total_s: read.number("timeout_total", valid(600.0)),
        };
        let seed = read.number("seed", fresh_seed);
        let notes = read.text_within("notes", MAX_NOTES_CHARS).unwrap_or_default();
        let favorite = read.flag("favorite", false);
        let api_key = read.api_key();
        let waiting = read.waiting();
        let slo = read.slo();
        let margins = read.margins(load.duration());
        let stops = read.stops();
        let fresh_connections = read.flag("fresh_connections", false);
        let scrape = read.flag("scrape", true);
        let record_tokens = read.flag("record_tokens", false);
        let on_lost = read.parsed("on_lost").unwrap_or_default();
        let runners = read.runners(&load);
        let dedupe = read.flag("dedupe", false);
        let any_seed = read.text("seed").is_none();

        match (url, read.errors) {
            (Some(url), errors) if errors.is_empty() => {
                let spec = BenchmarkSpec {
                    url,
                    urls,
                    call,
                    model: model.or_else(|| defaults.model.clone()),
                    load,
                    dataset,
                    synthetic,
                    turns,
                    tokenizer,
                    output,
                    sampling,
                    timeouts,
                    seed,
                    slo,
                    margins,
                    stops,
                    fresh_connections,
                    scrape,
                    record_tokens,
                    on_lost,
                    runners,
                };
                let dedupe = dedupe.then(|| written(&spec, any_seed, &waiting.labels));
                Ok(Self { spec, notes, favorite, waiting, api_key, dedupe })
            }
            (_, errors) => Err(errors),
        }
    }
}

/// What decides whether another request asks for the same: where it is measured, and what.
fn written(spec: &BenchmarkSpec, any_seed: bool, labels: &Labels) -> String {
    let mut settings = json!(spec);
    settings["url"] = spec.url.key().as_str().into();
    settings["urls"] = spec.urls.iter().map(|url| url.key().as_str().to_owned()).collect();
    if any_seed {
        settings["seed"] = Value::Null;
    }
    json!({"spec": settings, "labels": labels}).to_string()
}

#[cfg(test)]
mod tests;
