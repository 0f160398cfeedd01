//! The cells of a line of CSV (RFC 4180, without line ends inside of quotes).

use std::borrow::Cow;

use super::error::LineError;

/// The cells of one line.
pub(super) struct Cells<'a>(Vec<Cow<'a, str>>);

impl<'a> Cells<'a> {
    pub(super) fn of(line: &'a [u8]) -> Result<Self, LineError> {
        let mut rest = std::str::from_utf8(line).map_err(|_| LineError::NotUtf8)?;
        let mut cells = Vec::with_capacity(8);
        loop {
            let (cell, behind) = match rest.strip_prefix('"') {
                Some(quoted) => in_quotes(quoted)?,
                None => {
                    let end = rest.find(',').unwrap_or(rest.len());
                    (Cow::Borrowed(rest[..end].trim()), &rest[end..])
                }
            };
            cells.push(cell);
            match behind.strip_prefix(',') {
                Some(next) => rest = next,
                None if behind.trim().is_empty() => return Ok(Self(cells)),
                None => return Err(LineError::OpenQuote),
            }
        }
    }

    /// The column of a header that is called `name`.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|cell| cell.trim() == name)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The cell in `column`, of a line that has as many as its header.
    pub(super) fn text(&self, column: usize) -> &str {
        self.0[column].trim()
    }

    /// The same as a whole number.
    pub(super) fn number(&self, column: usize, field: &'static str) -> Result<u64, LineError> {
        let value = self.text(column);
        value.parse().map_err(|_| LineError::NoNumber { field, value: shortened(value) })
    }

    /// Refuses a line that has not `expected` cells.
    pub(super) fn check(&self, expected: usize) -> Result<(), LineError> {
        let found = self.count();
        if found == expected { Ok(()) } else { Err(LineError::Cells { found, expected }) }
    }
}

/// A cell up to its closing quote, and what is behind that.
fn in_quotes(quoted: &str) -> Result<(Cow<'_, str>, &str), LineError> {
    let mut from = 0;
    loop {
        let end = from + quoted[from..].find('"').ok_or(LineError::OpenQuote)?;
        let behind = &quoted[end + 1..];
        if behind.starts_with('"') {
            from = end + 2;
            continue;
        }
        let cell = &quoted[..end];
        let cell = if from == 0 { cell.into() } else { cell.replace("\"\"", "\"").into() };
        return Ok((cell, behind));
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
        Cells::of(line.as_bytes()).map(|cells| cells.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn cells_may_be_quoted() {
        assert_eq!(cells("a,b , c").unwrap(), ["a", "b", "c"]);
        assert_eq!(cells(r#""a,b","say ""hi""",c"#).unwrap(), ["a,b", "say \"hi\"", "c"]);
        assert_eq!(cells("a,,").unwrap(), ["a", "", ""]);
        assert_eq!(cells(r#""",x"#).unwrap(), ["", "x"]);
        for broken in [r#""a"#, r#""a"b,c"#, r#""a"",b"#] {
            assert_eq!(cells(broken), Err(LineError::OpenQuote), "{broken}");
        }
        assert!(matches!(Cells::of(b"\xff,1"), Err(LineError::NotUtf8)));
    }
}
