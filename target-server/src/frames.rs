//! When the frames of each stream were written, where many streams share a connection.
//!
//! h2 does not tell, so what it writes passes by here on its way to the socket (above TLS), and of
//! each frame the head is read: RFC 9113, section 4.1. A request is sent when the write of its
//! HEADERS' first byte begins, and written when the socket, or TLS, has taken the last byte of the
//! frame that ends it.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Clock;

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`, before the first frame.
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;

/// When a stream's request went out, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// The write of its first byte began.
    pub(crate) sent_ns: Option<u64>,
    /// Its last byte had been taken.
    pub(crate) written_ns: Option<u64>,
}

/// The frames that went out on a connection, by their stream; shared with its requests.
#[derive(Debug)]
pub(crate) struct Frames {
    clock: Arc<Clock>,
    reader: Mutex<FrameReader>,
}

impl Frames {
    pub(crate) fn new(clock: Arc<Clock>) -> Arc<Self> {
        Arc::new(Self { clock, reader: Mutex::new(FrameReader::default()) })
    }

    /// When the request of `stream` went out, so far.
    pub(crate) fn of(&self, stream: u32) -> Written {
        self.reader().streams.get(&stream).copied().unwrap_or_default()
    }

    /// Nobody will ask about `stream` any more.
    pub(crate) fn forget(&self, stream: u32) {
        self.reader().streams.remove(&stream);
    }

    fn reader(&self) -> MutexGuard<'_, FrameReader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the heads of frames out of the bytes between any two writes.
#[derive(Debug)]
struct FrameReader {
    /// Bytes to pass over before the next head.
    passing: usize,
    /// The stream that ends with what is passed over.
    ends: Option<u32>,
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// When the write with the head's first byte began.
    head_ns: u64,
    streams: HashMap<u32, Written>,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self {
            passing: PREFACE_BYTES,
            ends: None,
            head: [0; HEAD_BYTES],
            head_bytes: 0,
            head_ns: 0,
            streams: HashMap::new(),
        }
    }
}

impl FrameReader {
    /// Takes what one write took, that began and ended then.
    fn take(&mut self, mut bytes: &[u8], began_ns: u64, ended_ns: u64) {
        while !bytes.is_empty() {
            if self.passing > 0 {
                let passed = self.passing.min(bytes.len());
                bytes = &bytes[passed..];
                self.passing -= passed;
            } else {
                if self.head_bytes == 0 {
                    self.head_ns = began_ns;
                }
                self.head[self.head_bytes] = bytes[0];
                bytes = &bytes[1..];
                self.head_bytes += 1;
                if self.head_bytes == HEAD_BYTES {
                    self.begin();
                }
            }
            if self.passing == 0
                && self.head_bytes == 0
                && let Some(stream) = self.ends.take()
                && let Some(written) = self.streams.get_mut(&stream)
            {
                written.written_ns = Some(ended_ns);
            }
        }
    }

    /// A frame begins: its head is whole.
    fn begin(&mut self) {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.head;
        self.head_bytes = 0;
        self.passing = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        match kind {
            HEADERS => {
                let written = Written { sent_ns: Some(self.head_ns), written_ns: None };
                self.streams.insert(stream, written);
            }
            RST_STREAM => _ = self.streams.remove(&stream),
            _ => {}
        }
        self.ends = (matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0).then_some(stream);
    }
}

/// A stream whose outgoing frames are noted.
#[derive(Debug)]
pub(crate) struct Noted<S> {
    inner: S,
    frames: Arc<Frames>,
}

impl<S> Noted<S> {
    pub(crate) fn new(inner: S, frames: Arc<Frames>) -> Self {
        Self { inner, frames }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { inner, frames } = self.get_mut();
        let began_ns = frames.clock.now_ns();
        let taken = ready!(Pin::new(inner).poll_write(context, bytes))?;
        frames.reader().take(&bytes[..taken], began_ns, frames.clock.now_ns());
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.resize(HEAD_BYTES + payload, 0xff);
        frame
    }

    /// What is known after `bytes` came in pieces of `size`, the nth from 10n to 10n + 5.
    fn read(bytes: &[u8], size: usize) -> FrameReader {
        let mut reader = FrameReader::default();
        for (nth, piece) in (0..).zip(bytes.chunks(size)) {
            reader.take(piece, 10 * nth, 10 * nth + 5);
        }
        reader
    }

    #[test]
    fn each_stream_has_its_own_instants_however_the_bytes_are_cut() {
        let settings = [vec![b'P'; PREFACE_BYTES], frame(4, 0, 0, 18)].concat();
        let (first, second) = (frame(HEADERS, 4, 1, 30), frame(HEADERS, 4, 3, 20));
        let (of_second, part) = (frame(DATA, END_STREAM, 3, 7), frame(DATA, 0, 1, 100));
        let end = frame(DATA, END_STREAM, 1, 0);
        let parts = [&settings, &first, &second, &of_second, &part, &end];
        let bytes: Vec<u8> = parts.into_iter().flatten().copied().collect();
        let at = |parts: &[&Vec<u8>]| parts.iter().map(|part| part.len()).sum::<usize>();
        for size in [1, 2, 7, 8, 9, 10, 64, 1_000] {
            let reader = read(&bytes, size);
            let began = |byte: usize| Some(10 * (byte / size) as u64);
            let ended = |after: usize| Some(10 * ((after - 1) / size) as u64 + 5);
            let of_1 = Written { sent_ns: began(settings.len()), written_ns: ended(bytes.len()) };
            let of_3 = Written {
                sent_ns: began(at(&[&settings, &first])),
                written_ns: ended(at(&[&settings, &first, &second, &of_second])),
            };
            assert_eq!(reader.streams, HashMap::from([(1, of_1), (3, of_3)]), "{size}");
        }
    }

    #[test]
    fn of_a_stream_that_is_reset_nothing_is_kept() {
        let preface = vec![b'P'; PREFACE_BYTES];
        let bytes = [preface, frame(HEADERS, 4, 5, 3), frame(RST_STREAM, 0, 5, 4)].concat();
        assert!(read(&bytes, 11).streams.is_empty());
    }
}
