//! Bytes to events, by the WHATWG event-stream rules.
//!
//! Pure: no clock, no I/O, no JSON. It stands between two reads of the hot path, so an event that
//! lies whole in the pushed slice is handed out as a part of that slice, without a copy; only one
//! that was cut, or that has several `data` lines, goes through a buffer, and the buffer is kept.

use memchr::memchr2;

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// Bytes of buffer kept between events; what a rare huge event took beyond is given back.
const KEPT_BYTES: usize = 16 * 1024;

/// An event, or a line of one, longer than the decoder's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {max_bytes} bytes")]
pub struct EventTooLong {
    /// The limit.
    pub max_bytes: usize,
}

/// Cuts a stream of bytes into the `data` of its events.
///
/// Lines end with LF, CRLF or CR; a blank line ends an event; `data:` may be followed by one space,
/// and several `data` lines are joined with LF. Comments and the fields `event`, `id` and `retry`
/// are read over. An event without a `data` line is none; one with an empty `data` line is an
/// empty one. A BOM before the first line is skipped.
#[derive(Debug)]
pub struct Decoder {
    max_event_bytes: usize,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The `data` of the open event, where it did not fit in one slice or one line.
    data: Vec<u8>,
    /// Whether the open event has `data` lines in [`Self::data`].
    has_data: bool,
    /// Whether the last byte was a CR, so that an LF now belongs to the same line end.
    after_cr: bool,
    /// Bytes of the BOM seen so far; none: the first line has begun.
    bom: Option<usize>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    ///
    /// - `max_event_bytes`: most bytes of an event's joined `data`, and of any one line.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            bom: Some(0),
        }
    }

    /// Takes the next bytes and calls `on_event` with the `data` of each event that they end.
    ///
    /// Fails where an event or a line is longer than the limit; the decoder is then of no further
    /// use, and what `on_event` got before is good.
    pub fn push(
        &mut self,
        bytes: &[u8],
        mut on_event: impl FnMut(&[u8]),
    ) -> Result<(), EventTooLong> {
        let mut rest = self.skip_bom(bytes);
        // The open event's only `data` line so far, as long as it lies in `bytes`.
        let mut whole: Option<&[u8]> = None;
        while !rest.is_empty() {
            if self.after_cr {
                self.after_cr = false;
                if rest[0] == b'\n' {
                    rest = &rest[1..];
                    continue;
                }
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.check(self.line.len() + rest.len())?;
                self.line.extend_from_slice(rest);
                break;
            };
            self.after_cr = rest[end] == b'\r';
            let part = &rest[..end];
            rest = &rest[end + 1..];
            if self.line.is_empty() {
                self.check(part.len())?;
                if part.is_empty() {
                    self.dispatch(whole.take(), &mut on_event);
                } else if let Some(value) = data_of(part) {
                    if whole.is_none() && !self.has_data {
                        whole = Some(value);
                    } else {
                        self.append_whole(&mut whole);
                        self.append(value)?;
                    }
                }
            } else {
                self.check(self.line.len() + part.len())?;
                self.line.extend_from_slice(part);
                self.append_whole(&mut whole);
                self.take_line()?;
            }
        }
        self.append_whole(&mut whole);
        Ok(())
    }

    /// Ends the stream: hands out the last event where its blank line, or even the end of its
    /// last line, is missing.
    ///
    /// The rules would drop it, but real servers forget the blank line after `data: [DONE]`. A
    /// connection that was cut can leave half an event here: take one that cannot be read as the
    /// stream's truncation, not as a malformed event. The decoder is then as new.
    pub fn finish(&mut self, mut on_event: impl FnMut(&[u8])) {
        // A last line over the limit was refused when it was pushed; joined it may be, and is lost.
        if !self.line.is_empty() {
            let _ = self.take_line();
        }
        self.dispatch(None, &mut on_event);
        *self = Self::new(self.max_event_bytes);
    }

    fn check(&self, bytes: usize) -> Result<(), EventTooLong> {
        if bytes > self.max_event_bytes {
            return Err(EventTooLong { max_bytes: self.max_event_bytes });
        }
        Ok(())
    }

    /// What follows the BOM. A beginning that only looked like one is put back as a line's.
    fn skip_bom<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        while let (Some(seen), Some(first)) = (self.bom, bytes.first()) {
            if *first == BOM[seen] {
                self.bom = if seen + 1 == BOM.len() { None } else { Some(seen + 1) };
                bytes = &bytes[1..];
            } else {
                self.line.extend_from_slice(&BOM[..seen]);
                self.bom = None;
            }
        }
        bytes
    }

    /// Reads [`Self::line`], now whole, and empties it.
    fn take_line(&mut self) -> Result<(), EventTooLong> {
        let mut line = std::mem::take(&mut self.line);
        let appended = data_of(&line).map_or(Ok(()), |value| self.append(value));
        line.clear();
        line.shrink_to(KEPT_BYTES);
        self.line = line;
        appended
    }

    /// Moves a value out of the slice, which ends before the event does.
    fn append_whole(&mut self, whole: &mut Option<&[u8]>) {
        if let Some(value) = whole.take() {
            debug_assert!(!self.has_data, "a value in the slice is the event's first");
            self.data.extend_from_slice(value);
            self.has_data = true;
        }
    }

    fn append(&mut self, value: &[u8]) -> Result<(), EventTooLong> {
        if self.has_data {
            self.check(self.data.len() + 1 + value.len())?;
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        self.has_data = true;
        Ok(())
    }

    fn dispatch(&mut self, whole: Option<&[u8]>, on_event: &mut impl FnMut(&[u8])) {
        if let Some(value) = whole {
            on_event(value);
        } else if self.has_data {
            on_event(&self.data);
            self.has_data = false;
            self.data.clear();
            self.data.shrink_to(KEPT_BYTES);
        }
    }
}

/// The value of a `data` line; none: another field or a comment.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    match rest {
        [] => Some(rest),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
