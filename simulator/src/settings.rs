//! What is simulated, as command line options.

use clap::Args;

/// What is simulated. Rates are shares of requests, 0 to 1; a request has at most one fault.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Settings {
    /// The one model that is served.
    #[arg(long, default_value = "simulated")]
    pub model: String,
    /// Milliseconds from a request's arrival to its first token.
    #[arg(long, value_name = "MS", default_value = "200", value_parser = milliseconds)]
    pub ttft_ms: f64,
    /// Milliseconds from a token to the next.
    #[arg(long, value_name = "MS", default_value = "20", value_parser = milliseconds)]
    pub itl_ms: f64,
    /// Coefficient of variation of both times: each is multiplied by a lognormal of mean 1.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub jitter: f64,
    /// What jitter, words and faults derive from.
    #[arg(long, default_value = "0")]
    pub seed: u64,
    /// Tokens in one event; it is sent when the first of them is due.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub tokens_per_chunk: u32,
    /// Tokens after which an answer ends by itself; else only `max_tokens` ends it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub output_tokens: Option<u32>,
    /// Refuse requests that do not carry this key.
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,
    /// Share of requests refused with 429.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub fault_429: f64,
    /// Share of requests refused with 500.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub fault_500: f64,
    /// Share of answers whose connection is cut half-way.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub fault_cut: f64,
    /// Share of answers that stand still half-way until the client leaves.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub fault_stall: f64,
    /// Share of answers with an event half-way that is no JSON.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub fault_malformed: f64,
    /// Never tell token counts.
    #[arg(long)]
    pub no_usage: bool,
    /// Close the connection after every N-th answer; 0: never.
    #[arg(long, value_name = "N", default_value = "0")]
    pub close_every: u64,
    /// The same without announcing it, as llama.cpp's server does after each stream; 0: never.
    #[arg(long, value_name = "N", default_value = "0")]
    pub silent_close_every: u64,
    /// Requests that a connection of HTTP/2 may have open at once.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub http2_streams: u32,
}

impl Default for Settings {
    /// The same as the command line's defaults; a test holds them together.
    fn default() -> Self {
        Self {
            model: "simulated".to_owned(),
            ttft_ms: 200.0,
            itl_ms: 20.0,
            jitter: 0.0,
            seed: 0,
            tokens_per_chunk: 1,
            output_tokens: None,
            api_key: None,
            fault_429: 0.0,
            fault_500: 0.0,
            fault_cut: 0.0,
            fault_stall: 0.0,
            fault_malformed: 0.0,
            no_usage: false,
            close_every: 0,
            silent_close_every: 0,
            http2_streams: 100,
        }
    }
}

/// Settings that contradict each other.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidSettings {
    /// A request cannot have two faults.
    #[error("the fault rates must add up to at most 1, not {0}")]
    TooManyFaults(f64),
    /// An event must hold a token.
    #[error("tokens-per-chunk must be at least 1")]
    EmptyChunks,
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), InvalidSettings> {
        let faults = self.fault_429
            + self.fault_500
            + self.fault_cut
            + self.fault_stall
            + self.fault_malformed;
        // Rates such as 0.7 + 0.2 + 0.1 add up to a hair more than 1.
        if faults > 1.0 + 1e-9 {
            return Err(InvalidSettings::TooManyFaults(faults));
        }
        if self.tokens_per_chunk == 0 {
            return Err(InvalidSettings::EmptyChunks);
        }
        Ok(())
    }
}

fn share(text: &str) -> Result<f64, String> {
    within(text, 1.0)
}

fn milliseconds(text: &str) -> Result<f64, String> {
    within(text, 3_600_000.0)
}

fn within(text: &str, most: f64) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number| (0.0..=most).contains(number))
        .ok_or_else(|| format!("must be a number between 0 and {most}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn default_is_the_empty_command_line() {
        assert_eq!(CommandLine::parse_from(["simulate"]).settings, Settings::default());
    }

    #[test]
    fn a_rate_outside_0_to_1_is_refused_with_its_limit() {
        let refused =
            CommandLine::try_parse_from(["simulate", "--fault-429", "1.5"]).err().unwrap();
        assert!(refused.to_string().contains("between 0 and 1"), "{refused}");
    }

    #[test]
    fn a_request_cannot_have_two_faults() {
        let settings = Settings { fault_429: 0.6, fault_cut: 0.6, ..Settings::default() };
        assert_eq!(settings.check(), Err(InvalidSettings::TooManyFaults(1.2)));
        let full =
            Settings { fault_429: 0.7, fault_cut: 0.2, fault_500: 0.1, ..Settings::default() };
        assert_eq!(full.check(), Ok(()));
    }
}
