//! What a client asks for: flat fields, from a query string, a form or a JSON object alike.
//!
//! All three meet the same gate here, so they cannot disagree about a limit. [`FIELDS`] is also
//! what the published contract is written from.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

use crate::{
    Benchmark, BenchmarkSpec, ClosedLoop, DurationS, FieldError, GraceS, Load, MaxTokens,
    MinTokens, ModelName, OutOfRange, Output, PromptSource, Sampling, Seed, SpawnRate, TargetUrl,
    Temperature, ThinkTimeS, TimeoutS, Timeouts, TokenizerSource, TopP, Users,
};

/// Field names and values as they came, before anything is known of them. Values from query
/// strings and forms are JSON strings.
pub type Fields = BTreeMap<String, Value>;

/// Most characters of notes.
pub const MAX_NOTES_CHARS: usize = 10_000;
/// Most characters of a target's key.
pub const MAX_API_KEY_CHARS: usize = 4_096;

/// A field of a request for a benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is when left out, in words.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
}

/// What a field takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number.
    Integer {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A number.
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// A text.
    Text {
        /// Most characters.
        max_chars: usize,
    },
    /// `true` or `false`.
    Flag,
}

const fn field(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Field {
    Field { name, kind, default, doc }
}

const fn timeout(name: &'static str, default: &'static str, doc: &'static str) -> Field {
    field(name, Kind::Number { min: TimeoutS::MIN, max: TimeoutS::MAX }, default, doc)
}

/// Every field of a request for a benchmark.
pub const FIELDS: &[Field] = &[
    field(
        "url",
        Kind::Text { max_chars: TargetUrl::MAX_CHARS },
        "LOCUST_HOST",
        "Base URL of the target, with or without /v1. Required where LOCUST_HOST is not set.",
    ),
    field(
        "user",
        Kind::Integer { min: Users::MIN as u64, max: Users::MAX as u64 },
        "LOCUST_USERS, else 100",
        "Virtual users: requests open at once.",
    ),
    field(
        "spawnrate",
        Kind::Integer { min: SpawnRate::MIN as u64, max: SpawnRate::MAX as u64 },
        "LOCUST_SPAWN_RATE, else 100",
        "Users started a second.",
    ),
    field(
        "duration",
        Kind::Integer { min: DurationS::MIN as u64, max: DurationS::MAX as u64 },
        "LOCUST_DURATION, else 60",
        "Seconds in which requests are sent, counted from the first user's start.",
    ),
    field(
        "model",
        Kind::Text { max_chars: ModelName::MAX_CHARS },
        "LOCUST_MODEL, else the first that the target lists",
        "Model to ask for.",
    ),
    field(
        "tokenizer",
        Kind::Text { max_chars: 256 },
        "LOCUST_TOKENIZER, else none",
        "Hugging Face id, or a tokenizer.json below DATA_DIR: counts tokens where the target does not.",
    ),
    field(
        "dataset",
        Kind::Text { max_chars: 256 },
        "LOCUST_DATASET, else embedded",
        "`embedded`, a .jsonl file below DATA_DIR, or the id of a Hugging Face dataset.",
    ),
    field("notes", Kind::Text { max_chars: MAX_NOTES_CHARS }, "none", "Anything to remember."),
    field("favorite", Kind::Flag, "false", "A mark to find it by."),
    field(
        "api_key",
        Kind::Text { max_chars: MAX_API_KEY_CHARS },
        "API_AUTH_TOKEN, else none",
        "Key for the target, sent as a Bearer token. Sealed at rest, shown nowhere, gone when the run has ended.",
    ),
    field(
        "max_tokens",
        Kind::Integer { min: MaxTokens::MIN as u64, max: MaxTokens::MAX as u64 },
        "128",
        "Most tokens of an answer.",
    ),
    field(
        "min_tokens",
        Kind::Integer { min: MinTokens::MIN as u64, max: MinTokens::MAX as u64 },
        "20, or max_tokens if that is less",
        "Fewest tokens of an answer, where the target can be told so.",
    ),
    field(
        "ignore_eos",
        Kind::Flag,
        "false",
        "Ask for exactly max_tokens, where the target can be told so.",
    ),
    field(
        "temperature",
        Kind::Number { min: Temperature::MIN, max: Temperature::MAX },
        "0.9",
        "Sampling temperature.",
    ),
    field(
        "top_p",
        Kind::Number { min: TopP::MIN, max: TopP::MAX },
        "0.9",
        "Nucleus sampling mass.",
    ),
    field(
        "wait_min",
        Kind::Number { min: ThinkTimeS::MIN, max: ThinkTimeS::MAX },
        "0",
        "Shortest wait of a user between two requests, in seconds.",
    ),
    field(
        "wait_max",
        Kind::Number { min: ThinkTimeS::MIN, max: ThinkTimeS::MAX },
        "wait_min",
        "Longest wait of a user between two requests, in seconds.",
    ),
    field(
        "grace",
        Kind::Number { min: GraceS::MIN, max: GraceS::MAX },
        "30",
        "Seconds that open requests get when the duration is over.",
    ),
    timeout("timeout_connect", "10", "Seconds until the connection must stand."),
    timeout("timeout_first_token", "120", "Seconds from sending to the first token."),
    timeout("timeout_idle", "60", "Seconds without a byte once tokens flow."),
    timeout("timeout_total", "600", "Seconds for a whole request."),
    field(
        "seed",
        Kind::Integer { min: Seed::MIN, max: Seed::MAX },
        "drawn for each benchmark",
        "What prompts and waits derive from: the same seed, the same requests.",
    ),
];

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
    /// The target's key.
    pub api_key: Option<SecretString>,
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
        let max_tokens: MaxTokens = read.number("max_tokens", valid(128));
        let shortest_default = valid(20.min(max_tokens.get()));
        let min_tokens: MinTokens = read.number("min_tokens", shortest_default);
        read.ordered("min_tokens", &min_tokens.get(), "max_tokens", &max_tokens.get());
        let wait_min_s: ThinkTimeS = read.number("wait_min", valid(0.0));
        let wait_max_s: ThinkTimeS = read.number("wait_max", wait_min_s);
        read.ordered("wait_min", &wait_min_s.get(), "wait_max", &wait_max_s.get());

        let load = Load::ClosedLoop(ClosedLoop {
            users: read.number("user", defaults.users),
            spawn_rate: read.number("spawnrate", defaults.spawn_rate),
            duration_s: read.number("duration", defaults.duration_s),
            wait_min_s,
            wait_max_s,
            grace_s: read.number("grace", valid(30.0)),
        });
        let model = read.text_within("model", ModelName::MAX_CHARS).map(ModelName);
        let tokenizer = read.parsed("tokenizer");
        let dataset = read.parsed("dataset");
        let output = Output { max_tokens, min_tokens, ignore_eos: read.flag("ignore_eos", false) };
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

        match (url, read.errors) {
            (Some(url), errors) if errors.is_empty() => Ok(Self {
                spec: BenchmarkSpec {
                    url,
                    model: model.or_else(|| defaults.model.clone()),
                    load,
                    dataset: dataset.unwrap_or_else(|| defaults.dataset.clone()),
                    tokenizer: tokenizer.or_else(|| defaults.tokenizer.clone()),
                    output,
                    sampling,
                    timeouts,
                    seed,
                },
                notes,
                favorite,
                api_key,
            }),
            (_, errors) => Err(errors),
        }
    }
}

/// A change to a benchmark that exists. Only what a person wrote can change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// New notes.
    pub notes: Option<String>,
    /// New mark.
    pub favorite: Option<bool>,
    /// Fields that cannot change, each with its value as text; fine as long as it is the one that
    /// is there.
    fixed: Vec<(&'static str, String)>,
}

/// The fields of an edit that cannot change, under each of their names.
const FIXED: &[&str] = &[
    "url",
    "user",
    "users",
    "spawnrate",
    "spawn_rate",
    "duration",
    "model",
    "tokenizer",
    "dataset",
    "status",
];

impl Edit {
    /// Every field an edit may name.
    pub fn field_names() -> impl Iterator<Item = &'static str> {
        ["notes", "favorite"].into_iter().chain(FIXED.iter().copied())
    }

    /// Reads an edit.
    ///
    /// # Errors
    ///
    /// Every field that is unknown or out of its limits.
    pub fn parse(given: &Fields) -> Result<Self, Vec<FieldError>> {
        let mut read = Reader { given, errors: Vec::new() };
        for name in given.keys().filter(|name| !Self::field_names().any(|known| known == *name)) {
            read.errors.push(FieldError::new(
                name,
                format!("{name} is no field of a benchmark that can be edited"),
            ));
        }
        let notes = given
            .get("notes")
            .is_some_and(|notes| !notes.is_null())
            .then(|| read.text_within("notes", MAX_NOTES_CHARS).unwrap_or_default());
        let favorite = given
            .get("favorite")
            .is_some_and(|favorite| !favorite.is_null())
            .then(|| read.flag("favorite", false));
        let fixed = FIXED.iter().filter_map(|name| Some((*name, read.text(name)?))).collect();
        if read.errors.is_empty() { Ok(Self { notes, favorite, fixed }) } else { Err(read.errors) }
    }

    /// The fields that this edit would change and must not.
    pub fn forbidden(&self, benchmark: &Benchmark) -> Vec<FieldError> {
        let differs = |name: &str, value: &str| {
            let known = match name {
                "url" => benchmark.url.clone(),
                "user" | "users" => benchmark.user.to_string(),
                "spawnrate" | "spawn_rate" => benchmark.spawnrate.to_string(),
                "duration" => benchmark.duration.to_string(),
                "model" => benchmark.model.clone(),
                "tokenizer" => benchmark.tokenizer.clone(),
                "dataset" => benchmark.dataset.clone(),
                _ if value == benchmark.results.status => value.to_owned(),
                _ => benchmark.status.to_string(),
            };
            known != value
        };
        self.fixed
            .iter()
            .filter(|(name, value)| differs(name, value))
            .map(|(name, _)| FieldError::new(name, format!("{name} of a benchmark cannot change")))
            .collect()
    }
}

/// Reads fields one by one and collects what is wrong with them.
struct Reader<'a> {
    given: &'a Fields,
    errors: Vec<FieldError>,
}

impl Reader<'_> {
    fn refuse_unknown(&mut self) {
        for name in self.given.keys() {
            if FIELDS.iter().all(|field| field.name != name) {
                let meant = match name.as_str() {
                    "users" => Some("user"),
                    "spawn_rate" => Some("spawnrate"),
                    "host" | "target" => Some("url"),
                    _ => None,
                };
                let hint =
                    meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
                let shown: String = name.chars().take(64).collect();
                self.errors
                    .push(FieldError::new(&shown, format!("{shown} is no known field{hint}")));
            }
        }
    }

    fn refuse(&mut self, name: &str, detail: String) {
        self.errors.push(FieldError::new(name, detail));
    }

    /// The value as text; absent, null and empty are all none.
    fn text(&self, name: &str) -> Option<String> {
        match self.given.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            other => Some(other.to_string()),
        }
    }

    fn text_within(&mut self, name: &'static str, max_chars: usize) -> Option<String> {
        if matches!(self.given.get(name), Some(value) if !value.is_string() && !value.is_null()) {
            self.refuse(name, format!("{name} must be a text"));
            return None;
        }
        let text = self.text(name)?;
        let chars = text.chars().count();
        if chars > max_chars {
            self.refuse(
                name,
                format!("{name} must be at most {max_chars} characters long, not {chars}"),
            );
            return None;
        }
        if text.contains('\0') {
            self.refuse(name, format!("{name} must not contain NUL characters"));
            return None;
        }
        Some(text)
    }

    fn parsed<T>(&mut self, name: &'static str) -> Option<T>
    where
        T: TryFrom<String, Error: std::fmt::Display>,
    {
        let text = self.text_within(name, usize::MAX)?;
        T::try_from(text).map_err(|refused| self.refuse(name, refused.to_string())).ok()
    }

    fn number<Raw, T>(&mut self, name: &'static str, default: T) -> T
    where
        Raw: Number,
        T: TryFrom<Raw, Error = OutOfRange> + Bounds<Raw>,
    {
        let Some(value) = self.given.get(name).filter(|value| !value.is_null()) else {
            return default;
        };
        let written = match value {
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        let outcome = match Raw::read(&written) {
            Some(raw) => T::try_from(raw).map_err(|refused| OutOfRange { field: name, ..refused }),
            None => Err(OutOfRange::new(name, T::lowest(), T::highest(), shown(&written))),
        };
        outcome.unwrap_or_else(|refused| {
            let detail = if Raw::read(&written).is_some() || written.parse::<f64>().is_ok() {
                refused.to_string()
            } else {
                format!(
                    "{name} must be {} between {} and {}, not `{}`",
                    Raw::IN_WORDS,
                    T::lowest(),
                    T::highest(),
                    shown(&written)
                )
            };
            self.refuse(name, detail);
            default
        })
    }

    fn flag(&mut self, name: &'static str, default: bool) -> bool {
        let Some(written) = self.text(name) else { return default };
        match written.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => {
                self.refuse(
                    name,
                    format!("{name} must be true or false, not `{}`", shown(&written)),
                );
                default
            }
        }
    }

    fn ordered<T: PartialOrd + std::fmt::Display>(
        &mut self,
        low_name: &str,
        low: &T,
        high_name: &str,
        high: &T,
    ) {
        if low > high {
            self.refuse(
                low_name,
                format!("{low_name} must be at most {high_name}, but {low} > {high}"),
            );
        }
    }

    fn api_key(&mut self) -> Option<SecretString> {
        const NAME: &str = "api_key";
        let key = self.text(NAME)?;
        if key.len() > MAX_API_KEY_CHARS {
            self.refuse(
                NAME,
                format!("{NAME} must be at most {MAX_API_KEY_CHARS} characters long"),
            );
            return None;
        }
        if !key.chars().all(|c| c.is_ascii_graphic()) {
            self.refuse(NAME, format!("{NAME} must be visible ASCII without spaces"));
            return None;
        }
        Some(key.into())
    }
}

/// A value as an error may repeat it.
fn shown(written: &str) -> String {
    const MOST: usize = 64;
    if written.chars().count() <= MOST {
        written.to_owned()
    } else {
        format!("{}…", written.chars().take(MOST).collect::<String>())
    }
}

/// A raw number that can be read from text.
trait Number: Sized {
    const IN_WORDS: &'static str;
    fn read(written: &str) -> Option<Self>;
}

macro_rules! whole_numbers {
    ($($raw:ty),*) => {$(
        impl Number for $raw {
            const IN_WORDS: &'static str = "a whole number";

            fn read(written: &str) -> Option<Self> {
                written.parse().ok()
            }
        }
    )*};
}
whole_numbers!(u32, u64);

impl Number for f64 {
    const IN_WORDS: &'static str = "a number";

    fn read(written: &str) -> Option<Self> {
        written.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

/// The limits of a bounded newtype, as text.
trait Bounds<Raw> {
    fn lowest() -> String;
    fn highest() -> String;
}

macro_rules! bounds {
    ($($name:ident($raw:ty)),*) => {$(
        impl Bounds<$raw> for $name {
            fn lowest() -> String {
                Self::MIN.to_string()
            }
            fn highest() -> String {
                Self::MAX.to_string()
            }
        }
    )*};
}
bounds!(
    Users(u32),
    SpawnRate(u32),
    DurationS(u32),
    ThinkTimeS(f64),
    GraceS(f64),
    MaxTokens(u32),
    MinTokens(u32),
    Temperature(f64),
    TopP(f64),
    TimeoutS(f64),
    Seed(u64)
);

#[cfg(test)]
mod tests;
