//! Which benchmarks a list or a delete is about: query parameters read into the store's terms.

use shared::{
    ModelName, State,
    request::{Field, Fields, Kind},
};
use store::{Sort, Wanted};

use crate::{fields::Parameters, problem::ApiError};

const MAX_PAGE: u64 = 1_000_000;
const MAX_LIMIT: u64 = 100;

/// The parameters of a list.
pub(crate) const PARAMETERS: &[Field] = &[
    Field {
        name: "page",
        kind: Kind::Integer { min: 1, max: MAX_PAGE },
        default: "1",
        doc: "Which page, from 1 on.",
    },
    Field {
        name: "limit",
        kind: Kind::Integer { min: 1, max: MAX_LIMIT },
        default: "10",
        doc: "Benchmarks on a page.",
    },
    Field {
        name: "status",
        kind: Kind::Text { max_chars: 256 },
        default: "completed",
        doc: "A status, several with commas between them, or `all`.",
    },
    Field {
        name: "model",
        kind: Kind::Text { max_chars: ModelName::MAX_CHARS },
        default: "any",
        doc: "The model's exact name.",
    },
    Field {
        name: "favorite",
        kind: Kind::Flag,
        default: "either",
        doc: "Only those with the mark, or only those without.",
    },
    Field {
        name: "sort",
        kind: Kind::Text { max_chars: 32 },
        default: "-createdAt",
        doc: "`createdAt`, `id`, `model`, `status`, `user` or `duration`; with a minus before it, the \
              greatest first.",
    },
];

/// The parameter of a delete.
pub(crate) const FORCE: &[Field] = &[Field {
    name: "force",
    kind: Kind::Flag,
    default: "false",
    doc: "Delete a benchmark that waits, and cancel one that runs, to be deleted when it is over.",
}];

/// Reads a list's parameters.
pub(crate) fn wanted(given: &Fields) -> Result<Wanted, ApiError> {
    let mut read = Parameters::new(given, PARAMETERS);
    let page = read.whole("page").unwrap_or(1).into();
    let limit = read.whole("limit").unwrap_or(10).into();
    let states = match read.text("status") {
        // The original kept nothing but completed runs, and its clients read every row as one.
        None => vec![State::Completed],
        Some("all") => Vec::new(),
        Some(words) => words
            .split(',')
            .filter_map(|word| {
                let state = word.trim().parse::<State>();
                let refuse = |unknown| format!("{unknown}; and all, for every one");
                state.map_err(|unknown| read.refuse("status", refuse(unknown))).ok()
            })
            .collect(),
    };
    let model = read.text("model").map(str::to_owned);
    let favorite = read.flag("favorite");
    let sort = read.text("sort").unwrap_or("-createdAt");
    let (descending, word) = match sort.strip_prefix('-') {
        Some(word) => (true, word),
        None => (false, sort),
    };
    let sort = word.parse::<Sort>().map_err(|unknown| read.refuse("sort", unknown.to_string()));
    read.finish()?;
    let sort = sort.unwrap_or_default();
    Ok(Wanted { page, limit, states, model, favorite, sort, descending })
}

/// Reads a delete's parameter.
pub(crate) fn force(given: &Fields) -> Result<bool, ApiError> {
    let mut read = Parameters::new(given, FORCE);
    let force = read.flag("force").unwrap_or(false);
    read.finish().map(|()| force)
}
