//! `BurstGPT`: CSV with `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`.
//!
//! Source: README of HPMLL/BurstGPT; release 2.0 has `Session ID` and `Elapsed time` too. Times are
//! seconds from the first day's midnight. Responses of 0 tokens are requests that failed when they
//! were recorded; they are sent like the others.

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
#[derive(Clone, Copy)]
pub(super) struct BurstGpt {
    time: usize,
    input: usize,
    output: usize,
}

impl BurstGpt {
    /// None: `header` is of another format.
    pub(super) fn with(header: &Cells) -> Option<Self> {
        Some(Self {
            time: header.column(TIME)?,
            input: header.column(INPUT)?,
            output: header.column(OUTPUT)?,
        })
    }

    pub(super) fn row(self, cells: &Cells) -> Result<Written, LineError> {
        let time = cells.text(self.time);
        let no_time = || LineError::NoTime { field: TIME, value: shortened(time) };
        let at_us = from_seconds(TIME, time.parse().map_err(|_| no_time())?)?;
        let tokens = input(INPUT, cells.number(self.input, INPUT)?)?;
        let output_tokens = output(OUTPUT, cells.number(self.output, OUTPUT)?)?;
        let said = Said::Tokens { tokens, blocks: Box::default() };
        Ok(Written { at_us, output_tokens: Some(output_tokens), said })
    }
}
