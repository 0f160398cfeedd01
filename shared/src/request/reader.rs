//! Reads fields one by one, from text or from JSON alike, and collects what is wrong with them.

use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{FIELDS, Fields, MAX_API_KEY_CHARS};
use crate::{
    DurationS, FieldError, GraceS, MarginS, MaxConcurrency, MaxErrorRate, MaxRequests, MaxTokens,
    MinTokens, OutOfRange, PrefixCount, PrefixTokens, Priority, QueueTimeoutS, RequestRate,
    RequestsPerUser, Runners, Seed, SloMs, SpawnRate, Temperature, ThinkTimeS, TimeoutS, TopP,
    TraceSpeed, Turns, Users, Variation,
};

/// Reads fields one by one and collects what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) given: &'a Fields,
    pub(super) errors: Vec<FieldError>,
}

impl Reader<'_> {
    pub(super) fn refuse_unknown(&mut self) {
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

    /// A JSON object, or the text of one.
    pub(super) fn object<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        let value = match self.given.get(name)? {
            Value::Null => return None,
            Value::String(text) if text.trim().is_empty() => return None,
            Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
            other => other.clone(),
        };
        if !value.is_object() {
            self.refuse(name, format!("{name} must be a JSON object"));
            return None;
        }
        serde_json::from_value(value)
            .map_err(|refused| {
                let said = refused.to_string();
                let ours = said.starts_with(name);
                self.refuse(name, if ours { said } else { format!("{name}: {said}") });
            })
            .ok()
    }

    pub(super) fn refuse(&mut self, name: &str, detail: String) {
        self.errors.push(FieldError::new(name, detail));
    }

    /// The value as text; absent, null and empty are all none.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.given.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            other => Some(other.to_string()),
        }
    }

    pub(super) fn text_within(&mut self, name: &'static str, max_chars: usize) -> Option<String> {
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

    pub(super) fn parsed<T>(&mut self, name: &'static str) -> Option<T>
    where
        T: TryFrom<String, Error: std::fmt::Display>,
    {
        let text = self.text_within(name, usize::MAX)?;
        T::try_from(text).map_err(|refused| self.refuse(name, refused.to_string())).ok()
    }

    /// Whether the field was given at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|value| !value.is_null())
    }

    pub(super) fn number<Raw, T>(&mut self, name: &'static str, default: T) -> T
    where
        Raw: Number,
        T: TryFrom<Raw, Error = OutOfRange> + Bounds<Raw>,
    {
        self.optional(name).unwrap_or(default)
    }

    /// The number; none where it is absent, or was refused.
    pub(super) fn optional<Raw, T>(&mut self, name: &'static str) -> Option<T>
    where
        Raw: Number,
        T: TryFrom<Raw, Error = OutOfRange> + Bounds<Raw>,
    {
        let value = self.given.get(name).filter(|value| !value.is_null())?;
        let written = match value {
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        let outcome = match Raw::read(&written) {
            Some(raw) => T::try_from(raw).map_err(|refused| OutOfRange { field: name, ..refused }),
            None => Err(OutOfRange::new(name, T::lowest(), T::highest(), shown(&written))),
        };
        let refuse = |refused: OutOfRange| {
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
        };
        outcome.map_err(refuse).ok()
    }

    pub(super) fn flag(&mut self, name: &'static str, default: bool) -> bool {
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

    pub(super) fn ordered<T: PartialOrd + std::fmt::Display>(
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

    pub(super) fn api_key(&mut self) -> Option<SecretString> {
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
pub(super) fn shown(written: &str) -> String {
    const MOST: usize = 64;
    if written.chars().count() <= MOST {
        written.to_owned()
    } else {
        format!("{}…", written.chars().take(MOST).collect::<String>())
    }
}

/// A raw number that can be read from text.
pub(super) trait Number: Sized {
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
whole_numbers!(i32, u32, u64);

impl Number for f64 {
    const IN_WORDS: &'static str = "a number";

    fn read(written: &str) -> Option<Self> {
        written.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

/// The limits of a bounded newtype, as text.
pub(super) trait Bounds<Raw> {
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
    RequestRate(f64),
    Variation(f64),
    MaxConcurrency(u32),
    MaxRequests(u32),
    RequestsPerUser(u32),
    DurationS(u32),
    ThinkTimeS(f64),
    GraceS(f64),
    MaxTokens(u32),
    MinTokens(u32),
    Temperature(f64),
    TopP(f64),
    TimeoutS(f64),
    Runners(u32),
    Seed(u64),
    SloMs(f64),
    MarginS(u32),
    PrefixTokens(u32),
    PrefixCount(u32),
    Turns(u32),
    MaxErrorRate(f64),
    TraceSpeed(f64),
    Priority(i32),
    QueueTimeoutS(u32)
);
