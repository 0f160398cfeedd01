//! How numbers are written for people.

/// A count, with commas: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut written = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

/// A number with `places` decimals and commas.
pub(crate) fn decimal(number: f64, places: usize) -> String {
    let written = format!("{number:.places$}");
    let (whole, rest) = written.split_at(written.find('.').unwrap_or(written.len()));
    match whole.parse() {
        Ok(whole) => format!("{}{rest}", count(whole)),
        Err(_) => written,
    }
}

/// A measured number with about three significant digits: what the histograms hold.
pub(crate) fn measured(number: f64) -> String {
    let places = match number.abs() {
        below if below < 10.0 => 2,
        below if below < 1_000.0 => 1,
        _ => 0,
    };
    decimal(number, places)
}

/// A measured number, or a dash where there is none.
pub(crate) fn measured_or_dash(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), measured)
}

/// Whole seconds, in the two largest units that it has: `45 s`, `1 min 30 s`, `2 h`, `3 d 4 h`.
pub(crate) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let largest = UNITS.iter().position(|(of, _)| seconds >= *of).unwrap_or(3);
    let mut left = seconds;
    let mut parts = Vec::new();
    for (of, unit) in UNITS.iter().skip(largest).take(2) {
        let number = left / of;
        left %= of;
        if number > 0 || parts.is_empty() {
            parts.push(format!("{} {unit}", count(number)));
        }
    }
    parts.join(" ")
}

/// A share as percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", decimal(share * 100.0, if share > 0.0 && share < 0.01 { 2 } else { 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.5, 9.999, 200.16, 1_500.7].map(measured),
            ["0.50", "10.00", "200.2", "1,501"]
        );
        assert_eq!([0.0, 0.001, 0.5, 1.0].map(percent), ["0.0 %", "0.10 %", "50.0 %", "100.0 %"]);
        assert_eq!(measured_or_dash(None), "-");
        assert_eq!([0, 59, 90, 7_200].map(span), ["0 s", "59 s", "1 min 30 s", "2 h"]);
        assert_eq!([7_260, 86_430, 100_000_000].map(span), ["2 h 1 min", "1 d", "1,157 d 9 h"]);
    }
}
