//! Where a benchmark may run: labels that a runner has, and those that a benchmark asks for.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Names with values, as Kubernetes writes them: `zone=eu-1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Most labels.
    pub const MAX: usize = 8;
    /// Most characters of a name after its prefix, and of a value.
    pub const MAX_NAME_CHARS: usize = 63;
    /// Most characters of a name's prefix, without the slash behind it.
    pub const MAX_PREFIX_CHARS: usize = 253;
    /// Most characters of all of them in one text.
    pub const MAX_CHARS: usize =
        Self::MAX * (Self::MAX_PREFIX_CHARS + 2 * Self::MAX_NAME_CHARS + 3);

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each of these is also in `others`, with the same value.
    pub fn are_all_in(&self, others: &Self) -> bool {
        self.0.iter().all(|(name, value)| others.0.get(name) == Some(value))
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = InvalidLabels;

    fn try_from(labels: BTreeMap<String, String>) -> Result<Self, InvalidLabels> {
        if labels.len() > Self::MAX {
            return Err(InvalidLabels::TooMany(labels.len()));
        }
        for (name, value) in &labels {
            if !is_name(name) {
                return Err(InvalidLabels::Name(shown(name)));
            }
            if !value.is_empty() && !is_segment(value) {
                return Err(InvalidLabels::Value(shown(name)));
            }
        }
        Ok(Self(labels))
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

impl FromStr for Labels {
    type Err = InvalidLabels;

    /// Reads `zone=eu-1,network=lab`; blanks beside commas and signs do not count.
    fn from_str(list: &str) -> Result<Self, InvalidLabels> {
        let mut labels = BTreeMap::new();
        for label in list.split(',').map(str::trim).filter(|label| !label.is_empty()) {
            let pair = label.split_once('=');
            let (name, value) = pair.ok_or_else(|| InvalidLabels::NoPair(shown(label)))?;
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            if labels.contains_key(&name) {
                return Err(InvalidLabels::Twice(shown(&name)));
            }
            labels.insert(name, value);
        }
        Self::try_from(labels)
    }
}

impl fmt::Display for Labels {
    /// As they are read, by their names' order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (name, value)) in self.0.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            write!(f, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

/// Why labels are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabels {
    /// Too many.
    #[error("labels must be at most {max}, not {0}", max = Labels::MAX)]
    TooMany(usize),
    /// No name before a value.
    #[error("labels are written as name=value with commas between them, and `{0}` has no `=`")]
    NoPair(String),
    /// The same name twice.
    #[error("labels hold `{0}` twice")]
    Twice(String),
    /// No name of a label.
    #[error(
        "labels: `{0}` cannot be a name; one is 1 to 63 letters, digits, `-`, `_` or `.`, \
         with a letter or digit at both ends, after an optional DNS name and `/`"
    )]
    Name(String),
    /// No value of a label.
    #[error(
        "labels: the value of `{0}` must be at most 63 letters, digits, `-`, `_` or `.`, \
         with a letter or digit at both ends"
    )]
    Value(String),
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// `zone`, or `example.com/zone`.
fn is_name(name: &str) -> bool {
    match name.split_once('/') {
        None => is_segment(name),
        Some((prefix, name)) => is_dns_name(prefix) && is_segment(name),
    }
}

fn is_segment(text: &str) -> bool {
    let within = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= Labels::MAX_NAME_CHARS
        && text.bytes().all(within)
        && has_ends_of(text, |byte| byte.is_ascii_alphanumeric())
}

fn is_dns_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        part.bytes().all(|byte| plain(byte) || byte == b'-') && has_ends_of(part, plain)
    };
    text.len() <= Labels::MAX_PREFIX_CHARS && text.split('.').all(is_part)
}

/// Whether there is something, which begins and ends so.
fn has_ends_of(text: &str, is_end: impl Fn(u8) -> bool) -> bool {
    match (text.as_bytes().first(), text.as_bytes().last()) {
        (Some(first), Some(last)) => is_end(*first) && is_end(*last),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(list: &str) -> Labels {
        list.parse().unwrap()
    }

    #[test]
    fn a_list_and_an_object_are_the_same_labels() {
        let read = labels(" network=lab, zone = eu-1,");
        let object = serde_json::json!({"zone": "eu-1", "network": "lab"});
        assert_eq!(serde_json::from_value::<Labels>(object.clone()).unwrap(), read);
        assert_eq!(serde_json::to_value(&read).unwrap(), object);
        assert_eq!(read.to_string(), "network=lab,zone=eu-1");
        assert!(labels("").is_empty());
    }

    #[test]
    fn those_of_a_runner_hold_what_a_benchmark_asks_for_or_not() {
        let runner = labels("zone=eu-1,network=lab");
        for asked in ["", "zone=eu-1", "network=lab,zone=eu-1"] {
            assert!(labels(asked).are_all_in(&runner), "{asked}");
        }
        for asked in ["zone=eu-2", "gpu=", "zone=eu-1,gpu=h100"] {
            assert!(!labels(asked).are_all_in(&runner), "{asked}");
        }
    }

    #[test]
    fn names_and_values_are_kubernetes() {
        let long = |chars| "x".repeat(chars);
        for fine in [
            "topology.kubernetes.io/zone=eu-1".to_owned(),
            "A.b_c-9=".to_owned(),
            format!("{}={}", long(63), long(63)),
            format!("{}/zone=1", [long(63), long(63), long(63), long(61)].join(".")),
        ] {
            assert!(fine.parse::<Labels>().is_ok(), "{fine}");
        }
        for (bad, why) in [
            ("zone", "has no `=`"),
            ("=eu", "`` cannot be a name"),
            ("-zone=eu", "`-zone` cannot be a name"),
            ("a/b/c=eu", "`a/b/c` cannot be a name"),
            ("/zone=eu", "`/zone` cannot be a name"),
            ("Example.com/zone=eu", "cannot be a name"),
            ("zone=eu 1", "the value of `zone`"),
            ("zone=eu-", "the value of `zone`"),
            ("zone=ü", "the value of `zone`"),
            ("zone=1,zone=1", "hold `zone` twice"),
            ("a=,b=,c=,d=,e=,f=,g=,h=,i=", "at most 8, not 9"),
            (&format!("{}=1", long(64)), "cannot be a name"),
            (&format!("zone={}", long(64)), "the value of `zone`"),
        ] {
            let refused = bad.parse::<Labels>().unwrap_err().to_string();
            assert!(refused.contains(why), "{bad}: {refused}");
        }
    }
}
