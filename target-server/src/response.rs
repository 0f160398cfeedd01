//! An HTTP/1.1 response, read without I/O: bytes in, head and body out.
//!
//! What frames an answer to a POST: chunks, a length, or the connection's end; interim answers are
//! passed over. It allocates nothing once the head has been read, and hands body bytes out where
//! they lie.

use std::fmt;

/// Most bytes of a head, a trailer or a line of chunk size.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Most headers of a head.
const MAX_HEADERS: usize = 128;

/// What has been read.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The head.
    Head(ResponseHead),
    /// Some of the body.
    Body(&'a [u8]),
    /// The body's own end; what follows belongs to the next response.
    End,
}

/// Of a response's head, what an exchange needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status.
    pub status: u16,
    /// The `Content-Type` header, as far as it is text.
    pub content_type: Option<String>,
    /// The `Retry-After` header, as far as it is text.
    pub retry_after: Option<String>,
    /// Whether the connection may serve again when the body has ended.
    pub keep_alive: bool,
}

/// Why bytes are no HTTP/1.1 response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadResponse {
    /// The head cannot be read.
    #[error("not an HTTP/1.1 response: {0}")]
    Head(String),
    /// The head does not end.
    #[error("a response's head of more than {MAX_HEAD_BYTES} bytes")]
    HeadTooLarge,
    /// The body's frame cannot be read.
    #[error("a body that is framed wrongly: {0}")]
    Frame(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before the end of the head.
    Head,
    /// In a body of known length, so many bytes before its end.
    Length(u64),
    /// In a body that ends with the connection.
    Close,
    /// In the line that tells a chunk's size.
    Size { size: u64, digits: u32, ignoring: bool },
    /// In a chunk, so many bytes before its end.
    Chunk(u64),
    /// In the line end after a chunk.
    ChunkEnd,
    /// In the trailer, in a line with so many bytes so far.
    Trailer { line: usize, total: usize },
    /// After the end.
    Over,
}

/// Reads one response.
pub struct ResponseReader {
    state: State,
    /// The beginning of a head that came in pieces.
    head: Vec<u8>,
}

impl fmt::Debug for ResponseReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(f)
    }
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self { state: State::Head, head: Vec::new() }
    }
}

impl ResponseReader {
    /// Reads on: takes what it uses off `input` and returns the next part; none when all is used
    /// up.
    ///
    /// # Errors
    ///
    /// When the bytes are no response. The connection is of no use then.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, BadResponse> {
        loop {
            if input.is_empty() && !matches!(self.state, State::Length(0)) {
                return Ok(None);
            }
            match self.state {
                State::Head => match self.head(input)? {
                    Some(head) => return Ok(Some(Part::Head(head))),
                    None if input.is_empty() => return Ok(None),
                    None => {}
                },
                State::Length(0) => {
                    self.state = State::Over;
                    return Ok(Some(Part::End));
                }
                State::Length(left) => {
                    let body = take(input, left);
                    self.state = State::Length(left - body.len() as u64);
                    return Ok(Some(Part::Body(body)));
                }
                State::Close => return Ok(Some(Part::Body(take(input, u64::MAX)))),
                State::Size { .. } => self.size(input)?,
                State::Chunk(0) => self.state = State::ChunkEnd,
                State::Chunk(left) => {
                    let body = take(input, left);
                    self.state = State::Chunk(left - body.len() as u64);
                    return Ok(Some(Part::Body(body)));
                }
                State::ChunkEnd => match one(input) {
                    b'\r' => {}
                    b'\n' => self.state = State::Size { size: 0, digits: 0, ignoring: false },
                    _ => return Err(BadResponse::Frame("no line end after a chunk")),
                },
                State::Trailer { line, total } => match one(input) {
                    b'\n' if line == 0 => {
                        self.state = State::Over;
                        return Ok(Some(Part::End));
                    }
                    b'\n' => self.state = State::Trailer { line: 0, total: total + 1 },
                    b'\r' => {}
                    _ if total >= MAX_HEAD_BYTES => return Err(BadResponse::HeadTooLarge),
                    _ => self.state = State::Trailer { line: line + 1, total: total + 1 },
                },
                State::Over => return Err(BadResponse::Frame("bytes after the response's end")),
            }
        }
    }

    /// Whether nothing of the response has come yet.
    pub fn is_untouched(&self) -> bool {
        matches!(self.state, State::Head) && self.head.is_empty()
    }

    /// Whether only the connection's end ends the body.
    pub fn may_be_endless(&self) -> bool {
        matches!(self.state, State::Close)
    }

    /// Whether a connection that ends now ends the body, rather than breaks it.
    pub fn may_end_here(&self) -> bool {
        matches!(self.state, State::Close | State::Over)
    }

    fn head(&mut self, input: &mut &[u8]) -> Result<Option<ResponseHead>, BadResponse> {
        let known = self.head.len();
        let text: &[u8] = if known == 0 {
            input
        } else {
            self.head.extend_from_slice(input);
            &self.head
        };
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = httparse::ParserConfig::default()
            .parse_response(&mut response, text)
            .map_err(|error| BadResponse::Head(error.to_string()))?;
        let httparse::Status::Complete(length) = parsed else {
            if text.len() > MAX_HEAD_BYTES {
                return Err(BadResponse::HeadTooLarge);
            }
            if known == 0 {
                self.head.extend_from_slice(input);
            }
            *input = &[];
            return Ok(None);
        };
        let status = response.code.unwrap_or_default();
        let (head, state) = frame(&response)?;
        *input = &input[length - known..];
        self.head = Vec::new();
        if (100..200).contains(&status) && status != 101 {
            return Ok(None);
        }
        self.state = state;
        Ok(Some(head))
    }

    fn size(&mut self, input: &mut &[u8]) -> Result<(), BadResponse> {
        let State::Size { size, digits, ignoring } = self.state else { return Ok(()) };
        let byte = one(input);
        self.state = match byte {
            b'\n' if digits == 0 => return Err(BadResponse::Frame("a chunk without a size")),
            b'\n' if size == 0 => State::Trailer { line: 0, total: 0 },
            b'\n' => State::Chunk(size),
            b'\r' => self.state,
            b';' | b' ' | b'\t' if digits > 0 => State::Size { size, digits, ignoring: true },
            _ if ignoring && (digits as usize) < MAX_HEAD_BYTES => {
                State::Size { size, digits: digits + 1, ignoring }
            }
            _ => {
                let digit = char::from(byte).to_digit(16).filter(|_| digits < 16 && !ignoring);
                let digit = digit.ok_or(BadResponse::Frame("a chunk's size is no number"))?;
                State::Size { size: size << 4 | u64::from(digit), digits: digits + 1, ignoring }
            }
        };
        Ok(())
    }
}

/// Takes up to `most` bytes off the input.
fn take<'a>(input: &mut &'a [u8], most: u64) -> &'a [u8] {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
    let (taken, left) = input.split_at(length);
    *input = left;
    taken
}

/// Takes a byte off an input that is not empty.
fn one(input: &mut &[u8]) -> u8 {
    let (first, left) = (input[0], &input[1..]);
    *input = left;
    first
}

/// What a head says, and how the body behind it is framed (RFC 9112, section 6.3).
fn frame(response: &httparse::Response<'_, '_>) -> Result<(ResponseHead, State), BadResponse> {
    let status = response.code.unwrap_or_default();
    let mut keep_alive = response.version == Some(1);
    let (mut content_type, mut retry_after) = (None, None);
    let (mut length, mut chunked) = (None::<u64>, false);
    for header in response.headers.iter() {
        let text = || std::str::from_utf8(header.value).ok().map(str::trim);
        let has = |word: &str| {
            text().is_some_and(|text| {
                text.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
            })
        };
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-type") {
            content_type = text().map(str::to_owned);
        } else if is("retry-after") {
            retry_after = text().map(str::to_owned);
        } else if is("connection") {
            keep_alive = (keep_alive || has("keep-alive")) && !has("close");
        } else if is("transfer-encoding") {
            chunked = has("chunked");
            if !chunked {
                return Err(BadResponse::Frame("a transfer-encoding that is not chunked"));
            }
        } else if is("content-length") {
            let number = text().and_then(|text| text.parse().ok());
            let number = number.ok_or(BadResponse::Frame("a content-length that is no number"))?;
            if length.is_some_and(|known| known != number) {
                return Err(BadResponse::Frame("two content-lengths"));
            }
            length = Some(number);
        }
    }
    let state = match (status, chunked, length) {
        (204 | 304, ..) => State::Length(0),
        (_, true, _) => State::Size { size: 0, digits: 0, ignoring: false },
        (_, false, Some(length)) => State::Length(length),
        (_, false, None) => {
            keep_alive = false;
            State::Close
        }
    };
    Ok((ResponseHead { status, content_type, retry_after, keep_alive }, state))
}

#[cfg(test)]
mod tests;
