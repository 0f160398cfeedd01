//! What a run measured, and what its report says beside it.

use shared::{
    Report, SecondRow, Timestamp,
    report::{Environment, Histograms},
};

use crate::metrics::{Figures, TargetSide};

/// What a run, or a shard of one, measured, with what its report says beside the figures.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The figures.
    pub figures: Figures,
    pub(super) environment: Environment,
    pub(super) started_at: Timestamp,
    /// What the target said of itself; none: it said nothing, or nobody asked.
    pub(super) said: Option<TargetSide>,
}

impl Measured {
    /// Adds what others measured of the same run.
    pub fn join<'a>(&mut self, others: impl IntoIterator<Item = &'a Figures>) {
        for other in others {
            self.figures.merge(other);
        }
    }

    /// Its report.
    pub fn report(&self) -> Report {
        self.figures.report(self.environment.clone(), self.started_at, self.said.as_ref())
    }

    /// What happened in each second.
    pub fn series(&self) -> Vec<SecondRow> {
        self.figures.series(self.said.as_ref())
    }

    /// The samples behind the report.
    pub fn histograms(&self) -> Histograms {
        self.figures.histograms()
    }
}
