//! Packets that get lost: of those that arrive at a socket the kernel drops some before TCP sees
//! them, data and acknowledgements alike. So TCP does what it does on a bad line: repeats, and
//! waits twice as long each time. Takes neither root nor a network of its own.

use std::io;

use tokio::net::{TcpListener, TcpStream};

/// How many of a hundred packets get lost.
pub(crate) const LOST_PERCENT: u32 = 30;

/// A socket that packets arrive at.
pub(crate) trait Lossy {
    /// Has packets get lost on their way to it, and to those that it accepts; or no more.
    ///
    /// # Errors
    ///
    /// Where the system has no filters for sockets.
    fn lose(&self, loses: bool) -> io::Result<()>;
}

impl Lossy for TcpStream {
    fn lose(&self, loses: bool) -> io::Result<()> {
        filter(self, loses)
    }
}

impl Lossy for TcpListener {
    fn lose(&self, loses: bool) -> io::Result<()> {
        filter(self, loses)
    }
}

#[cfg(target_os = "linux")]
fn filter(socket: &impl std::os::fd::AsFd, loses: bool) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

    // linux/filter.h: load a word of the kernel's own, which is its random number; if it is at
    // least that, go on, or else over the next line; keep nothing of the packet; keep all of it.
    const LOAD: u16 = 0x20;
    const RANDOM: u32 = 0xffff_f000 + 56;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const SPARED: u32 = u32::MAX / 100 * (100 - LOST_PERCENT);
    let program = [
        SockFilter::new(LOAD, 0, 0, RANDOM),
        SockFilter::new(JUMP_IF_AT_LEAST, 0, 1, SPARED),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    let socket = SockRef::from(socket);
    if loses {
        return socket.attach_filter(&program);
    }
    match socket.detach_filter() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        detached => detached,
    }
}

#[cfg(not(target_os = "linux"))]
fn filter(_: &impl std::os::fd::AsFd, loses: bool) -> io::Result<()> {
    if loses { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
}

/// Whether packets can be lost here.
pub(crate) async fn is_possible() -> bool {
    let Ok(listener) = TcpListener::bind("127.0.0.1:0").await else { return false };
    listener.lose(true).is_ok()
}
