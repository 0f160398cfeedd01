//! From a client's fields to a benchmark in the queue, and how long the client cares to wait for
//! what becomes of it.

use std::{collections::BTreeMap, time::Duration};

use poem::http::HeaderMap;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use shared::{
    Benchmark, Seed, State,
    request::{Field, Fields, Kind as FieldKind, NewBenchmark},
};

use store::{Created, IdempotencyKey, StoreError, Submission};

use crate::{
    AppState,
    fields::Parameters,
    problem::{ApiError, Kind},
    progress,
};

/// Longest time a request waits for a run to end, in seconds.
const MAX_WAIT_S: u32 = 60;

/// Longest idempotency key.
const MAX_KEY_CHARS: usize = 255;

/// How long a blocking run may take beyond its own duration: queue, probe, grace.
const BLOCKING_SLACK: Duration = Duration::from_mins(1);

/// The parameter of a read.
pub(crate) const WAIT: &[Field] = &[Field {
    name: "wait",
    kind: FieldKind::Integer { min: 0, max: MAX_WAIT_S as u64 },
    default: "0",
    doc: "Seconds to wait for the benchmark to end before it is shown as it is.",
}];

/// Reads how long a read may wait.
pub(crate) fn wait_of(given: &Fields) -> Result<Duration, ApiError> {
    let mut read = Parameters::new(given, WAIT);
    let seconds = read.whole("wait").unwrap_or(0);
    read.finish().map(|()| Duration::from_secs(seconds.into()))
}

/// Puts a benchmark of `owner` into the queue; with a key, once.
pub(crate) async fn accept(
    state: &AppState,
    given: &Fields,
    owner: &str,
    key: Option<IdempotencyKey>,
) -> Result<Submission, ApiError> {
    let mut new = NewBenchmark::parse(given, &state.defaults, fresh_seed())?;
    state.judge("url", &new.spec.url)?;
    for url in &new.spec.urls {
        state.judge("urls", url)?;
    }
    new.api_key = new.api_key.or_else(|| state.default_key.clone());
    let submission = state.store.submit(new, owner, key.as_ref()).await?;
    if submission.created == Created::Now {
        state.metrics.accepted();
    }
    Ok(submission)
}

/// The key in the header `Idempotency-Key`, where there is one, of whoever sends `headers`.
pub(crate) fn idempotency_key(
    state: &AppState,
    headers: &HeaderMap,
    given: &Fields,
) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(written) = headers.get("idempotency-key") else { return Ok(None) };
    let key = written.to_str().unwrap_or_default().trim().trim_matches('"');
    if key.is_empty() || key.len() > MAX_KEY_CHARS {
        let detail = format!("Idempotency-Key must be 1 to {MAX_KEY_CHARS} ASCII characters");
        return Err(ApiError::told(Kind::MALFORMED, detail));
    }
    // Without the target's key: a digest of a secret would say something about it.
    let asked: BTreeMap<_, _> = given.iter().filter(|(name, _)| *name != "api_key").collect();
    let asked = serde_json::to_vec(&asked).unwrap_or_default();
    Ok(Some(IdempotencyKey {
        principal: state.gate.principal(headers),
        key: key.to_owned(),
        fingerprint: Sha256::digest(asked).into(),
    }))
}

/// A seed that no other benchmark has, from a ULID's random half.
pub(crate) fn fresh_seed() -> Seed {
    let drawn = ulid::Ulid::generate().random() & u128::from(Seed::MAX);
    let drawn = u64::try_from(drawn).unwrap_or(Seed::MAX);
    Seed::try_from(drawn).expect("masked to the largest seed")
}

/// What a client prefers (RFC 7240); what cannot be read is no preference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preference {
    wait: Option<Duration>,
    at_once: bool,
}

impl Preference {
    pub(crate) fn read(header: Option<&str>) -> Self {
        let mut preference = Self::default();
        for word in header.unwrap_or_default().split(',') {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => preference.at_once = true,
                "wait" => {
                    let seconds = value.trim().trim_matches('"').parse::<u32>().ok();
                    let seconds = seconds.map(|seconds| seconds.min(MAX_WAIT_S).into());
                    preference.wait = preference.wait.or(seconds.map(Duration::from_secs));
                }
                _ => {}
            }
        }
        preference
    }

    /// What of it was applied, as `Preference-Applied` says it.
    pub(crate) fn applied(self) -> Option<String> {
        self.wait.map(|wait| format!("wait={}", wait.as_secs()))
    }
}

/// Waits for `benchmark` as long as the client prefers, or as long as the original service did.
pub(crate) async fn wait_for(
    state: &AppState,
    benchmark: Benchmark,
    preference: Preference,
) -> Result<Benchmark, ApiError> {
    let blocking = state.blocking && preference == Preference::default();
    if !blocking {
        let longest = preference.wait.unwrap_or_default();
        return Ok(Box::pin(when_over(state, benchmark, longest)).await?);
    }
    let duration = benchmark.spec.load.duration();
    let longest = Duration::from_secs(duration.get().into()) + BLOCKING_SLACK;
    let benchmark = Box::pin(when_over(state, benchmark, longest)).await?;
    if !benchmark.status.is_terminal() || benchmark.status == State::Completed {
        return Ok(benchmark);
    }
    let why = benchmark.reason.map_or(String::new(), |reason| format!(": {}", reason.detail));
    let detail = format!("benchmark {} ended as {}{why}", benchmark.id, benchmark.status);
    Err(ApiError::told(Kind::RUN_FAILED, detail))
}

/// `benchmark` when it is over, or as it is after `longest`.
async fn when_over(
    state: &AppState,
    benchmark: Benchmark,
    longest: Duration,
) -> Result<Benchmark, StoreError> {
    if benchmark.status.is_terminal() || longest.is_zero() {
        return Ok(benchmark);
    }
    progress::until_over(state, benchmark.id, longest).await;
    state.store.get(benchmark.id).await
}

/// A key a client sends for a target in the header `X-Target-Api-Key`.
pub(crate) fn key_of(header: Option<&str>) -> Option<SecretString> {
    header.map(str::trim).filter(|key| !key.is_empty()).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read_as_rfc_7240_writes_them() {
        let wait = |seconds| Some(Duration::from_secs(seconds));
        for (header, expected, applied) in [
            (None, Preference::default(), None),
            (Some("wait=10"), Preference { wait: wait(10), at_once: false }, Some("wait=10")),
            (
                Some("respond-async, wait=5"),
                Preference { wait: wait(5), at_once: true },
                Some("wait=5"),
            ),
            (
                Some("Wait = \"3600\""),
                Preference { wait: wait(60), at_once: false },
                Some("wait=60"),
            ),
            (Some("wait=soon, handling=lenient"), Preference::default(), None),
        ] {
            let preference = Preference::read(header);
            assert_eq!(preference, expected, "{header:?}");
            assert_eq!(preference.applied().as_deref(), applied);
        }
    }

    #[test]
    fn seeds_differ_and_stay_within_what_json_keeps() {
        let seeds: std::collections::HashSet<_> = (0..64).map(|_| fresh_seed().get()).collect();
        assert_eq!(seeds.len(), 64);
    }
}
