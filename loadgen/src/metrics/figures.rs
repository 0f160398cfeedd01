//! The figures of a run before they are put together: what several processes measured of one run
//! becomes what one would have.

use serde::{Deserialize, Serialize};
use shared::{
    Report, SecondRow, Timestamp,
    report::{Environment, Histograms, Stopped},
};

use super::{
    recorder::{Instrument, Recorder},
    target_side::TargetSide,
};
use crate::sample::Micros;

/// The form in which figures are sent. Another number, another form: nobody guesses.
const FORM: u8 = 2;

/// Figures that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableFigures {
    /// Another version of this program sent them.
    #[error("figures in form {0}, and this runner reads form {FORM}: runners of one version only")]
    Form(u8),
    /// They are broken.
    #[error("broken figures")]
    Broken(#[from] postcard::Error),
}

/// What was measured of a run, or of a shard of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub(crate) recorder: Recorder,
    pub(crate) instrument: Instrument,
    /// Until when it was measured, from the run's origin.
    pub(crate) until_us: Micros,
}

impl Figures {
    /// Adds what another process measured of the same run: it does not matter who sent which
    /// request, percentiles are those of all samples together.
    pub fn merge(&mut self, other: &Self) {
        self.recorder.merge(&other.recorder);
        self.instrument.merge(&other.instrument);
        self.until_us = self.until_us.max(other.until_us);
    }

    /// These figures, to be sent to another process of this version.
    ///
    /// # Errors
    ///
    /// Counts beyond what a histogram can hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, UnreadableFigures> {
        Ok(postcard::to_extend(self, vec![FORM])?)
    }

    /// The figures that were sent as `bytes`.
    ///
    /// # Errors
    ///
    /// Where they are of another version, or broken.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UnreadableFigures> {
        match bytes {
            [FORM, rest @ ..] => Ok(postcard::from_bytes(rest)?),
            [] => Err(UnreadableFigures::Form(0)),
            [form, ..] => Err(UnreadableFigures::Form(*form)),
        }
    }

    /// Why sending ended before its time; none: it did not.
    pub fn stopped(&self) -> Option<&Stopped> {
        self.recorder.stopped()
    }

    /// The report of these.
    ///
    /// - `started_at`: the run's origin by the wall clock.
    /// - `said`: what the target said of itself.
    pub(crate) fn report(
        &self,
        environment: Environment,
        started_at: Timestamp,
        said: Option<&TargetSide>,
    ) -> Report {
        let report = self.recorder.report(&self.instrument, environment, started_at, self.until_us);
        let target_metrics = said.map(|said| said.summary(self.until_us));
        Report { target_metrics, ..report }
    }

    /// What happened in each second.
    pub(crate) fn series(&self, said: Option<&TargetSide>) -> Vec<SecondRow> {
        let mut rows = self.recorder.series();
        if let Some(said) = said {
            said.fill(&mut rows);
        }
        rows
    }

    /// The samples behind the report.
    pub(crate) fn histograms(&self) -> Histograms {
        self.recorder.histograms(&self.instrument)
    }
}
