//! Connections opened and reused, and the times of a request on its way.

use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{MsgFlags, send};
use serde_json::json;
use shared::report::FailureClass;
use testkit::{Chat, Script, ScriptedServer, TlsFront, run_again_trusting, trusted_ports};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{DRIVERS, assert_fails_as, drive_by, ms, short};

#[tokio::test]
async fn wait_is_from_the_request_to_the_head_and_no_token_is_in_it() {
    let tokens = || Script::new().after(ms(80)).chunked_head().after(ms(60)).token("a");
    for driver in DRIVERS {
        let server = ScriptedServer::chat_script(tokens().done().end_chunks());
        let report = drive_by(driver, short(&server.url(), json!({}))).await.report;
        let (latency, completed) = (report.latency, report.requests.completed);
        let (send, wait) = (latency.send_ms.unwrap(), latency.wait_ms.unwrap());
        assert_eq!((send.n, wait.n), (completed, completed));
        // A thread that has to wait between writing and noting it makes a single one shorter.
        assert!(wait.p25 >= 79.0 && wait.p50 < 100.0, "{driver:?}: {wait:?}");
        assert!(send.p50 < 5.0, "{driver:?}: {send:?}");
        let ttft = latency.ttft_ms.unwrap();
        assert!(ttft.min >= 139.0 && ttft.p50 < 180.0, "{driver:?}: {ttft:?}");
        assert_eq!((latency.tls_ms, report.environment.target.dns_ms), (None, None));
    }
}

#[tokio::test]
async fn fresh_connections_serve_one_request_each_and_say_so() {
    let server =
        || ScriptedServer::chat(&Chat::of(&["a", "b"]).usage(4, 2).first_token_after(ms(20)));
    for driver in DRIVERS {
        let server = server();
        let load = short(&server.url(), json!({"user": 3, "fresh_connections": true}));
        let report = drive_by(driver, load).await.report;
        assert!(report.requests.completed > 20, "{:?}", report.failures);
        assert_eq!(report.requests.failed, 0, "{driver:?} {:?}", report.failures);
        let (validity, started) = (report.validity, report.requests.started);
        assert_eq!((validity.connections_opened, validity.reused_share), (started, Some(0.0)));
        assert_eq!(report.latency.connect_ms.unwrap().n, started);
        // the probe comes first
        let requests = server.requests_to("/v1/chat/completions").split_off(1);
        let mut connections: Vec<usize> = requests.iter().map(|sent| sent.connection).collect();
        connections.dedup();
        assert_eq!(connections.len(), requests.len());
        assert!(requests.iter().all(|sent| sent.header("connection") == Some("close")));
    }
    for driver in DRIVERS {
        let server = server();
        let report = drive_by(driver, short(&server.url(), json!({"user": 3}))).await.report;
        assert_eq!(report.validity.connections_opened, 3);
        let requests = server.requests_to("/v1/chat/completions").split_off(1);
        assert!(requests.iter().all(|sent| sent.header("connection") != Some("close")));
    }
}

#[tokio::test]
async fn an_open_loop_opens_a_fresh_connection_for_each_request_too() {
    for driver in DRIVERS {
        let server = ScriptedServer::chat(&Chat::of(&["a"]).usage(4, 1).first_token_after(ms(5)));
        let load = json!({
            "url": server.url(), "rate": 40, "duration": 1, "grace": 2, "fresh_connections": true
        });
        let report = drive_by(driver, super::spec(&load)).await.report;
        assert_eq!(report.requests.completed, 40, "{:?}", report.failures);
        assert_eq!(report.validity.connections_opened, 40);
    }
}

/// A port that leads to `port` as long as the probe asks; later connections get `answer` and no
/// further byte.
async fn turning_silent(port: u16, answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let at = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        for nth in 0.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            if nth == 0 {
                tokio::spawn(async move {
                    let Ok(mut behind) = TcpStream::connect(("127.0.0.1", port)).await else {
                        return;
                    };
                    let _ = copy_bidirectional(&mut stream, &mut behind).await;
                });
            } else {
                let _ = stream.write_all(answer).await;
                silent.push(stream);
            }
        }
    });
    at
}

/// Runs itself once more with the certificate in the trust store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_fails_is_tls_and_one_that_never_ends_a_connect_timeout() {
    if let Some(ports) = trusted_ports() {
        let port = ports[0];
        let impatient = json!({"timeout_connect": 0.4, "scrape": false});
        for driver in DRIVERS {
            let silent = turning_silent(port, b"").await;
            let spec = short(&format!("https://localhost:{silent}"), impatient.clone());
            let outcome = drive_by(driver, spec).await;
            assert_fails_as(&outcome, FailureClass::TimeoutConnect, "no connection within 400ms");
            let plain = turning_silent(port, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let spec = short(&format!("https://localhost:{plain}"), impatient.clone());
            let outcome = drive_by(driver, spec).await;
            assert_fails_as(&outcome, FailureClass::Tls, "no TLS session");
        }
        return;
    }
    let server = ScriptedServer::chat(&Chat::of(&["a", "b"]).usage(5, 2));
    let front = TlsFront::before(server.address(), &["localhost"]).await;
    let name =
        "connections::a_handshake_that_fails_is_tls_and_one_that_never_ends_a_connect_timeout";
    run_again_trusting(&[front], name).await;
}

/// `MSG_MORE` of Linux: what is sent waits for what comes next, here the end.
const MORE: MsgFlags = MsgFlags::from_bits_retain(0x8000);

/// Answers one request a connection, closes its side in the same segment as the answer's end, and
/// reads on without a word: so does llama.cpp's server.
async fn closing_without_a_word() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while !is_whole(&asked) {
                    match stream.read_buf(&mut asked).await {
                        Ok(bytes) if bytes > 0 => {}
                        _ => return,
                    }
                }
                let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";
                let (kind, body) = if asked.starts_with(b"GET /v1/models") {
                    ("application/json", r#"{"data":[{"id":"m"}]}"#)
                } else {
                    ("text/event-stream", event)
                };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
                );
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = send(stream.as_fd().as_raw_fd(), body.as_bytes(), MORE);
                let _ = stream.shutdown().await;
                while stream.read(&mut [0; 1024]).await.is_ok_and(|bytes| bytes > 0) {}
            });
        }
    });
    url
}

/// Whether a request is there with the whole of its body.
fn is_whole(asked: &[u8]) -> bool {
    let text = String::from_utf8_lossy(asked).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_connection_whose_end_came_with_the_answers_end_is_not_used_again() {
    for driver in DRIVERS {
        let url = closing_without_a_word().await;
        let load = json!({"user": 4, "max_requests": 60, "timeout_first_token": 1.5, "grace": 5});
        let report = drive_by(driver, short(&url, load)).await.report;
        assert_eq!(report.requests.completed, 60, "{driver:?}: {:?}", report.failures);
        assert_eq!(report.validity.connections_opened, 60, "{driver:?}");
    }
}

#[tokio::test]
async fn an_address_that_nobody_listens_at_costs_no_request_where_the_name_has_another() {
    for driver in DRIVERS {
        // `localhost` is `::1` too on most machines, and there nobody listens.
        let server = ScriptedServer::chat(&Chat::of(&["a"]).usage(5, 1));
        let url = server.url().replace("127.0.0.1", "localhost");
        let load = json!({"user": 8, "max_requests": 160, "fresh_connections": true});
        let report = drive_by(driver, short(&url, load)).await.report;
        assert_eq!(report.requests.completed, 160, "{driver:?}: {:?}", report.failures);
    }
}
