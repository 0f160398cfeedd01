//! https targets: certificates are checked, against the platform's trust store and nothing else.

use serde_json::json;
use target::{Blocked, Control, Egress, TargetError, probe::probe};
use testkit::{Chat, ScriptedServer, TlsFront, run_again_trusting, trusted_ports};
use tokio::net::TcpListener;

use crate::{control_of, spec_of};

/// A scripted server with TLS before it.
async fn front(names: &[&str]) -> (ScriptedServer, TlsFront) {
    let server = ScriptedServer::chat(&Chat::of(&["x"]));
    let front = TlsFront::before(server.address(), names).await;
    (server, front)
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (server, front) = front(&["localhost"]).await;
    let spec = spec_of(&format!("https://localhost:{}", front.port), &json!({}));
    let error = control_of(&spec, None).models().await.unwrap_err();
    let TargetError::Unreachable(words) = &error else { panic!("{error:?}") };
    assert!(words.contains("certificate"), "{words}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_unreachable() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        }
    });
    let spec = spec_of(&format!("https://127.0.0.1:{port}"), &json!({}));
    let failure = probe(&control_of(&spec, None), &spec).await.unwrap_err().reason();
    assert_eq!(failure.code, shared::ReasonCode::TargetUnreachable, "{failure:?}");
}

#[tokio::test]
async fn https_meets_the_same_gate() {
    let (_server, front) = front(&["localhost"]).await;
    let spec = spec_of(&format!("https://localhost:{}", front.port), &json!({}));
    let public = Egress::new(Egress::PUBLIC, Vec::new()).unwrap();
    let refused = Control::new(&public, &spec.url, None);
    assert!(matches!(refused, Err(TargetError::Blocked(Blocked))));
}

/// Runs itself once more with the certificate in the trust store.
#[tokio::test]
async fn a_trusted_certificate_is_taken_for_its_name_alone() {
    if let Some(ports) = trusted_ports() {
        let port = ports[0];
        let spec = spec_of(&format!("https://localhost:{port}"), &json!({}));
        probe(&control_of(&spec, None), &spec).await.unwrap();
        let other = spec_of(&format!("https://127.0.0.1:{port}"), &json!({}));
        let error = control_of(&other, None).models().await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
        return;
    }
    let (server, front) = front(&["localhost"]).await;
    run_again_trusting(&[front], "tls::a_trusted_certificate_is_taken_for_its_name_alone").await;
    assert_eq!(server.requests().len(), 2);
}
