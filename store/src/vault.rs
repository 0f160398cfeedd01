//! Keys of targets at rest: sealed under one master key, opened only by the runner that claimed.
//!
//! XChaCha20-Poly1305 with a random nonce. The benchmark's id and the master key's name are bound
//! to the box, so that a box moved to another row, or opened with another key, does not open.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Generate, Key, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use shared::BenchmarkId;

/// Seals and opens keys of targets; without a master key it refuses both.
#[derive(Clone, Default)]
pub struct Vault {
    opened: Option<Opened>,
}

#[derive(Clone)]
struct Opened {
    cipher: XChaCha20Poly1305,
    kid: String,
}

/// A sealed key as its row holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) kid: String,
    pub(crate) nonce: Vec<u8>,
    /// Ciphertext and tag.
    pub(crate) text: Vec<u8>,
}

/// A text that is no master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MASTER_KEY must be 32 bytes in base64, e.g. from `openssl rand -base64 32`")]
pub struct InvalidMasterKey;

/// Why a stored key cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedKeyError {
    /// This process has no master key.
    #[error("the target's key is sealed and this runner has no MASTER_KEY")]
    NoMasterKey,
    /// Another master key sealed it.
    #[error("the target's key was sealed under another MASTER_KEY than this runner's")]
    OtherMasterKey,
    /// What is stored is not what was sealed.
    #[error("the target's sealed key is damaged")]
    Damaged,
    /// It waited for too long.
    #[error("the target's key was kept for 24 h and is gone; submit the benchmark again")]
    Expired,
}

impl Vault {
    /// A vault that refuses to keep keys.
    pub fn none() -> Self {
        Self::default()
    }

    /// The vault of a master key: 32 bytes in base64.
    pub fn from_base64(master_key: &str) -> Result<Self, InvalidMasterKey> {
        let bytes = STANDARD.decode(master_key.trim()).map_err(|_| InvalidMasterKey)?;
        let key = Key::<XChaCha20Poly1305>::try_from(&bytes[..]).map_err(|_| InvalidMasterKey)?;
        let [a, b, c, d, ..] = Sha256::digest(key).0;
        let kid = format!("{:08x}", u32::from_be_bytes([a, b, c, d]));
        Ok(Self { opened: Some(Opened { cipher: XChaCha20Poly1305::new(&key), kid }) })
    }

    /// A new master key, in base64.
    pub fn generate_base64() -> String {
        STANDARD.encode(Key::<XChaCha20Poly1305>::generate())
    }

    /// Whether keys can be kept: there is a master key.
    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// Seals `key` for benchmark `id`; none without a master key.
    pub(crate) fn seal(&self, id: BenchmarkId, key: &SecretString) -> Option<Sealed> {
        let Opened { cipher, kid } = self.opened.as_ref()?;
        let nonce = XNonce::generate();
        let bound = bound_to(id, kid);
        let payload = Payload { msg: key.expose_secret().as_bytes(), aad: &bound };
        let text = cipher.encrypt(&nonce, payload).ok()?;
        Some(Sealed { kid: kid.clone(), nonce: nonce.to_vec(), text })
    }

    /// Opens what was sealed for benchmark `id`.
    pub(crate) fn open(
        &self,
        id: BenchmarkId,
        sealed: &Sealed,
    ) -> Result<SecretString, SealedKeyError> {
        let Opened { cipher, kid } = self.opened.as_ref().ok_or(SealedKeyError::NoMasterKey)?;
        if *kid != sealed.kid {
            return Err(SealedKeyError::OtherMasterKey);
        }
        let nonce = XNonce::try_from(&sealed.nonce[..]).map_err(|_| SealedKeyError::Damaged)?;
        let bound = bound_to(id, kid);
        let payload = Payload { msg: &sealed.text, aad: &bound };
        let key = cipher.decrypt(&nonce, payload).map_err(|_| SealedKeyError::Damaged)?;
        let key = String::from_utf8(key).map_err(|_| SealedKeyError::Damaged)?;
        Ok(key.into())
    }
}

fn bound_to(id: BenchmarkId, kid: &str) -> Vec<u8> {
    format!("benchmark {id} {kid}").into_bytes()
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open() { "Vault(open)" } else { "Vault(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::from_base64(&Vault::generate_base64()).unwrap()
    }

    #[test]
    fn a_sealed_key_opens_for_its_own_benchmark_only() {
        let vault = vault();
        let sealed = vault.seal(BenchmarkId(1), &"sk-canary".into()).unwrap();
        assert!(!sealed.text.windows(6).any(|bytes| bytes == b"canary"));
        assert_eq!(vault.open(BenchmarkId(1), &sealed).unwrap().expose_secret(), "sk-canary");
        assert_eq!(vault.open(BenchmarkId(2), &sealed).unwrap_err(), SealedKeyError::Damaged);
    }

    #[test]
    fn two_boxes_of_one_key_differ() {
        let vault = vault();
        let seal = || vault.seal(BenchmarkId(1), &"sk-canary".into()).unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn another_master_key_and_none_say_so() {
        let sealed = vault().seal(BenchmarkId(1), &"sk".into()).unwrap();
        let refused = |vault: Vault| vault.open(BenchmarkId(1), &sealed).unwrap_err();
        assert_eq!(refused(vault()), SealedKeyError::OtherMasterKey);
        assert_eq!(refused(Vault::none()), SealedKeyError::NoMasterKey);
        assert!(Vault::none().seal(BenchmarkId(1), &"sk".into()).is_none());
    }

    #[test]
    fn a_master_key_is_32_bytes_in_base64() {
        for wrong in ["", "short", "not base64!", &STANDARD.encode([0; 31])] {
            assert_eq!(Vault::from_base64(wrong).unwrap_err(), InvalidMasterKey, "{wrong}");
        }
    }
}
