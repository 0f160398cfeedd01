//! Prometheus' text format, as far as single figures are read from it. Pure.

/// One line that has a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample<'a> {
    /// The metric's name.
    pub(super) name: &'a str,
    /// What stands between the braces; empty without any.
    labels: &'a str,
    /// The value; never NaN.
    pub(super) value: f64,
}

impl<'a> Sample<'a> {
    /// A label's value, as it is written.
    pub(super) fn label(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.labels;
        while let Some((label, behind)) = rest.split_once("=\"") {
            let end = closing_quote(behind)?;
            if label.trim_matches([',', ' ']) == name {
                return Some(&behind[..end]);
            }
            rest = &behind[end + 1..];
        }
        None
    }
}

/// The samples of a text; what is no sample is passed over, as is a value that is no number.
pub(super) fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let name_end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => {
            let end = closing_brace(inside)?;
            (&inside[..end], &inside[end + 1..])
        }
        None => ("", rest),
    };
    // A time may follow the value.
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    (!name.is_empty() && !value.is_nan()).then_some(Sample { name, labels, value })
}

/// Where the labels end: a brace inside a label's value does not count.
fn closing_brace(inside: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let next = at + inside[at..].find(['"', '}'])?;
        if inside.as_bytes()[next] == b'}' {
            return Some(next);
        }
        at = next + 1 + closing_quote(&inside[next + 1..])? + 1;
    }
}

/// Where a label's value ends: a quote behind a backslash does not count.
fn closing_quote(value: &str) -> Option<usize> {
    let mut escaped = false;
    value.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Vec<(&str, f64)> {
        samples(text).map(|sample| (sample.name, sample.value)).collect()
    }

    #[test]
    fn samples_with_and_without_labels_and_times_are_read() {
        let text = "# HELP a b\n# TYPE a gauge\na 1\na{x=\"1\"} 2.5 1700000000000\r\n\n  b{} 1e3\nc\tInf\n";
        assert_eq!(all(text), [("a", 1.0), ("a", 2.5), ("b", 1_000.0), ("c", f64::INFINITY)]);
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        assert_eq!(all("a\na{\na{x=\"}\na x\na NaN\n<html>\n{} 1\n"), []);
    }

    #[test]
    fn labels_may_hold_braces_commas_and_escaped_quotes() {
        let text = r#"m{model="a\"},{b",rank="0",} 7"#;
        let sample = samples(text).next().unwrap();
        assert_eq!((sample.name, sample.value), ("m", 7.0));
        assert_eq!(sample.label("model"), Some(r#"a\"},{b"#));
        assert_eq!((sample.label("rank"), sample.label("ank")), (Some("0"), None));
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[a{}=\",\\\\ 0-9\n#\u{e4}]{0,60}", any in "\\PC{0,40}") {
            for sample in samples(&text).chain(samples(&any)) {
                let _ = sample.label("a");
            }
        }
    }
}
