//! What may change of a benchmark that exists.

use super::{Fields, MAX_NOTES_CHARS, reader::Reader};
use crate::{Benchmark, FieldError, Priority, State};

/// A change to a benchmark that exists. Only what a person wrote can change, and
/// the priority of one that waits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edit {
    /// New notes.
    pub notes: Option<String>,
    /// New mark.
    pub favorite: Option<bool>,
    /// New priority, of one that is queued.
    pub priority: Option<Priority>,
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
        ["notes", "favorite", "priority"].into_iter().chain(FIXED.iter().copied())
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
        let priority = read.optional("priority");
        let fixed = FIXED.iter().filter_map(|name| Some((*name, read.text(name)?))).collect();
        if read.errors.is_empty() {
            Ok(Self { notes, favorite, priority, fixed })
        } else {
            Err(read.errors)
        }
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
        let late = self.priority.is_some_and(|priority| {
            priority != benchmark.priority && benchmark.status != State::Queued
        });
        let late = late.then(|| {
            let detail = format!(
                "priority can change while a benchmark is queued, and this one is {}",
                benchmark.status
            );
            FieldError::new("priority", detail)
        });
        self.fixed
            .iter()
            .filter(|(name, value)| differs(name, value))
            .map(|(name, _)| FieldError::new(name, format!("{name} of a benchmark cannot change")))
            .chain(late)
            .collect()
    }
}
