//! TLS in front of a server that speaks none.

use std::{net::SocketAddr, sync::Arc};

use rcgen::CertifiedKey;
use rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A port on which a server is reached through TLS, with a certificate that it signed itself; gone
/// with the test's runtime.
pub struct TlsFront {
    /// The port, on 127.0.0.1.
    pub port: u16,
    /// The certificate, for a trust store (`SSL_CERT_FILE`).
    pub certificate_pem: String,
}

impl TlsFront {
    /// TLS in front of `server`, under these names.
    ///
    /// # Panics
    ///
    /// If this machine gives no port.
    pub async fn before(server: SocketAddr, names: &[&str]) -> Self {
        Self::speaking(&[], server, names).await
    }

    /// The same, which takes these protocols by ALPN and no others.
    ///
    /// # Panics
    ///
    /// If this machine gives no port.
    pub async fn speaking(protocols: &[&str], server: SocketAddr, names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(names).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions that ring knows")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .expect("a key of its own");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut session) = acceptor.accept(stream).await else { return };
                    let Ok(mut inner) = TcpStream::connect(server).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut session, &mut inner).await;
                });
            }
        });
        Self { port, certificate_pem: cert.pem() }
    }
}

/// Names the ports of the fronts that a test trusts.
const TRUSTED_PORTS: &str = "TLS_TEST_TRUSTED_PORTS";

/// The ports of the fronts whose certificates this process trusts, where it is the second run of a
/// test by [`run_again_trusting`].
///
/// # Panics
///
/// If somebody else has set them.
pub fn trusted_ports() -> Option<Vec<u16>> {
    let ports = std::env::var(TRUSTED_PORTS).ok()?;
    Some(ports.split(' ').map(|port| port.parse().expect("a port")).collect())
}

/// Has the test `name` of this program run once more, in a process that trusts the certificates of
/// `fronts`: a trust store is read once, at the start.
///
/// # Panics
///
/// If it fails there.
pub async fn run_again_trusting(fronts: &[TlsFront], name: &str) {
    let store = tempfile::NamedTempFile::new().expect("a file");
    let certificates: String = fronts.iter().map(|front| front.certificate_pem.as_str()).collect();
    std::fs::write(store.path(), certificates).expect("a file that takes them");
    let ports: Vec<String> = fronts.iter().map(|front| front.port.to_string()).collect();
    let again = tokio::process::Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", name])
        .env("SSL_CERT_FILE", store.path())
        .env_remove("SSL_CERT_DIR")
        .env(TRUSTED_PORTS, ports.join(" "))
        .output()
        .await
        .expect("a process");
    assert!(again.status.success(), "{again:?}");
}
