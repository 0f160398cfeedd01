//! How a benchmark waits in the queue, as a client asks for it.

use serde_json::Value;

use super::reader::{Reader, shown};
use crate::{InvalidLabels, Labels, Priority, Timestamp, Waiting};

impl Reader<'_> {
    pub(super) fn waiting(&mut self) -> Waiting {
        Waiting {
            priority: self.number("priority", Priority::default()),
            run_at: self.run_at(),
            queue_timeout_s: self.optional("queue_timeout"),
            labels: self.labels(),
        }
    }

    /// An object, or `name=value` with commas between them.
    fn labels(&mut self) -> Labels {
        const NAME: &str = "labels";
        let is_object = match self.given.get(NAME) {
            Some(Value::String(text)) => text.trim_start().starts_with('{'),
            _ => true,
        };
        if is_object {
            return self.object(NAME).unwrap_or_default();
        }
        let list = self.text_within(NAME, Labels::MAX_CHARS).unwrap_or_default();
        list.parse().unwrap_or_else(|refused: InvalidLabels| {
            self.refuse(NAME, refused.to_string());
            Labels::default()
        })
    }

    /// RFC 3339, or seconds since 1970.
    fn run_at(&mut self) -> Option<Timestamp> {
        let written = match self.given.get("run_at")? {
            Value::Null => return None,
            Value::String(text) if text.trim().is_empty() => return None,
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        let read = match written.parse::<f64>() {
            Ok(seconds) => unix_seconds(seconds),
            Err(_) => written.parse().ok(),
        };
        if read.is_none() {
            let what = "an RFC 3339 time such as 2026-01-31T12:00:00Z, or unix seconds";
            self.refuse("run_at", format!("run_at must be {what}, not `{}`", shown(&written)));
        }
        read
    }
}

/// The instant, where it is before the year 10000.
#[expect(clippy::cast_possible_truncation, reason = "a whole number within the calendar")]
fn unix_seconds(seconds: f64) -> Option<Timestamp> {
    const END_OF_CALENDAR_S: f64 = 253_402_300_800.0;
    let known = (0.0..END_OF_CALENDAR_S).contains(&seconds);
    known.then(|| Timestamp::from_unix_ms((seconds * 1e3).round() as i64))
}
