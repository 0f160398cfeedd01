//! How long a request takes on its way out, and its name to look up.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token};
use shared::TargetUrl;
use target::client::{Client, Clock};

use crate::local;

/// Far more than two sockets take without a reader.
const BODY_BYTES: usize = 24 * 1024 * 1024;
const READS_AFTER: Duration = Duration::from_millis(250);

/// A server that reads a byte of a request, lets the rest stand before the door, then reads on.
fn slow_to_read() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 1024 * 1024];
        stream.read_exact(&mut buffer[..1]).unwrap();
        thread::sleep(READS_AFTER);
        let mut left = BODY_BYTES;
        while left > 0 {
            left = left.saturating_sub(stream.read(&mut buffer).unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        thread::sleep(READS_AFTER);
    });
    address
}

async fn client_of(address: SocketAddr) -> Client {
    let url = TargetUrl::try_from(format!("http://{address}")).unwrap();
    Client::new(&url, &shared::Call::default(), None, local(), Duration::from_secs(5))
        .await
        .unwrap()
}

fn assert_took_as_long_as_the_reader(sent_ns: Option<u64>, written_ns: Option<u64>) {
    let took = Duration::from_nanos(written_ns.unwrap() - sent_ns.unwrap());
    assert!(took > READS_AFTER.mul_f32(0.8), "{took:?}");
}

#[tokio::test]
async fn sending_lasts_until_the_socket_has_taken_the_last_byte() {
    let client = client_of(slow_to_read()).await;
    let clock = Arc::new(Clock::starting_at(Instant::now()));
    let mut connection = client.connect(&clock).await.unwrap();
    connection.send(&client, vec![b'x'; BODY_BYTES].into()).await.unwrap();
    let stamps = connection.stamps();
    assert_took_as_long_as_the_reader(stamps.sent_ns(), stamps.written_ns());
}

#[tokio::test]
async fn a_readiness_loop_tells_the_same() {
    let client = client_of(slow_to_read()).await;
    let clock = Clock::starting_at(Instant::now());
    let mut poll = Poll::new().unwrap();
    let mut wire = client.dial(0).unwrap();
    wire.register(poll.registry(), Token(0)).unwrap();
    let mut events = Events::with_capacity(8);
    let mut sent = false;
    while wire.stamps().written_ns().is_none() {
        poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
        if wire.is_connected().unwrap() && !sent {
            wire.send(&clock, &client.written(&vec![b'x'; BODY_BYTES])).unwrap();
            sent = true;
            assert_eq!(wire.stamps().written_ns(), None, "nobody reads yet");
        } else if sent {
            wire.flush(&clock).unwrap();
        }
    }
    assert_took_as_long_as_the_reader(wire.stamps().sent_ns(), wire.stamps().written_ns());
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_an_address_never() {
    let slow = local().with_lookup(async |_, port| {
        tokio::time::sleep(Duration::from_millis(60)).await;
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
    });
    let allowed = TargetUrl::try_from("http://llm.test:8000".to_owned()).unwrap();
    let client =
        Client::new(&allowed, &shared::Call::default(), None, slow, Duration::from_secs(5))
            .await
            .unwrap();
    let took = client.looked_up_in().unwrap();
    assert!((60..200).contains(&took.as_millis()), "{took:?}");
    for literal in ["http://127.0.0.1:8000", "http://localhost:8000"] {
        let url = TargetUrl::try_from(literal.to_owned()).unwrap();
        let client =
            Client::new(&url, &shared::Call::default(), None, local(), Duration::from_secs(5))
                .await
                .unwrap();
        assert_eq!(client.looked_up_in(), None, "{literal}");
    }
}
