//! The null target as a process of its own.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

pub use loadgen::capacity::null_target::{Rhythm, Written};
use tokio_util::sync::CancellationToken;

/// The word that makes this program be the server.
pub const SERVE: &str = "serve";

/// The server, a process of its own, until it is dropped.
pub struct NullTarget {
    address: SocketAddr,
    process: Child,
}

impl NullTarget {
    /// Starts it on core 0.
    pub fn start(rhythm: Rhythm) -> anyhow::Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .arg(SERVE)
            .args([rhythm.first, rhythm.each].map(|time| time.as_micros().to_string()))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(told) = process.stdout.take() {
            BufReader::new(told).read_line(&mut line)?;
        }
        Ok(Self { address: line.trim().parse()?, process })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it wrote since it was last asked: p50 and p99.
    pub fn written(&self) -> anyhow::Result<Written> {
        let mut socket = std::net::TcpStream::connect(self.address)?;
        socket.write_all(b"GET /record HTTP/1.1\r\nhost: null\r\n\r\n")?;
        let mut got = Vec::new();
        socket.shutdown(std::net::Shutdown::Write)?;
        socket.read_to_end(&mut got)?;
        let body = got.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        Ok(serde_json::from_slice(&got[body..])?)
    }
}

impl Drop for NullTarget {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is the server: tells its address, and serves until it is killed.
pub fn serve(first_us: u64, each_us: u64) -> anyhow::Result<()> {
    let rhythm =
        Rhythm { first: Duration::from_micros(first_us), each: Duration::from_micros(each_us) };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    Ok(loadgen::capacity::null_target::serve(listener, rhythm, &CancellationToken::new())?)
}
