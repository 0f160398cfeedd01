//! The floor: reads the same streams, stamps every read, and does nothing else.

use std::{
    hint::black_box,
    io::{ErrorKind, IoSliceMut, Read, Write},
    net::SocketAddr,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use nix::{
    cmsg_space,
    sys::{
        socket::{
            ControlMessageOwned, MsgFlags, TimestampingFlag, recvmsg, setsockopt,
            sockopt::Timestamping,
        },
        time::TimeSpec,
    },
    time::{ClockId, clock_gettime},
};

/// Whose stamp each read gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stamped {
    /// The reader's, when it comes to it: the cheapest there is.
    Own,
    /// The kernel's, as the instrument's do, and the reader's beside it.
    Kernel,
}

/// CPU time of this thread for one token event, in us: `streams` answers of `tokens` each.
pub fn event_us(
    target: SocketAddr,
    streams: u32,
    tokens: u32,
    stamped: Stamped,
) -> anyhow::Result<f64> {
    let mut reader = Reader::connected(target, streams, tokens, stamped)?;
    reader.ask_all()?;
    let before = cpu()?;
    reader.read(Duration::ZERO)?;
    let events = f64::from(streams) * f64::from(tokens);
    Ok(cpu()?.saturating_sub(before).as_secs_f64() * 1e6 / events)
}

/// CPU time of this thread for one request over a kept connection, in us: `streams` of them ask for
/// one token again and again, for `time`.
pub fn request_us(target: SocketAddr, streams: u32, time: Duration) -> anyhow::Result<f64> {
    let mut reader = Reader::connected(target, streams, 1, Stamped::Own)?;
    let before = cpu()?;
    reader.ask_all()?;
    let answers = reader.read(time)?;
    Ok(cpu()?.saturating_sub(before).as_secs_f64() * 1e6 / f64::from(answers))
}

fn cpu() -> nix::Result<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from)
}

struct Reader {
    poll: Poll,
    sockets: Vec<TcpStream>,
    request: Vec<u8>,
    stamped: Stamped,
    control: Vec<u8>,
}

impl Reader {
    fn connected(
        target: SocketAddr,
        streams: u32,
        tokens: u32,
        stamped: Stamped,
    ) -> anyhow::Result<Self> {
        let body = format!(r#"{{"model":"null","max_tokens":{tokens},"stream":true}}"#);
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: null\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let poll = Poll::new()?;
        let mut sockets = Vec::new();
        for index in 0..streams as usize {
            let socket = std::net::TcpStream::connect(target)?;
            socket.set_nonblocking(true)?;
            if stamped == Stamped::Kernel {
                let wanted = TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
                    | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
                setsockopt(&socket, Timestamping, &wanted)?;
            }
            let mut socket = TcpStream::from_std(socket);
            poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
            sockets.push(socket);
        }
        let control = cmsg_space!([TimeSpec; 3]);
        Ok(Self { poll, sockets, request: request.into_bytes(), stamped, control })
    }

    fn ask_all(&mut self) -> anyhow::Result<()> {
        for socket in &mut self.sockets {
            socket.write_all(&self.request)?;
        }
        Ok(())
    }

    /// Reads every answer, and asks again until `time` is over; how many there were.
    fn read(&mut self, time: Duration) -> anyhow::Result<u32> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 8 * 1024];
        let mut open = self.sockets.len();
        let mut answers = 0;
        let began = Instant::now();
        let mut last_stamp = began;
        while open > 0 {
            if let Err(error) = self.poll.poll(&mut events, Some(Duration::from_secs(10)))
                && error.kind() != ErrorKind::Interrupted
            {
                return Err(error.into());
            }
            let idle = last_stamp.elapsed();
            anyhow::ensure!(idle < Duration::from_secs(30), "the target stands still");
            for event in &events {
                let socket = &mut self.sockets[event.token().0];
                while let Ok(bytes) = match self.stamped {
                    Stamped::Own => socket.read(&mut buffer),
                    Stamped::Kernel => read_stamped(socket, &mut self.control, &mut buffer),
                } {
                    last_stamp = Instant::now();
                    anyhow::ensure!(bytes > 0, "the target has closed a stream");
                    if buffer[..bytes].ends_with(b"0\r\n\r\n") {
                        answers += 1;
                        if last_stamp.duration_since(began) < time {
                            socket.write_all(&self.request)?;
                        } else {
                            open -= 1;
                        }
                    }
                    // A short read has emptied the socket.
                    if bytes < buffer.len() {
                        break;
                    }
                }
            }
        }
        Ok(answers)
    }
}

/// One read, with the kernel's stamp looked at.
fn read_stamped(
    socket: &TcpStream,
    control: &mut [u8],
    buffer: &mut [u8],
) -> std::io::Result<usize> {
    let mut parts = [IoSliceMut::new(buffer)];
    let read = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(control), MsgFlags::empty())?;
    let stamp = read.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampsns(stamps) => Some(stamps.system),
        _ => None,
    });
    black_box(stamp);
    Ok(read.bytes)
}
