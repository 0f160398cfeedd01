//! The columns, each with its name, its unit and what it means: the one list there is.

use std::fmt::Write as _;

use crate::record::{Connection, Record};

/// One column of the file.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name; ends in its unit where it has one.
    pub name: &'static str,
    /// The unit of its values; empty: none.
    pub unit: &'static str,
    /// What it says, in one sentence.
    pub doc: &'static str,
    /// What its values are, and where they come from.
    pub(crate) value: Value,
}

/// How a column is got from a record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Whole(fn(&Record) -> Option<u64>),
    Number(fn(&Record) -> Option<f64>),
    Text(fn(&Record) -> Option<&str>),
    Flag(fn(&Record) -> Option<bool>),
    Wholes(fn(&Record) -> &[u64]),
}

/// What a column's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64-bit whole numbers.
    Whole,
    /// 64-bit floating point numbers.
    Number,
    /// UTF-8.
    Text,
    /// True or false.
    Flag,
    /// Lists of 64-bit whole numbers.
    Wholes,
}

impl Column {
    /// What its values are.
    pub const fn kind(&self) -> Kind {
        match self.value {
            Value::Whole(_) => Kind::Whole,
            Value::Number(_) => Kind::Number,
            Value::Text(_) => Kind::Text,
            Value::Flag(_) => Kind::Flag,
            Value::Wholes(_) => Kind::Wholes,
        }
    }

    const fn whole(
        name: &'static str,
        unit: &'static str,
        of: fn(&Record) -> Option<u64>,
        doc: &'static str,
    ) -> Self {
        Self { name, unit, doc, value: Value::Whole(of) }
    }

    const fn number(
        name: &'static str,
        unit: &'static str,
        of: fn(&Record) -> Option<f64>,
        doc: &'static str,
    ) -> Self {
        Self { name, unit, doc, value: Value::Number(of) }
    }

    const fn text(name: &'static str, of: fn(&Record) -> Option<&str>, doc: &'static str) -> Self {
        Self { name, unit: "", doc, value: Value::Text(of) }
    }

    const fn flag(name: &'static str, of: fn(&Record) -> Option<bool>, doc: &'static str) -> Self {
        Self { name, unit: "", doc, value: Value::Flag(of) }
    }
}

/// When each token event came: there only where it was asked for, as it outweighs all the others.
pub const TOKEN_TIMES: Column = Column {
    name: "token_times_us",
    unit: "us",
    doc: "When each token event came, in order; only with `record_tokens`.",
    value: Value::Wholes(|r| &r.token_times_us),
};

/// Every column of every file, in order. Instants are microseconds from the run's origin, which
/// the file's `started_at` anchors.
pub const COLUMNS: &[Column] = &[
    Column::whole(
        "index",
        "",
        |r| Some(r.index),
        "In which place it ended, from 0; with several runners, that place with its runner × runners + its shard.",
    ),
    Column::whole(
        "user",
        "",
        |r| r.user.map(u64::from),
        "The virtual user, from 0; null in an open loop.",
    ),
    Column::whole(
        "nth",
        "",
        |r| Some(r.nth),
        "Which of its user's requests, from 0; in an open loop, its number in the schedule.",
    ),
    Column::whole(
        "turn",
        "",
        |r| r.turn.map(u64::from),
        "Which turn of its user's conversation, from 1; null where users hold none.",
    ),
    Column::whole("intended_us", "us", |r| Some(r.intended_us), "When it was due."),
    Column::whole("picked_up_us", "us", |r| Some(r.picked_up_us), "When a load thread took it up."),
    Column::whole(
        "sent_us",
        "us",
        |r| r.sent_us,
        "When its first byte was handed to the socket; null where none was.",
    ),
    Column::whole("first_event_us", "us", |r| r.first_event_us, "First SSE event of any kind."),
    Column::whole("first_token_us", "us", |r| r.first_token_us, "First token event."),
    Column::whole(
        "first_answer_us",
        "us",
        |r| r.first_answer_us,
        "First token event that is not reasoning.",
    ),
    Column::whole(
        "last_token_us",
        "us",
        |r| r.last_token_us,
        "Last token event; of an answer that was not streamed, its last byte.",
    ),
    Column::whole("end_us", "us", |r| Some(r.end_us), "When it was over, well or not."),
    Column::text(
        "outcome",
        |r| Some(r.outcome.as_str()),
        "`completed`, `failed`, or `cancelled`: still open when the run ended.",
    ),
    Column::text("failure", |r| r.failure, "The class of its failure, as in the report."),
    Column::text("message", |r| r.message.as_deref(), "The failure in words, cut at 512 bytes."),
    Column::whole(
        "http_status",
        "",
        |r| r.http_status.map(u64::from),
        "Status of the response; null where none came.",
    ),
    Column::flag(
        "counted",
        |r| Some(r.counted),
        "Whether the report's latencies count it: not in a `warmup` or `cooldown` that is left out.",
    ),
    Column::number("ttft_ms", "ms", |r| since_sent_ms(r, r.first_token_us), "TTFT."),
    Column::number("ttfa_ms", "ms", |r| since_sent_ms(r, r.first_answer_us), "TTFA."),
    Column::number("ttfe_ms", "ms", |r| since_sent_ms(r, r.first_event_us), "Sent to first event."),
    Column::number("e2e_ms", "ms", |r| since_sent_ms(r, r.last_token_us), "E2E latency."),
    Column::number("tpot_ms", "ms", |r| r.tpot_ms, "TPOT; null below two tokens or token events."),
    Column::number("itl_mean_ms", "ms", |r| r.itl_mean_ms, "Mean of its ITL samples."),
    Column::number(
        "stall_ms",
        "ms",
        |r| r.stall_us.map(milliseconds),
        "Its longest gap between token events.",
    ),
    Column::whole("token_events", "", |r| Some(r.token_events), "Token events that came."),
    Column::whole("input_tokens", "tokens", |r| r.input_tokens, "Prompt tokens."),
    Column::whole("output_tokens", "tokens", |r| Some(r.output_tokens), "Output tokens."),
    Column::whole(
        "reasoning_tokens",
        "tokens",
        |r| r.reasoning_tokens,
        "Of them, reasoning tokens, where usage tells.",
    ),
    Column::whole(
        "output_by_tokenizer",
        "tokens",
        |r| r.output_by_tokenizer,
        "The tokenizer's own count, where there is a tokenizer.",
    ),
    Column::text(
        "token_source",
        |r| Some(r.token_source),
        "Who counted `output_tokens`: `usage`, `tokenizer` or `events`.",
    ),
    Column::whole(
        "asked_tokens",
        "tokens",
        |r| Some(r.asked_tokens.into()),
        "`max_tokens` of the request.",
    ),
    Column::text(
        "finish_reason",
        |r| r.finish_reason.as_deref(),
        "The server's word for why the answer ended.",
    ),
    Column::text(
        "connection",
        |r| match r.connection? {
            Connection::Opened { .. } => Some("opened"),
            Connection::Reused => Some("reused"),
        },
        "`opened` for it, or `reused`; null where it got none.",
    ),
    Column::whole(
        "connect_us",
        "us",
        |r| match r.connection? {
            Connection::Opened { connect_us } => Some(connect_us),
            Connection::Reused => None,
        },
        "TCP connect of the connection that was opened, without DNS and TLS.",
    ),
    Column::whole(
        "token_reads",
        "",
        |r| Some(r.token_reads.into()),
        "Reads that brought token events.",
    ),
    Column::whole(
        "coalesced_reads",
        "",
        |r| Some(r.coalesced_reads.into()),
        "Of them, those that brought more than one: there a stamp is an upper bound.",
    ),
    Column::whole(
        "target",
        "",
        |r| Some(r.target.into()),
        "Which server it went to: 0 is `url`, then `urls` in their order.",
    ),
];

/// From sent to `at_us`; none where either is not known.
fn since_sent_ms(record: &Record, at_us: Option<u64>) -> Option<f64> {
    Some(milliseconds(at_us?.saturating_sub(record.sent_us?)))
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn milliseconds(us: u64) -> f64 {
    us as f64 / 1e3
}

/// The schema of `columns` in Parquet's own notation.
pub(crate) fn message(columns: &[Column]) -> String {
    let mut message = "message requests {".to_owned();
    for column in columns {
        let name = column.name;
        _ = match column.kind() {
            Kind::Whole => write!(message, " optional int64 {name};"),
            Kind::Number => write!(message, " optional double {name};"),
            Kind::Text => write!(message, " optional binary {name} (STRING);"),
            Kind::Flag => write!(message, " optional boolean {name};"),
            Kind::Wholes => write!(
                message,
                " optional group {name} (LIST) {{ repeated group list {{ required int64 element; }} }}"
            ),
        };
    }
    message.push_str(" }");
    message
}
