//! The floor: reads the same streams, stamps every read, and does nothing else.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use nix::time::{ClockId, clock_gettime};

/// CPU time of this thread for one token event, in us: `streams` answers of `tokens` each.
pub fn read(target: SocketAddr, streams: u32, tokens: u32) -> anyhow::Result<f64> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let body = format!(r#"{{"model":"null","max_tokens":{tokens},"stream":true}}"#);
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: null\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut sockets = Vec::new();
    for index in 0..streams as usize {
        let mut socket = std::net::TcpStream::connect(target)?;
        socket.write_all(request.as_bytes())?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
        sockets.push((socket, false));
    }
    let before = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
    let mut last_stamp = Instant::now();
    let mut buffer = vec![0; 8 * 1024];
    let mut open = sockets.len();
    while open > 0 {
        if let Err(error) = poll.poll(&mut events, Some(Duration::from_secs(10)))
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        anyhow::ensure!(last_stamp.elapsed() < Duration::from_secs(30), "the target stands still");
        for event in &events {
            let (socket, is_over) = &mut sockets[event.token().0];
            while let Ok(bytes) = socket.read(&mut buffer) {
                last_stamp = Instant::now();
                if !*is_over && (bytes == 0 || buffer[..bytes].ends_with(b"0\r\n\r\n")) {
                    *is_over = true;
                    open -= 1;
                }
                // A short read has emptied the socket.
                if bytes < buffer.len() {
                    break;
                }
            }
        }
    }
    let after = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
    let used = after.saturating_sub(before);
    Ok(used.as_secs_f64() * 1e6 / (f64::from(streams) * f64::from(tokens)))
}
