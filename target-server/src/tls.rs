//! How TLS to a target is set up: the platform's trust store, ring, certificates always checked.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;

/// The configuration for https targets. Reading the platform's trust store takes milliseconds, so
/// it is done once per process; it fails where the platform has none.
pub(crate) fn client_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

/// The same for targets that are spoken to in HTTP/2, and in nothing else.
pub(crate) fn http2_client_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = (*client_config()?).clone();
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(Arc::new(config))
}

/// Whether a handshake failed because the server has none of the protocols that ALPN named.
pub(crate) fn says_no_protocol(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let said = rustls::AlertDescription::NoApplicationProtocol;
    matches!(cause, Some(rustls::Error::AlertReceived(alert)) if *alert == said)
}

/// HTTP/2 as ALPN names it.
pub(crate) const HTTP2: &[u8] = b"h2";

/// A configuration that trusts nobody, for clients that only speak http: they must work where the
/// platform has no trust store.
pub(crate) fn trusting_nobody() -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}
