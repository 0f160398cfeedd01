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
