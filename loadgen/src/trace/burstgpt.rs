//! `BurstGPT`: CSV with `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`.
//!
//! Source: README of HPMLL/BurstGPT. Times are seconds from the first day's midnight. Responses of
//! 0 tokens are requests that failed when they were recorded; they are sent like the others.

use super::{
    Said, Written,
    cells::{Cells, shortened},
    error::LineError,
    from_seconds, input, output,
};

const TIME: &str = "Timestamp";
const INPUT: &str = "Request tokens";
const OUTPUT: &str = "Response tokens";

/// Where its columns are.
pub(super) struct BurstGpt {
    columns: usize,
    time: usize,
    input: usize,
    output: usize,
}

impl BurstGpt {
    /// None: `header` is of another format.
    pub(super) fn with(header: &Cells<'_>) -> Option<Self> {
        Some(Self {
            columns: header.count(),
            time: header.column(TIME)?,
            input: header.column(INPUT)?,
            output: header.column(OUTPUT)?,
        })
    }

    pub(super) fn row(&self, cells: &Cells<'_>) -> Result<Written, LineError> {
        cells.check(self.columns)?;
        let time = cells.text(self.time);
        let no_time = || LineError::NoTime { field: TIME, value: shortened(time) };
        let at_us = from_seconds(TIME, time.parse().map_err(|_| no_time())?)?;
        let tokens = input(INPUT, cells.number(self.input, INPUT)?)?;
        let output_tokens = output(OUTPUT, cells.number(self.output, OUTPUT)?)?;
        let said = Said::Tokens { tokens, blocks: Box::default() };
        Ok(Written { at_us, output_tokens: Some(output_tokens), said })
    }
}
