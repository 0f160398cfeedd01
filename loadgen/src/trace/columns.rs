//! CSV that tells of each request when it came and how long it and its answer were.

use super::{Said, Written, cells::Cells, error::LineError, input, output};

/// How a format writes that.
pub(super) struct Layout {
    /// The columns' names.
    pub(super) time: &'static str,
    pub(super) input: &'static str,
    pub(super) output: &'static str,
    /// Microseconds, from wherever the format counts, of a time in the column of that name.
    pub(super) at_us: fn(&'static str, &str) -> Result<i64, LineError>,
}

/// Where the columns of a layout are.
pub(super) struct Columns {
    layout: &'static Layout,
    time: usize,
    input: usize,
    output: usize,
}

impl Columns {
    /// None: `header` is of another layout.
    pub(super) fn of(layout: &'static Layout, header: &Cells) -> Option<Self> {
        Some(Self {
            layout,
            time: header.column(layout.time)?,
            input: header.column(layout.input)?,
            output: header.column(layout.output)?,
        })
    }

    pub(super) fn row(&self, cells: &Cells) -> Result<Written, LineError> {
        let Layout { time, input: of_input, output: of_output, at_us } = *self.layout;
        let at_us = at_us(time, cells.text(self.time))?;
        let tokens = input(of_input, cells.number(self.input, of_input)?)?;
        let output_tokens = output(of_output, cells.number(self.output, of_output)?)?;
        let said = Said::Tokens { tokens, blocks: Box::default() };
        Ok(Written { at_us, output_tokens: Some(output_tokens), said })
    }
}
