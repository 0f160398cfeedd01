//! Azure's LLM inference traces: CSV with `TIMESTAMP,ContextTokens,GeneratedTokens`.
//!
//! Source: AzurePublicDataset, AzureLLMInferenceDataset2023.md and -2024.md. Times are of the
//! calendar: `2023-11-16 18:17:03.9799600` in 2023, `2024-05-10 00:00:00.009930+00:00` in 2024.

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
pub(super) struct Azure {
    columns: usize,
    time: usize,
    input: usize,
    output: usize,
}

impl Azure {
    /// None: `header` is of another format.
    pub(super) fn with(header: &Cells<'_>) -> Option<Self> {
        Some(Self {
            columns: header.count(),
            time: header.column(TIME)?,
            input: header.column(INPUT)?,
            output: header.column(OUTPUT)?,
        })
    }

    pub(super) fn row(&self, cells: &Cells<'_>) -> Result<Written, LineError> {
        cells.check(self.columns)?;
        let time = cells.text(self.time);
        let at_us = microseconds(time)
            .ok_or_else(|| LineError::NoTime { field: TIME, value: shortened(time) })?;
        let tokens = input(INPUT, cells.number(self.input, INPUT)?)?;
        let output_tokens = output(OUTPUT, cells.number(self.output, OUTPUT)?)?;
        let said = Said::Tokens { tokens, blocks: Box::default() };
        Ok(Written { at_us, output_tokens: Some(output_tokens), said })
    }
}

/// Microseconds since 1970 of a time as Azure writes it, in UTC unless it says otherwise.
fn microseconds(time: &str) -> Option<i64> {
    let (date, clock) = time.split_once([' ', 'T'])?;
    let (clock, offset_s) = offset(clock)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let valid = (1..=12).contains(&month)
        && (1..=days_of(month, year)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let seconds =
        days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset_s;
    let is_fraction =
        (1..=12).contains(&fraction.len()) && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let six: String = fraction.chars().chain("000000".chars()).take(6).collect();
    (valid && is_fraction).then(|| Some(seconds * 1_000_000 + six.parse::<i64>().ok()?))?
}

/// A time of day without its offset from UTC, and that in seconds.
fn offset(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = clock.find(['+', '-']) else { return Some((clock, 0)) };
    let [hours, minutes] = numbers(&clock[at + 1..], ':', [2, 2])?;
    let ahead = if clock[at..].starts_with('-') { -1 } else { 1 };
    (hours < 24 && minutes < 60).then_some((&clock[..at], ahead * (hours * 3_600 + minutes * 60)))
}

/// Numbers of so many digits each, with `between` them.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = part.parse().ok().filter(|_| is_number)?;
    }
    parts.next().is_none().then_some(numbers)
}

fn days_of(month: i64, year: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar (Hinnant, `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
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
        assert_eq!(microseconds("2000-03-01 00:00:00"), Some(951_868_800_000_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "", "12.5", "2023-11-16", "2023-13-01 00:00:00", "2023-02-29 00:00:00",
            "2023-11-16 24:00:00", "2023-11-16 18:17", "2023-11-16 18:17:03.", "23-11-16 18:17:03",
            "2023-11-16 18:17:+3", "2023-11-16 18:17:03.12x", "2023-11-16 18:17:03+99:00",
        ] {
            assert_eq!(microseconds(text), None, "{text}");
        }
    }
}
