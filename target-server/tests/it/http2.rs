//! The stamps of streams that share a connection, against the instants at which a server wrote.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::Response;
use shared::{Call, HttpVersion, TargetUrl};
use target::client::{Client, Clock, Connection, LastRead, Multiplexed};
use tokio::{
    net::TcpListener,
    task::{LocalSet, spawn_local},
};

use crate::local;

type Answers = h2::server::SendResponse<Bytes>;

/// A server of HTTP/2 that does `serve` with all the streams of its one connection, once there are
/// `count` of them.
fn server<F>(count: usize, serve: impl FnOnce(Vec<Answers>) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + 'static,
{
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let mut streams = Vec::new();
            while streams.len() < count {
                streams.push(connection.accept().await.unwrap().unwrap().1);
            }
            spawn_local(serve(streams));
            while connection.accept().await.is_some() {}
        });
    });
    address
}

async fn open(address: SocketAddr, clock: &Arc<Clock>) -> (Client, Multiplexed) {
    let url = TargetUrl::try_from(format!("http://{address}")).unwrap();
    let call = Call { http_version: HttpVersion::Http2, ..Call::default() };
    let client = Client::new(&url, &call, None, local(), Duration::from_secs(5)).await.unwrap();
    let (shared, driver) = client.open(clock).await.unwrap();
    spawn_local(driver);
    (client, shared)
}

/// Sends a request and takes what comes, each piece with the read that brought it.
async fn take(client: &Client, mut place: Connection) -> Vec<(Bytes, LastRead)> {
    let mut head = place.send(client, Bytes::from_static(b"{}")).await.unwrap();
    let mut pieces = Vec::new();
    while let Some(piece) = place.read(&mut head).await {
        pieces.push((piece.unwrap(), place.stamps().last_read()));
    }
    pieces
}

fn begin(mut answers: Answers) -> h2::SendStream<Bytes> {
    answers.send_response(Response::new(()), false).unwrap()
}

fn since_ns(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_nanos()).unwrap()
}

/// More comes at once than one read takes, for several streams: each of them has taken its part
/// before the next read happens, and so knows which read brought it.
#[tokio::test]
async fn what_one_read_brought_is_taken_before_the_next() {
    const STREAMS: usize = 8;
    const BYTES: usize = 6 * 1024;
    let origin = Instant::now();
    let address = server(STREAMS, move |streams| async move {
        let streams: Vec<_> = streams.into_iter().map(begin).collect();
        tokio::time::sleep(Duration::from_millis(30)).await;
        for mut stream in streams {
            stream.send_data(vec![b'x'; BYTES].into(), true).unwrap();
        }
    });
    let work = async {
        let clock = Arc::new(Clock::starting_at(origin));
        let (client, shared) = open(address, &clock).await;
        let client = Arc::new(client);
        let answers: Vec<_> = (0..STREAMS)
            .map(|_| {
                let (client, place) = (Arc::clone(&client), shared.place());
                spawn_local(async move { take(&client, place).await })
            })
            .collect();
        assert_eq!(shared.open(), STREAMS);
        spawn_local(async {
            tokio::time::sleep(Duration::from_millis(15)).await;
            // Until all of it lies there.
            std::thread::sleep(Duration::from_millis(100));
        });
        let mut reads = Vec::new();
        for answer in answers {
            let pieces = answer.await.unwrap();
            assert_eq!(pieces.iter().map(|(piece, _)| piece.len()).sum::<usize>(), BYTES);
            let (_, read) = pieces.last().unwrap();
            assert!(read.waited_ns.unwrap() > 20_000_000, "nobody read: {read:?}");
            reads.push(read.number);
        }
        assert_eq!(shared.open(), 0);
        reads
    };
    let reads = LocalSet::new().run_until(work).await;
    assert!(reads.is_sorted() && reads[0] + 1 < reads[STREAMS - 1], "{reads:?}");
}

/// Every piece says when it was written; its stamp is that of the read that brought it, however
/// many streams there are.
#[tokio::test]
async fn each_of_many_streams_has_the_stamps_of_its_own_data() {
    const STREAMS: usize = 60;
    let origin = Instant::now();
    let address = server(STREAMS, move |streams| async move {
        for (nth, answers) in (0..).zip(streams) {
            spawn_local(async move {
                let mut stream = begin(answers);
                for turn in 0..40 {
                    tokio::time::sleep(Duration::from_micros(3_000 + 137 * nth % 5_000)).await;
                    let now = since_ns(origin).to_be_bytes().to_vec();
                    stream.send_data(now.into(), turn == 39).unwrap();
                }
            });
        }
    });
    let work = async {
        let clock = Arc::new(Clock::starting_at(origin));
        let (client, shared) = open(address, &clock).await;
        let client = Arc::new(client);
        let streams: Vec<_> = (0..STREAMS)
            .map(|_| {
                let (client, place) = (Arc::clone(&client), shared.place());
                spawn_local(async move { take(&client, place).await })
            })
            .collect();
        let mut late_us = Vec::new();
        for stream in streams {
            let pieces = stream.await.unwrap();
            assert_eq!(pieces.len(), 40);
            for (piece, read) in pieces {
                let written = u64::from_be_bytes(piece.as_ref().try_into().unwrap());
                // never that of a read before it; the two clocks are compared within microseconds
                assert!(read.arrived_ns + 100_000 > written, "{written} but {read:?}");
                late_us.push(read.arrived_ns.saturating_sub(written) / 1_000);
            }
        }
        late_us
    };
    let mut late_us = LocalSet::new().run_until(work).await;
    late_us.sort_unstable();
    let (p50, p90) = (late_us[late_us.len() / 2], late_us[late_us.len() * 9 / 10]);
    assert!(p50 < 1_000 && p90 < 5_000, "p50 {p50} µs, p90 {p90} µs");
}
