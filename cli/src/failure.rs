//! What keeps the hand from doing its work, in one line for the person at the terminal.

use std::fmt::Write;

use shared::{FieldError, Problem};

/// Why a command could not be done. A benchmark that failed is no failure of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Fields outside their limits.
    #[error("{}", sentences(.0))]
    Invalid(Vec<FieldError>),
    /// No answer from the server.
    #[error(
        "cannot reach {server}: {cause}; start one with `llm-bench up`, or run without one (--local)"
    )]
    Unreachable { server: String, cause: String },
    /// The server said no.
    #[error("{}", told(.0))]
    Refused(Box<Problem>),
    /// The server said no, in words of its own.
    #[error("{server} answered with HTTP {status}: {excerpt}")]
    Answered { server: String, status: u16, excerpt: String },
    /// The server's answer is none of ours.
    #[error("{server} does not answer like an LLM Benchmark API: {cause}")]
    Unreadable { server: String, cause: String },
    /// An option that cannot be what it says.
    #[error("{0}")]
    Usage(String),
    /// Everything else, with its causes.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

fn sentences(errors: &[FieldError]) -> String {
    errors.iter().map(|error| error.detail.as_str()).collect::<Vec<_>>().join("; ")
}

fn told(problem: &Problem) -> String {
    let mut line = problem.detail.clone();
    for error in problem.errors.iter().filter(|error| !problem.detail.contains(&error.detail)) {
        _ = write!(line, "; {}", error.detail);
    }
    if let Some(trace_id) = &problem.trace_id {
        _ = write!(line, " (the server's log calls this {trace_id})");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_every_field_once() {
        let problem = Problem {
            r#type: "/problems/validation".into(),
            title: "Invalid request".into(),
            status: 422,
            detail: "user must be between 1 and 640000, not 0".into(),
            message: String::new(),
            code: "validation".into(),
            errors: vec![
                FieldError::new("user", "user must be between 1 and 640000, not 0"),
                FieldError::new("duration", "duration must be between 1 and 3600, not 0"),
            ],
            trace_id: None,
        };
        assert_eq!(
            Failure::Refused(Box::new(problem)).to_string(),
            "user must be between 1 and 640000, not 0; duration must be between 1 and 3600, not 0"
        );
    }
}
