//! Why a target cannot be measured: one of the contract's reasons, with the target's own words.

use shared::{Reason, ReasonCode};

use crate::{Control, TargetError};

/// Why the probe ended a run before its load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", reason.detail)]
pub struct ProbeFailure {
    reason: Reason,
    /// The status that the target refused with, where it was one.
    status: Option<u16>,
}

impl ProbeFailure {
    pub(super) fn new(code: ReasonCode, detail: impl Into<String>) -> Self {
        Self { reason: Reason::new(code, detail), status: None }
    }

    pub(super) fn unusable(detail: String) -> Self {
        Self::new(ReasonCode::TargetUnusable, detail)
    }

    /// The reason as a benchmark carries it.
    pub fn reason(&self) -> Reason {
        self.reason.clone()
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    /// The same without the key, whatever the target put into its words.
    pub(super) fn scrubbed(self, control: &Control) -> Self {
        let detail = control.scrubbed(&self.reason.detail);
        Self { reason: Reason { detail, ..self.reason }, ..self }
    }
}

impl From<TargetError> for ProbeFailure {
    fn from(error: TargetError) -> Self {
        let code = match &error {
            TargetError::Blocked(_) => ReasonCode::PolicyBlocked,
            TargetError::Unreachable(_) | TargetError::Timeout { .. } => {
                ReasonCode::TargetUnreachable
            }
            TargetError::Status { status: 401 | 403, .. } | TargetError::UnusableKey => {
                ReasonCode::AuthRejected
            }
            TargetError::Status { status: 400 | 404 | 422, excerpt, .. }
                if says_no_model(excerpt) =>
            {
                ReasonCode::ModelMissing
            }
            TargetError::NoModel => ReasonCode::ModelMissing,
            TargetError::Setup(_) => ReasonCode::Internal,
            TargetError::Status { .. }
            | TargetError::Redirect { .. }
            | TargetError::Encoded(_)
            | TargetError::TooLarge { .. }
            | TargetError::NotJson(_)
            | TargetError::NotAList(_)
            | TargetError::Refused(_) => ReasonCode::TargetUnusable,
        };
        let status = match &error {
            TargetError::Status { status, .. } => Some(*status),
            _ => None,
        };
        Self { reason: Reason::new(code, error.to_string()), status }
    }
}

/// Whether a refusal speaks of a model that is not there; each server has its own words for it.
fn says_no_model(words: &str) -> bool {
    const ABSENT: &[&str] = &[
        "not found",
        "not_found",
        "does not exist",
        "doesn't exist",
        "not exist",
        "no such",
        "unknown model",
        "invalid model",
        "not available",
        "is not served",
    ];
    let words = words.to_lowercase();
    words.contains("model") && ABSENT.iter().any(|absent| words.contains(absent))
}
