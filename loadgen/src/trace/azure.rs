//! Azure's LLM inference traces: CSV with `TIMESTAMP,ContextTokens,GeneratedTokens`.
//!
//! Source: `AzurePublicDataset`, `AzureLLMInferenceDataset2023.md` and `2024.md`. Times are of the
//! calendar: `2023-11-16 18:17:03.9799600` in 2023, `2024-05-10 00:00:00.009930+00:00` in 2024.

use jiff::{Timestamp, civil::DateTime, tz::Offset};

use super::{
    Said, Written,
    cells::{Cells, shortened},
    error::LineError,
    input, output,
};

const TIME: &str = "TIMESTAMP";
const INPUT: &str = "ContextTokens";
const OUTPUT: &str = "GeneratedTokens";

/// Where its columns are.
#[derive(Clone, Copy)]
pub(super) struct Azure {
    time: usize,
    input: usize,
    output: usize,
}

impl Azure {
    /// None: `header` is of another format.
    pub(super) fn with(header: &Cells) -> Option<Self> {
        Some(Self {
            time: header.column(TIME)?,
            input: header.column(INPUT)?,
            output: header.column(OUTPUT)?,
        })
    }

    pub(super) fn row(self, cells: &Cells) -> Result<Written, LineError> {
        let time = cells.text(self.time);
        let at_us = microseconds(time)
            .ok_or_else(|| LineError::NoTime { field: TIME, value: shortened(time) })?;
        let tokens = input(INPUT, cells.number(self.input, INPUT)?)?;
        let output_tokens = output(OUTPUT, cells.number(self.output, OUTPUT)?)?;
        let said = Said::Tokens { tokens, blocks: Box::default() };
        Ok(Written { at_us, output_tokens: Some(output_tokens), said })
    }
}

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
