//! A file line by line, in bounded memory.

use std::io::{BufRead, Read};

use super::error::{LineError, TraceError};

/// Most bytes of a line: the longest prompt, each of its characters escaped.
pub(super) const LONGEST_LINE: u64 = 6 * 1024 * 1024 + 4_096;

/// Lines with something in them, and their numbers, from 1.
pub(super) struct Lines<R> {
    input: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn of(input: R) -> Self {
        Self { input, number: 0, line: Vec::new() }
    }

    /// The next line that is not blank, without the blanks around it.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>, TraceError> {
        loop {
            self.line.clear();
            let limit = LONGEST_LINE + 1;
            let read = self.input.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read as u64 == limit {
                return Err(TraceError::Line { line: self.number, why: LineError::TooLong });
            }
            if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
                self.line.drain(..3);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((self.number, self.line.trim_ascii())));
            }
        }
    }
}
