//! An HTTP/1.1 response, read without I/O: bytes in, head and body out.
//!
//! What frames an answer to a POST: chunks, a length, or the connection's end; interim answers are
//! passed over. It allocates nothing once the head has been read, and hands body bytes out where
//! they lie.

use std::fmt;

/// Most bytes of a head.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Most headers of a head.
pub(crate) const MAX_HEADERS: usize = 128;
/// Most bytes that are no body in a chunked one: extensions of its chunks, and its trailer.
const MAX_IGNORED_BYTES: usize = 16 * 1024;
/// Longest body that can be announced.
const MAX_LENGTH: u64 = u64::MAX - 2;

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
    Size { size: u64, at: SizeLine },
    /// In a chunk, so many bytes before its end.
    Chunk(u64),
    /// In the line end after a chunk.
    ChunkEnd { cr: bool },
    /// In the trailer, the last line of which is empty.
    Trailer(TrailerLine),
    /// After the end.
    Over,
}

/// Where in a line of chunk size. Its end is CR and LF, nothing less: a server whose lines end
/// otherwise has lost count, and what follows is not what it meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SizeLine {
    /// Before the first digit.
    Start,
    Digits,
    /// In the blanks behind the digits.
    Blanks,
    Extension,
    /// Behind its CR.
    Cr,
}

/// Where in a trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrailerLine {
    Start,
    Within,
    /// Behind a line's CR.
    Cr,
    /// Behind the CR of the empty line.
    LastCr,
}

const FIRST_SIZE: State = State::Size { size: 0, at: SizeLine::Start };

/// Reads one response.
pub struct ResponseReader {
    state: State,
    /// The beginning of a head that came in pieces.
    head: Vec<u8>,
    /// Bytes of extensions and of the trailer so far.
    ignored: usize,
}

impl fmt::Debug for ResponseReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(f)
    }
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self { state: State::Head, head: Vec::new(), ignored: 0 }
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
                State::Chunk(0) => self.state = State::ChunkEnd { cr: false },
                State::Chunk(left) => {
                    let body = take(input, left);
                    self.state = State::Chunk(left - body.len() as u64);
                    return Ok(Some(Part::Body(body)));
                }
                State::ChunkEnd { cr } => {
                    self.state = match (cr, one(input)) {
                        (false, b'\r') => State::ChunkEnd { cr: true },
                        (true, b'\n') => FIRST_SIZE,
                        _ => return Err(BadResponse::Frame("no line end after a chunk")),
                    };
                }
                State::Trailer(line) => {
                    if self.trailer(line, one(input))? {
                        return Ok(Some(Part::End));
                    }
                }
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
        if length > MAX_HEAD_BYTES {
            return Err(BadResponse::HeadTooLarge);
        }
        if length > MAX_HEAD_BYTES {
            return Err(BadResponse::HeadTooLarge);
        }
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
        let State::Size { size, at } = self.state else { return Ok(()) };
        let byte = one(input);
        let next = |at| State::Size { size, at };
        self.state = match (at, byte) {
            (SizeLine::Start | SizeLine::Digits, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let larger = size.checked_mul(16).map(|size| size | u64::from(digit));
                let size = larger.ok_or(BadResponse::Frame("a chunk's size is too large"))?;
                State::Size { size, at: SizeLine::Digits }
            }
            (SizeLine::Start, _) => return Err(BadResponse::Frame("a chunk without a size")),
            (SizeLine::Digits | SizeLine::Blanks, b' ' | b'\t') => next(SizeLine::Blanks),
            (SizeLine::Digits | SizeLine::Blanks, b';') => next(SizeLine::Extension),
            (SizeLine::Digits | SizeLine::Blanks | SizeLine::Extension, b'\r') => {
                next(SizeLine::Cr)
            }
            (SizeLine::Extension, byte) if byte != b'\n' => {
                self.ignore()?;
                next(SizeLine::Extension)
            }
            (SizeLine::Cr, b'\n') if size == 0 => State::Trailer(TrailerLine::Start),
            (SizeLine::Cr, b'\n') => State::Chunk(size),
            _ => return Err(BadResponse::Frame("a chunk's size is no number")),
        };
        Ok(())
    }

    /// Takes a byte of the trailer; true at the end of its empty line.
    fn trailer(&mut self, line: TrailerLine, byte: u8) -> Result<bool, BadResponse> {
        self.ignore()?;
        let next = match (line, byte) {
            (TrailerLine::Start, b'\r') => TrailerLine::LastCr,
            (TrailerLine::Within, b'\r') => TrailerLine::Cr,
            (TrailerLine::Start | TrailerLine::Within, _) => TrailerLine::Within,
            (TrailerLine::Cr, b'\n') => TrailerLine::Start,
            (TrailerLine::LastCr, b'\n') => {
                self.state = State::Over;
                return Ok(true);
            }
            _ => return Err(BadResponse::Frame("a trailer's line does not end")),
        };
        self.state = State::Trailer(next);
        Ok(false)
    }

    fn ignore(&mut self) -> Result<(), BadResponse> {
        self.ignored += 1;
        if self.ignored > MAX_IGNORED_BYTES {
            return Err(BadResponse::Frame("too much that is no body"));
        }
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
    if status < 100 {
        return Err(BadResponse::Head(format!("the status {status:03}")));
    }
    let is_http_1_1 = response.version == Some(1);
    let (mut keeps, mut closes) = (is_http_1_1, false);
    let (mut content_type, mut retry_after) = (None, None);
    // Of several transfer-encodings the last counts: it is the one that was put around the others.
    let (mut length, mut chunked) = (None::<u64>, None);
    for header in response.headers.iter() {
        let text = text(header.value);
        let words = || text.unwrap_or_default().split(',').map(str::trim);
        let has = |wanted: &str| words().any(|word| word.eq_ignore_ascii_case(wanted));
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-type") {
            content_type = content_type.or(text.map(str::to_owned));
        } else if is("retry-after") {
            retry_after = retry_after.or(text.map(str::to_owned));
        } else if is("connection") {
            closes |= has("close");
            keeps |= has("keep-alive");
        } else if is("transfer-encoding") {
            chunked = Some(words().next_back().is_some_and(|w| w.eq_ignore_ascii_case("chunked")));
        } else if is("content-length") {
            for word in words() {
                let number = number(word).filter(|number| *number <= MAX_LENGTH);
                let number =
                    number.ok_or(BadResponse::Frame("a content-length that is no number"))?;
                if length.is_some_and(|known| known != number) {
                    return Err(BadResponse::Frame("two content-lengths"));
                }
                length = Some(number);
            }
        }
    }
    let mut keep_alive = keeps && !closes;
    let state = match (status, chunked, length) {
        (101, ..) => {
            keep_alive = false;
            State::Length(0)
        }
        (204 | 304, ..) => State::Length(0),
        (_, Some(_), _) if !is_http_1_1 => {
            return Err(BadResponse::Frame("a transfer-encoding in HTTP/1.0"));
        }
        (_, Some(true), _) => FIRST_SIZE,
        (_, None, Some(length)) => State::Length(length),
        (_, Some(false) | None, _) => {
            keep_alive = false;
            State::Close
        }
    };
    Ok((ResponseHead { status, content_type, retry_after, keep_alive }, state))
}

/// A header's value, where it is visible ASCII.
fn text(value: &[u8]) -> Option<&str> {
    let visible = value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    std::str::from_utf8(value).ok().filter(|_| visible).map(str::trim)
}

/// Digits and nothing else, as a sign would be.
fn number(word: &str) -> Option<u64> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
