//! A line that can be cut: TCP between two of our processes, and its weather.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
};

use crate::{arrivals::Arrivals, loss::Lossy};

/// What becomes of what is sent. Held bytes arrive when it clears up, as TCP's own repetitions
/// would bring them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Clear,
    /// Nothing arrives, either way; connections stand.
    Silent,
    /// Nothing arrives at the server.
    Mute,
    /// Nothing arrives at the client.
    Deaf,
    /// Everything is late.
    Late(Duration),
    /// Connections break, new ones at once.
    Cut,
    /// Many packets get lost, either way; TCP repeats them.
    Lossy,
    /// Everything arrives but PostgreSQL's notifications.
    NoNotices,
}

/// Who speaks behind the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Any,
    /// Its server's messages are taken apart, so that notifications can be left out.
    Postgres,
}

pub(crate) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    upstreams: watch::Sender<Vec<SocketAddr>>,
    /// Who has begun to send over this line.
    pub(crate) arrivals: Arc<Arrivals>,
}

impl Proxy {
    /// A line to the first of `upstreams` that takes connections.
    pub(crate) async fn to(upstreams: Vec<SocketAddr>, language: Language) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let weather = watch::Sender::new(Weather::Clear);
        let upstreams = watch::Sender::new(upstreams);
        let (sky, ways) = (weather.clone(), upstreams.clone());
        let arrivals = Arc::new(Arrivals::default());
        let noted = Arc::clone(&arrivals);
        tokio::spawn(async move {
            let mut changes = sky.subscribe();
            loop {
                let client = tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((client, _)) => client,
                        Err(_) => break,
                    },
                    _ = changes.changed() => {
                        blow(&listener, *changes.borrow_and_update());
                        continue;
                    }
                };
                let (sky, ways) = (sky.subscribe(), ways.borrow().clone());
                let noted = Arc::clone(&noted);
                tokio::spawn(carry(client, ways, sky, language, noted));
            }
        });
        Self { address, weather, upstreams, arrivals }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Where new connections go from now on.
    pub(crate) fn lead_to(&self, upstreams: Vec<SocketAddr>) {
        self.upstreams.send_replace(upstreams);
    }
}

async fn carry(
    client: TcpStream,
    ways: Vec<SocketAddr>,
    sky: watch::Receiver<Weather>,
    language: Language,
    arrivals: Arc<Arrivals>,
) {
    if *sky.borrow() == Weather::Cut {
        return;
    }
    let mut server = None;
    for way in ways {
        if let Ok(reached) = TcpStream::connect(way).await {
            server = Some(reached);
            break;
        }
    }
    let Some(server) = server else { return };
    _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let up = pump(from_client, to_server, sky.clone(), Way::Up(&arrivals));
    let down = pump(from_server, to_client, sky.clone(), Way::Down(language));
    let mut sky = sky;
    let cut = async { sky.wait_for(|weather| *weather == Weather::Cut).await.is_ok() };
    tokio::select! {
        _ = async { tokio::join!(up, down) } => {}
        _ = cut => {}
    }
}

/// What is carried one way, by whom it is read on the way.
#[derive(Clone, Copy)]
enum Way<'a> {
    Up(&'a Arc<Arrivals>),
    Down(Language),
}

/// Lets the packets that arrive at `socket` get lost, or no more.
fn blow(socket: &impl Lossy, weather: Weather) {
    if let Err(error) = socket.lose(weather == Weather::Lossy) {
        eprintln!("packets cannot get lost here: {error}");
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut sky: watch::Receiver<Weather>,
    way: Way<'_>,
) {
    let is_up = matches!(way, Way::Up(_));
    let is_held = |weather: &Weather| match weather {
        Weather::Silent => true,
        Weather::Mute => is_up,
        Weather::Deaf => !is_up,
        _ => false,
    };
    let mut buffer = vec![0; 64 * 1024];
    let mut messages = Messages::default();
    let peer = from.as_ref().peer_addr().ok();
    let mut changes = sky.clone();
    let mut has_begun = false;
    blow(from.as_ref(), *changes.borrow_and_update());
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = changes.changed() => {
                if changed.is_err() {
                    break;
                }
                blow(from.as_ref(), *changes.borrow_and_update());
                continue;
            }
        };
        let read = match read {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        if let (Way::Up(arrivals), Some(peer), false) = (way, peer, has_begun) {
            has_begun = arrivals.note(&buffer[..read], peer.port());
        }
        if sky.wait_for(|weather| !is_held(weather)).await.is_err() {
            break;
        }
        let weather = *sky.borrow();
        if let Weather::Late(by) = weather {
            tokio::time::sleep(by).await;
        }
        let written = if matches!(way, Way::Down(Language::Postgres)) {
            let whole = messages.whole(&buffer[..read], weather == Weather::NoNotices);
            to.write_all(&whole).await
        } else {
            to.write_all(&buffer[..read]).await
        };
        if written.is_err() {
            break;
        }
    }
    _ = to.shutdown().await;
}

/// A PostgreSQL server's messages: a letter, a length of four bytes that counts itself, the rest.
#[derive(Default)]
struct Messages {
    begun: Vec<u8>,
}

impl Messages {
    /// The messages that `bytes` complete; without notifications, where they are left out.
    fn whole(&mut self, bytes: &[u8], without_notices: bool) -> Vec<u8> {
        const NOTIFICATION: u8 = b'A';
        self.begun.extend_from_slice(bytes);
        let (mut whole, mut at) = (Vec::with_capacity(self.begun.len()), 0);
        while let Some(length) = self.begun.get(at + 1..at + 5) {
            let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
            let end = at + 1 + usize::try_from(length).expect("a length");
            let Some(message) = self.begun.get(at..end) else { break };
            if !(without_notices && message[0] == NOTIFICATION) {
                whole.extend_from_slice(message);
            }
            at = end;
        }
        self.begun.drain(..at);
        whole
    }
}

/// Where the process behind `url` listens.
pub(crate) fn address_of(url: &str) -> SocketAddr {
    let url: url::Url = url.parse().expect("a URL");
    let port = url.port_or_known_default().expect("a port");
    format!("127.0.0.1:{port}").parse().expect("an address")
}

/// Shared by those who change the weather while others look at it.
pub(crate) type Line = Arc<Proxy>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_packets_get_lost_everything_arrives_and_late() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = server.local_addr().unwrap();
        let line = Proxy::to(vec![upstream], Language::Any).await;
        let mut client = TcpStream::connect(line.address()).await.unwrap();
        let (mut echo, _) = server.accept().await.unwrap();
        tokio::spawn(async move {
            let mut byte = [0];
            while echo.read_exact(&mut byte).await.is_ok() {
                echo.write_all(&byte).await.unwrap();
            }
        });
        line.set(Weather::Lossy);
        let begun = std::time::Instant::now();
        let mut slow = 0;
        for nth in 0..40 {
            let asked = std::time::Instant::now();
            client.write_all(&[nth]).await.unwrap();
            let mut byte = [0];
            client.read_exact(&mut byte).await.unwrap();
            assert_eq!(byte, [nth]);
            // TCP repeats no sooner than this.
            slow += u32::from(asked.elapsed() > Duration::from_millis(100));
            if slow > 3 {
                break;
            }
        }
        assert!(slow > 3, "{slow} of 40 were late, in {:?}", begun.elapsed());
    }

    #[test]
    fn only_notifications_are_left_out_wherever_the_bytes_are_split() {
        let message = |kind: u8, body: &[u8]| {
            let mut message = vec![kind];
            message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
            message.extend(body);
            message
        };
        let (row, notice, ready) =
            (message(b'D', b"row A"), message(b'A', b"\0\0\0\x01c\0p\0"), message(b'Z', b"I"));
        let all = [row.clone(), notice, ready.clone()].concat();
        for split in 0..=all.len() {
            let mut messages = Messages::default();
            let mut out = messages.whole(&all[..split], true);
            out.extend(messages.whole(&all[split..], true));
            assert_eq!(out, [row.clone(), ready.clone()].concat(), "split at {split}");
            let mut messages = Messages::default();
            let mut out = messages.whole(&all[..split], false);
            out.extend(messages.whole(&all[split..], false));
            assert_eq!(out, all);
        }
    }
}
