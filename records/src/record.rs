//! One request as it is kept.

/// One request: when things happened, what became of it, what was counted.
///
/// Instants are microseconds from the run's origin. What is not known is none, never 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// In which place it ended, from 0. Of a load that several runners make, in which place with its
    /// own runner, times runners, plus the number of its shard: no two rows have the same.
    pub index: u64,
    /// The virtual user; none in an open loop.
    pub user: Option<u32>,
    /// The user's how manyeth request, from 0; in an open loop, its number in the schedule.
    pub nth: u64,
    /// Which of the run's servers it went to, from 0.
    pub target: u32,
    /// Which turn of the user's conversation, from 1; none: there was no conversation.
    pub turn: Option<u32>,
    /// When the schedule wanted it sent.
    pub intended_us: u64,
    /// When a load thread took it up.
    pub picked_up_us: u64,
    /// When its first byte was handed to the socket.
    pub sent_us: Option<u64>,
    /// First event of any kind.
    pub first_event_us: Option<u64>,
    /// First token event.
    pub first_token_us: Option<u64>,
    /// First token event that is not reasoning.
    pub first_answer_us: Option<u64>,
    /// Last token event.
    pub last_token_us: Option<u64>,
    /// When it was over.
    pub end_us: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The failure's class, in the report's words.
    pub failure: Option<&'static str>,
    /// The failure in words.
    pub message: Option<String>,
    /// The response's status.
    pub http_status: Option<u16>,
    /// Whether the report's latencies count it: it lies in no margin that is left out.
    pub counted: bool,
    /// (last token event - first) / (streamed tokens - 1).
    pub tpot_ms: Option<f64>,
    /// Mean of the gaps between tokens.
    pub itl_mean_ms: Option<f64>,
    /// The longest gap between token events.
    pub stall_us: Option<u64>,
    /// Token events.
    pub token_events: u64,
    /// Prompt tokens.
    pub input_tokens: Option<u64>,
    /// Output tokens.
    pub output_tokens: u64,
    /// Of them, reasoning tokens as usage tells.
    pub reasoning_tokens: Option<u64>,
    /// The tokenizer's own count of the answer.
    pub output_by_tokenizer: Option<u64>,
    /// Who counted output tokens, in the report's words.
    pub token_source: &'static str,
    /// `max_tokens` of the request.
    pub asked_tokens: u32,
    /// The server's word for why the answer ended.
    pub finish_reason: Option<String>,
    /// How it came by its connection.
    pub connection: Option<Connection>,
    /// Reads that brought token events.
    pub token_reads: u32,
    /// Of them, those that brought more than one.
    pub coalesced_reads: u32,
    /// When each token event came; empty unless that was asked for.
    pub token_times_us: Vec<u64>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// In full.
    #[default]
    Completed,
    /// In one of the failure classes.
    Failed,
    /// Still open when the run ended or was cancelled.
    Cancelled,
}

impl Outcome {
    /// Its word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a request came by its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Opened for it; the TCP connect took this long, in microseconds.
    Opened {
        /// TCP connect alone, without DNS and TLS.
        connect_us: u64,
    },
    /// Had served before.
    Reused,
}
