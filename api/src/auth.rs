//! Who may use the API: Basic credentials, Bearer tokens, or everybody where neither is set.
//!
//! Everything is behind the gate but a list of paths, so that a new route is guarded unless
//! somebody decides otherwise. Secrets are compared as digests, in constant time.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use poem::http::{HeaderMap, HeaderValue, header};
use secrecy::ExposeSecret;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::{
    problem::{ApiError, Kind},
    settings::Settings,
};

/// What anybody may ask for.
const OPEN: &[&str] = &["/", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs"];

type Digest = [u8; 32];

/// Why the API cannot be guarded as asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredentials {
    /// `BASIC_AUTH` with nothing to compare with.
    #[error("BASIC_AUTH needs API_USERNAME and API_PASSWORD, and {0} is not set")]
    Incomplete(&'static str),
    /// A user name that Basic credentials cannot carry.
    #[error("API_USERNAME must not contain a colon")]
    Colon,
}

/// The gate: what it takes to get in.
pub(crate) struct Gate {
    basic: Option<(Digest, Digest)>,
    tokens: Vec<Digest>,
}

impl Gate {
    pub(crate) fn new(settings: &Settings) -> Result<Self, InvalidCredentials> {
        let basic = if settings.basic_auth {
            let name = settings.api_username.as_deref().filter(|name| !name.is_empty());
            let name = name.ok_or(InvalidCredentials::Incomplete("API_USERNAME"))?;
            let password = settings.api_password.as_ref().map(ExposeSecret::expose_secret);
            let password = password.filter(|password| !password.is_empty());
            let password = password.ok_or(InvalidCredentials::Incomplete("API_PASSWORD"))?;
            if name.contains(':') {
                return Err(InvalidCredentials::Colon);
            }
            Some((digest(name.as_bytes()), digest(password.as_bytes())))
        } else {
            None
        };
        let tokens = settings.api_tokens.iter().map(|token| token.expose_secret().trim());
        let tokens = tokens.filter(|token| !token.is_empty());
        Ok(Self { basic, tokens: tokens.map(|token| digest(token.as_bytes())).collect() })
    }

    /// Whether everybody gets in.
    pub(crate) fn is_open(&self) -> bool {
        self.basic.is_none() && self.tokens.is_empty()
    }

    /// Lets a request for `path` in, or says how to ask.
    pub(crate) fn admit(&self, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.is_open() || OPEN.contains(&path) {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given.is_some_and(|given| bool::from(self.knows(given))) {
            return Ok(());
        }
        let mut refusal = ApiError::told(Kind::UNAUTHORIZED, "credentials are missing or wrong");
        if self.basic.is_some() {
            let challenge = "Basic realm=\"LLM Benchmark API\", charset=\"UTF-8\"";
            refusal = refusal.with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if !self.tokens.is_empty() {
            let challenge = "Bearer realm=\"LLM Benchmark API\"";
            refusal = refusal.with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        Err(refusal)
    }

    /// Who a request that was let in comes from: the user's name, a token's beginning (of its
    /// digest), or `anyone` where everybody gets in.
    pub(crate) fn principal(&self, headers: &HeaderMap) -> String {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, given)) = given.and_then(|given| given.trim().split_once(' ')) else {
            return "anyone".to_owned();
        };
        if self.is_open() {
            "anyone".to_owned()
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let [a, b, c, d, ..] = digest(given.trim().as_bytes());
            format!("token {:08x}", u32::from_be_bytes([a, b, c, d]))
        } else {
            let given = BASE64.decode(given.trim()).unwrap_or_default();
            let name = given.split(|byte| *byte == b':').next().unwrap_or_default();
            format!("user {}", String::from_utf8_lossy(name))
        }
    }

    /// Whether an `Authorization` header's value is one of ours. How long it takes does not
    /// depend on which part is wrong.
    fn knows(&self, authorization: &str) -> Choice {
        let no = Choice::from(0);
        let Some((scheme, given)) = authorization.trim().split_once(' ') else { return no };
        let given = given.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            let given = digest(given.as_bytes());
            self.tokens.iter().fold(no, |known, token| known | token.ct_eq(&given))
        } else if scheme.eq_ignore_ascii_case("basic") {
            let Some((name, password)) = &self.basic else { return no };
            let given = BASE64.decode(given).unwrap_or_default();
            let colon = given.iter().position(|byte| *byte == b':');
            let (given_name, given_password) = given.split_at(colon.unwrap_or(given.len()));
            let given_password = given_password.get(1..).unwrap_or_default();
            name.ct_eq(&digest(given_name)) & password.ct_eq(&digest(given_password))
        } else {
            no
        }
    }
}

fn digest(secret: &[u8]) -> Digest {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(basic: bool, tokens: &[&str]) -> Gate {
        Gate::new(&Settings {
            basic_auth: basic,
            api_username: Some("admin".into()),
            api_password: Some("pass:word".into()),
            api_tokens: tokens.iter().map(|token| (*token).into()).collect(),
            ..Settings::default()
        })
        .unwrap()
    }

    fn admits(gate: &Gate, authorization: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        gate.admit("/api/v1/runners", &headers).is_ok()
    }

    fn basic(credentials: &str) -> String {
        format!("Basic {}", BASE64.encode(credentials))
    }

    #[test]
    fn with_nothing_set_everybody_gets_in() {
        let gate = gate(false, &["", " "]);
        assert!(gate.is_open());
        assert!(gate.admit("/api/v1/runners", &HeaderMap::new()).is_ok());
    }

    #[test]
    fn basic_credentials_must_match_whole() {
        let gate = gate(true, &[]);
        assert!(admits(&gate, &basic("admin:pass:word")));
        assert!(admits(&gate, &basic("admin:pass:word").replace("Basic", "basic")));
        for wrong in ["admin:pass", "admin:", "admin", "Admin:pass:word", ":pass:word", ""] {
            assert!(!admits(&gate, &basic(wrong)), "{wrong}");
        }
        for wrong in ["Basic", "Basic !!", "Bearer pass:word", "admin:pass:word", "Digest x"] {
            assert!(!admits(&gate, wrong), "{wrong}");
        }
    }

    #[test]
    fn every_token_gets_in_and_no_other_word() {
        let gate = gate(false, &["first-token", " second-token "]);
        assert!(admits(&gate, "Bearer first-token"));
        assert!(admits(&gate, "bearer  second-token"));
        for wrong in ["Bearer first", "Bearer ", "Bearer first-token,second-token"] {
            assert!(!admits(&gate, wrong), "{wrong}");
        }
        assert!(!admits(&gate, &basic("admin:pass:word")));
    }

    #[test]
    fn half_of_the_credentials_stops_the_start() {
        let half = Settings {
            basic_auth: true,
            api_username: Some("admin".into()),
            ..Settings::default()
        };
        let refused = Gate::new(&half).err().unwrap();
        assert_eq!(refused, InvalidCredentials::Incomplete("API_PASSWORD"));
    }
}
