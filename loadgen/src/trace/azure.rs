//! Azure's LLM inference traces: CSV with `TIMESTAMP,ContextTokens,GeneratedTokens`.
//!
//! Source: `AzurePublicDataset`, `AzureLLMInferenceDataset2023.md` and `2024.md`. Times are of the
//! calendar: `2023-11-16 18:17:03.9799600` in 2023, `2024-05-10 00:00:00.009930+00:00` in 2024.

use jiff::{Timestamp, civil::DateTime, tz::Offset};

use super::{cells::shortened, columns::Layout, error::LineError};

pub(super) const LAYOUT: Layout = Layout {
    time: "TIMESTAMP",
    input: "ContextTokens",
    output: "GeneratedTokens",
    at_us: |field, time| {
        microseconds(time).ok_or_else(|| LineError::NoTime { field, value: shortened(time) })
    },
};

/// Microseconds since 1970 of a time of the calendar, in UTC unless it says otherwise.
fn microseconds(time: &str) -> Option<i64> {
    let at = time
        .parse::<Timestamp>()
        .or_else(|_| time.parse::<DateTime>().and_then(|local| Offset::UTC.to_timestamp(local)));
    at.ok().map(Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_calendar_are_read_to_the_microsecond() {
        assert_eq!(microseconds("1970-01-01 00:00:00"), Some(0));
        assert_eq!(microseconds("2023-11-16 18:17:03.9799600"), Some(1_700_158_623_979_960));
        assert_eq!(microseconds("2024-05-10 00:00:00.009930+00:00"), Some(1_715_299_200_009_930));
        assert_eq!(microseconds("2024-05-10T02:00:00.5+02:00"), Some(1_715_299_200_500_000));
        assert_eq!(microseconds("2024-02-29 23:59:59Z"), Some(1_709_251_199_000_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "12.5",
            "2023-13-01 00:00:00",
            "2023-02-29 00:00:00",
            "2023-11-16 24:00:00",
            "2023-11-16 18:17:03.",
            "23-11-16 18:17:03",
            "2023-11-16 18:17:03.12x",
        ] {
            assert_eq!(microseconds(text), None, "{text}");
        }
    }
}
