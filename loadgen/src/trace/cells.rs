//! The cells of a line of CSV. A row is a line: a cell's quotes end where its line does.

use std::io::{self, Read};

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord, Trim};

use super::error::LineError;

/// Reads one line after another; the first one is the header.
pub(super) struct Cells {
    reader: Reader<Line>,
    row: StringRecord,
}

/// What the reader reads: a line, and never beyond it.
#[derive(Default)]
struct Line {
    text: Vec<u8>,
    read: usize,
}

impl Cells {
    pub(super) fn of(header: &[u8]) -> Result<Self, LineError> {
        let reader =
            ReaderBuilder::new().has_headers(false).trim(Trim::All).from_reader(Line::default());
        let mut cells = Self { reader, row: StringRecord::new() };
        cells.read(header)?;
        Ok(cells)
    }

    /// Goes on to `line`. One that has not as many cells as the header is refused.
    pub(super) fn read(&mut self, line: &[u8]) -> Result<(), LineError> {
        let next = self.reader.get_mut();
        next.text.clear();
        next.text.extend_from_slice(line);
        next.text.push(b'\n');
        next.read = 0;
        match self.reader.read_record(&mut self.row) {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.kind() {
                ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    LineError::Cells { found: *len, expected: *expected_len }
                }
                ErrorKind::Utf8 { .. } => LineError::NotUtf8,
                _ => LineError::OpenQuote,
            }),
        }
    }

    /// The column that is called `name`, while the header is what was read last.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.row.iter().position(|cell| cell == name)
    }

    /// The cell in a column of the header.
    pub(super) fn text(&self, column: usize) -> &str {
        self.row.get(column).unwrap_or_default()
    }

    /// The same as a whole number.
    pub(super) fn number(&self, column: usize, field: &'static str) -> Result<u64, LineError> {
        let value = self.text(column);
        value.parse().map_err(|_| LineError::NoNumber { field, value: shortened(value) })
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.text[self.read..];
        if left.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = left.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&left[..taken]);
        self.read += taken;
        Ok(taken)
    }
}

/// A cell as an error may repeat it.
pub(super) fn shortened(value: &str) -> String {
    value.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(line: &str) -> Result<Vec<String>, LineError> {
        let cells = Cells::of(line.as_bytes())?;
        Ok(cells.row.iter().map(str::to_owned).collect())
    }

    #[test]
    fn cells_may_be_quoted() {
        assert_eq!(cells("a,b , c").unwrap(), ["a", "b", "c"]);
        assert_eq!(cells(r#""a,b","say ""hi""",c"#).unwrap(), ["a,b", "say \"hi\"", "c"]);
        assert_eq!(cells("a,,").unwrap(), ["a", "", ""]);
        for broken in [r#"a,"b"#, r#""a"",b"#] {
            assert_eq!(cells(broken), Err(LineError::OpenQuote), "{broken}");
        }
        assert!(matches!(cells_of(b"\xff,1"), Err(LineError::NotUtf8)));
    }

    fn cells_of(line: &[u8]) -> Result<Cells, LineError> {
        Cells::of(line)
    }

    #[test]
    fn a_line_longer_than_the_readers_buffer_is_one_row() {
        let long = "x".repeat(100_000);
        let mut cells = Cells::of(b"a,b").unwrap();
        cells.read(format!("{long},2").as_bytes()).unwrap();
        assert_eq!((cells.text(0).len(), cells.number(1, "b")), (100_000, Ok(2)));
        cells.read(b"3,4").unwrap();
        assert_eq!(cells.text(0), "3");
    }
}
