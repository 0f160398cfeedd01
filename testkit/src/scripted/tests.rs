use std::{
    io::{ErrorKind, Read, Write},
    time::Duration,
};

use super::{connection::is_tick, *};

fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(end.as_bytes()) && stream.read(&mut byte).unwrap() > 0 {
        seen.push(byte[0]);
    }
    String::from_utf8(seen).unwrap()
}

#[test]
fn a_connection_is_kept_and_every_write_is_stamped() {
    let chat = Chat::of(&["Hel", "lo"]).usage(5, 2).token_every(Duration::from_millis(30));
    let server = ScriptedServer::chat(&chat);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    for _ in 0..2 {
        say(
            &mut stream,
            "POST /v1/chat/completions?x HTTP/1.1\r\nContent-Length: 8\r\nX-Y: z\r\n\r\n{\"a\": 1}",
        );
        let answer = read_until(&mut stream, "0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(answer.matches("data: ").count(), 6, "{answer}");
    }
    let requests = server.requests_to("/v1/chat/completions");
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[1].number, requests[1].connection), (1, 0));
    assert_eq!((requests[1].method.as_str(), requests[1].header("x-y")), ("POST", Some("z")));
    assert_eq!(requests[1].json(), serde_json::json!({"a": 1}));
    let writes = server.writes_to(1);
    assert_eq!(writes.len(), 8, "head, role, two tokens, finish, usage, [DONE], end");
    assert!(writes[3].at - writes[2].at >= Duration::from_millis(30));
    assert!(writes.is_sorted_by_key(|wrote| wrote.at));
    assert_eq!(server.connections(), 1);
}

#[test]
fn scripts_for_one_request_play_before_those_for_all() {
    let server = ScriptedServer::scripted()
        .once("GET /a", Script::answer(500, "text/plain", "first"))
        .once("GET /a", Script::answer(429, "text/plain", "second"))
        .with("GET /a", |request| {
            Script::answer(200, "text/plain", &format!("number {}", request.number))
        })
        .start();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    for expected in ["first", "second", "number 2", "number 3"] {
        say(&mut stream, "GET /a HTTP/1.1\r\n\r\n");
        let answer = read_until(&mut stream, expected);
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{answer}");
    }
    say(&mut stream, "GET /b HTTP/1.1\r\n\r\n");
    assert!(read_until(&mut stream, "}}").starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[test]
fn a_connection_ends_as_the_script_says() {
    let server = ScriptedServer::scripted()
        .on("GET /close", Script::new().raw("bye").close())
        .on("GET /reset", Script::new().after(Duration::from_millis(1)).reset())
        .on("GET /stall", Script::new().raw("...").stall())
        .start();
    let ask = |path: &str| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        say(&mut stream, &format!("GET {path} HTTP/1.1\r\n\r\n"));
        stream
    };
    let mut text = String::new();
    assert_eq!(ask("/close").read_to_string(&mut text).unwrap(), 3);
    let reset = ask("/reset").read_to_string(&mut text).unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    let mut stalled = ask("/stall");
    assert_eq!(read_until(&mut stalled, "..."), "...");
    stalled.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(is_tick(&stalled.read(&mut [0]).unwrap_err()));
    drop(server);
    stalled.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(stalled.read(&mut [0]).unwrap(), 0, "a dropped server lets its connections go");
}

#[test]
fn a_refusing_url_refuses() {
    let url = ScriptedServer::refusing_url();
    let refused = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}
