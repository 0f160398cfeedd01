//! Wall-clock instants as they are stored and sent.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A wall-clock instant, in whole milliseconds since 1970 (UTC); written as RFC 3339.
///
/// Stored as the integer in both databases, so that it compares the same in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `unix_ms` milliseconds after 1970 began.
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms)
    }

    /// Milliseconds since 1970 began.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        text.parse::<jiff::Timestamp>()
            .map(|instant| Self(instant.as_millisecond()))
            .map_err(|_| InvalidTimestamp(text.to_owned()))
    }
}

/// A text that is no RFC 3339 instant.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a time such as 2026-01-31T12:00:00Z")]
pub struct InvalidTimestamp(String);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_as_rfc_3339_and_read_back() {
        let instant = Timestamp::from_unix_ms(1_790_000_000_042);
        assert_eq!(instant.to_string(), "2026-09-21T14:13:20.042Z");
        assert_eq!(instant.to_string().parse::<Timestamp>().unwrap(), instant);
    }
}
