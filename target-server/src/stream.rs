//! A TCP stream that knows when its bytes came and went.
//!
//! A clock read in user space tells when our thread got around to a read; under load that is the
//! client's own queue, not the server. The kernel tells when the segment arrived: this stream asks
//! for that stamp with every read, and takes one of its own just before a write.

use std::{
    io::{self, IoSliceMut},
    os::fd::{AsFd, AsRawFd},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use nix::{
    cmsg_space,
    sys::{
        socket::{ControlMessageOwned, MsgFlags, TimestampingFlag, recvmsg, setsockopt, sockopt},
        time::TimeSpec,
    },
    time::{ClockId, clock_gettime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// A run's time axis: nanoseconds since its origin, on the monotonic clock, and the way from the
/// kernel's wall-clock stamps to it.
#[derive(Debug)]
pub struct Clock {
    origin: Instant,
    /// Wall clock minus time axis, in nanoseconds.
    realtime_minus_axis: AtomicI64,
    /// Whether the kernel's stamps are passed over.
    is_on_its_own: bool,
}

impl Clock {
    /// A time axis that begins at `origin`.
    pub fn starting_at(origin: Instant) -> Self {
        let realtime_minus_axis = AtomicI64::new(0);
        let clock = Self { origin, realtime_minus_axis, is_on_its_own: false };
        clock.align();
        clock
    }

    /// The same, passing over the kernel's stamps, as on a platform that has none.
    #[must_use]
    pub fn without_the_kernel(self) -> Self {
        Self { is_on_its_own: true, ..self }
    }

    /// Nanoseconds since the origin; 0 before it.
    pub fn now_ns(&self) -> u64 {
        ns(Instant::now().saturating_duration_since(self.origin))
    }

    /// Compares the two clocks again: the wall clock is steered and may jump. To be called at
    /// intervals; of several tries the one with the shortest way between its two readings counts.
    pub fn align(&self) {
        const TRIES: usize = 3;
        let best = (0..TRIES)
            .filter_map(|_| {
                let before = Instant::now();
                let wall = realtime_ns()?;
                let after = Instant::now();
                let way = after.duration_since(before);
                let middle = before + way / 2;
                let axis = match middle.checked_duration_since(self.origin) {
                    Some(since) => signed(ns(since)),
                    None => -signed(ns(self.origin.duration_since(middle))),
                };
                Some((way, wall - axis))
            })
            .min_by_key(|(way, _)| *way);
        if let Some((_, difference)) = best {
            self.realtime_minus_axis.store(difference, Relaxed);
        }
    }

    /// A wall-clock stamp of the kernel on this axis; never later than `now_ns`.
    fn on_axis(&self, stamp: i64, now_ns: u64) -> u64 {
        let axis = stamp - self.realtime_minus_axis.load(Relaxed);
        u64::try_from(axis).unwrap_or(0).min(now_ns)
    }
}

fn realtime_ns() -> Option<i64> {
    clock_gettime(ClockId::CLOCK_REALTIME).ok().map(timespec_ns)
}

fn timespec_ns(time: TimeSpec) -> i64 {
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

fn ns(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// What a stream noted last; read by whoever reads the stream's bytes, on the same thread.
#[derive(Debug, Default)]
pub struct Stamps {
    /// When the bytes of the last read arrived, in ns; the last segment's stamp, where a read
    /// took several.
    arrived_ns: AtomicU64,
    /// How long they then waited for us, in ns; `NO_STAMP` where the kernel did not say.
    waited_ns: AtomicU64,
    /// Reads that brought bytes.
    reads: AtomicU64,
    /// When the first byte since the last [`Stamps::expect_send`] was written, in ns + 1; 0: not yet.
    sent_ns_plus_1: AtomicU64,
    /// When the last byte since then had been written, in ns + 1; 0: not yet.
    written_ns_plus_1: AtomicU64,
    /// Whether there may be one read a turn.
    takes_turns: AtomicBool,
    /// Whether this turn has had its read.
    has_read: AtomicBool,
}

const NO_STAMP: u64 = u64::MAX;

/// The last read of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRead {
    /// Which read it was, from 1; 0: there was none.
    pub number: u64,
    /// When its bytes arrived, in ns.
    pub arrived_ns: u64,
    /// How long they waited for us, in ns; none: the stamp is our own clock's.
    pub waited_ns: Option<u64>,
}

impl Stamps {
    /// The last read.
    pub fn last_read(&self) -> LastRead {
        let waited = self.waited_ns.load(Relaxed);
        LastRead {
            number: self.reads.load(Relaxed),
            arrived_ns: self.arrived_ns.load(Relaxed),
            waited_ns: (waited != NO_STAMP).then_some(waited),
        }
    }

    /// Forgets the last send, so that the next write is the one that is noted.
    pub fn expect_send(&self) {
        self.sent_ns_plus_1.store(0, Relaxed);
        self.written_ns_plus_1.store(0, Relaxed);
    }

    /// When the first byte since then was handed to the socket, in ns.
    pub fn sent_ns(&self) -> Option<u64> {
        self.sent_ns_plus_1.load(Relaxed).checked_sub(1)
    }

    /// When the last byte since then had been taken by the socket, in ns.
    pub fn written_ns(&self) -> Option<u64> {
        self.written_ns_plus_1.load(Relaxed).checked_sub(1)
    }

    /// A turn of whoever reads the stream begins: until the next one it gets the bytes of one read.
    ///
    /// Where many share a connection, its reader hands over to all of them what a read brought.
    /// They must take it before another read puts its stamp over that one's, so it comes back for
    /// the next read only when they have had their turn.
    pub(crate) fn begin_turn(&self) {
        self.takes_turns.store(true, Relaxed);
        self.has_read.store(false, Relaxed);
    }

    /// Whether the next read must wait for the next turn.
    fn must_wait(&self) -> bool {
        self.takes_turns.load(Relaxed) && self.has_read.load(Relaxed)
    }

    fn note_read(&self, arrived_ns: u64, waited_ns: Option<u64>) {
        self.arrived_ns.store(arrived_ns, Relaxed);
        self.waited_ns.store(waited_ns.unwrap_or(NO_STAMP), Relaxed);
        self.reads.store(self.reads.load(Relaxed) + 1, Relaxed);
        self.has_read.store(true, Relaxed);
    }

    pub(crate) fn note_write(&self, now_ns: u64) {
        if self.sent_ns_plus_1.load(Relaxed) == 0 {
            self.sent_ns_plus_1.store(now_ns + 1, Relaxed);
        }
    }

    pub(crate) fn note_written(&self, now_ns: u64) {
        self.written_ns_plus_1.store(now_ns + 1, Relaxed);
    }
}

/// The stream; [`Stamps`] are shared with whoever reads what comes out of it.
#[derive(Debug)]
pub(crate) struct StampedStream {
    socket: TcpStream,
    clock: Arc<Clock>,
    stamps: Arc<Stamps>,
    control: Vec<u8>,
}

impl StampedStream {
    /// Takes over a connected socket.
    pub(crate) fn new(socket: TcpStream, clock: Arc<Clock>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        ask_for_stamps(&socket);
        Ok(Self { socket, clock, stamps: Arc::default(), control: cmsg_space!([TimeSpec; 3]) })
    }

    /// Where the stream notes its stamps.
    pub(crate) fn stamps(&self) -> Arc<Stamps> {
        Arc::clone(&self.stamps)
    }
}

/// Has the kernel stamp what arrives. Refused in some sandboxes; then no read carries a stamp, and
/// each says so.
pub(crate) fn ask_for_stamps(socket: &impl AsFd) {
    let wanted = TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
    let _ = setsockopt(socket, sockopt::Timestamping, &wanted);
}

/// One `recvmsg`, with its stamp noted.
pub(crate) fn receive(
    socket: &impl AsRawFd,
    control: &mut [u8],
    clock: &Clock,
    stamps: &Stamps,
    into: &mut [u8],
) -> io::Result<usize> {
    let mut parts = [IoSliceMut::new(into)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(control), MsgFlags::empty())?;
    let bytes = message.bytes;
    if bytes > 0 {
        let now_ns = clock.now_ns();
        let stamp = message.cmsgs().ok().and_then(|mut messages| {
            messages.find_map(|message| match message {
                ControlMessageOwned::ScmTimestampsns(stamps) => Some(timespec_ns(stamps.system)),
                _ => None,
            })
        });
        match stamp.filter(|stamp| *stamp != 0 && !clock.is_on_its_own) {
            Some(stamp) => {
                let arrived = clock.on_axis(stamp, now_ns);
                stamps.note_read(arrived, Some(now_ns - arrived));
            }
            None => stamps.note_read(now_ns, None),
        }
    }
    Ok(bytes)
}

impl AsyncRead for StampedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { socket, clock, stamps, control } = self.get_mut();
        if stamps.must_wait() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            ready!(socket.poll_read_ready(context))?;
            let into = buffer.initialize_unfilled();
            let room = into.len();
            let mut short = None;
            let outcome = socket.try_io(Interest::READABLE, || {
                match receive(socket, control, clock, stamps, into) {
                    // A short read has emptied the socket, and a segment that came since has set
                    // the readiness anew: asking once more would be a wasted call for each token.
                    Ok(bytes) if 0 < bytes && bytes < room => {
                        short = Some(bytes);
                        Err(io::ErrorKind::WouldBlock.into())
                    }
                    outcome => outcome,
                }
            });
            match (short, outcome) {
                (Some(bytes), _) | (None, Ok(bytes)) => {
                    buffer.advance(bytes);
                    return Poll::Ready(Ok(()));
                }
                (None, Err(error)) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                    _ => return Poll::Ready(Err(error)),
                },
            }
        }
    }
}

impl AsyncWrite for StampedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.stamps.note_write(this.clock.now_ns());
        let written = ready!(Pin::new(&mut this.socket).poll_write(context, bytes))?;
        this.stamps.note_written(this.clock.now_ns());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn a_turn_has_one_read_however_much_lies_there() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(b"abcdef").await.unwrap();
        let clock = Arc::new(Clock::starting_at(Instant::now()));
        let mut stream = StampedStream::new(socket, clock).unwrap();
        let stamps = stream.stamps();
        let mut two = [0; 2];
        // Nobody has asked for turns yet.
        for _ in 0..2 {
            stream.read_exact(&mut two).await.unwrap();
        }
        for turn in 3..=4 {
            stamps.begin_turn();
            let mut one = [0; 1];
            stream.read_exact(&mut one).await.unwrap();
            assert_eq!(stamps.last_read().number, turn);
            let mut more = std::pin::pin!(stream.read(&mut one));
            let mut context = Context::from_waker(std::task::Waker::noop());
            assert!(more.as_mut().poll(&mut context).is_pending());
            assert_eq!(stamps.last_read().number, turn);
        }
    }
}
