//! Calls to a target that are no load: which models it lists, one answer, the probe's requests.
//!
//! Apart from the load's connections, because here nothing is measured and everything is bounded:
//! every body has a cap, every call a limit, and every text of the target that leaves this file has
//! been through [`excerpt`], so that no error carries the key.

mod failure;
mod listing;
mod question;

use std::{sync::Arc, time::Duration};

use reqwest::{
    Method, Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{self, HeaderMap, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use shared::{ExtraHeaders, HttpVersion, TargetUrl};

use crate::{
    Egress, USER_AGENT,
    chunk::{self, Answer, Reply},
    excerpt, tls,
};
pub use failure::TargetError;
pub use listing::Model;
use listing::NoList;
pub use question::{Question, Turn};

/// Most bytes read of an answer that is no load.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How long a connection may take.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long a list of models may take.
const MODELS_WITHIN: Duration = Duration::from_secs(10);

/// How long an answer may take unless [`Control::answers_within`] says otherwise.
const ANSWER_WITHIN: Duration = Duration::from_mins(2);

/// Most bytes kept of a name that the target gives: a model's, its own.
const NAME_BYTES: usize = 256;

/// A way to one target, for everything but load. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    http: reqwest::Client,
    egress: Egress,
    url: TargetUrl,
    key: Option<SecretString>,
    headers: HeaderMap,
    answers_within: Duration,
}

impl Control {
    /// A way to the target at `url`. Connects to nothing yet, but refuses a URL that `egress`
    /// blocks as it is written.
    pub fn new(
        egress: &Egress,
        url: &TargetUrl,
        key: Option<&SecretString>,
    ) -> Result<Self, TargetError> {
        Ok(Self {
            http: http(egress, url, HttpVersion::Http1)?,
            egress: egress.clone(),
            url: url.clone(),
            key: key.cloned(),
            headers: HeaderMap::new(),
            answers_within: ANSWER_WITHIN,
        })
    }

    /// The same way, with another limit for [`Control::chat`].
    #[must_use]
    pub fn answers_within(self, limit: Duration) -> Self {
        Self { answers_within: limit, ..self }
    }

    /// The same way in another version of HTTP; 2 by ALPN on https, by prior knowledge on http.
    pub fn speaking(self, version: HttpVersion) -> Result<Self, TargetError> {
        Ok(Self { http: http(&self.egress, &self.url, version)?, ..self })
    }

    /// The same way, with headers on every request.
    #[must_use]
    pub fn sending(self, extra: Option<&ExtraHeaders>) -> Self {
        let header = |(name, value): (&str, &str)| {
            let name = header::HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        };
        let headers = extra.into_iter().flat_map(ExtraHeaders::each).filter_map(header).collect();
        Self { headers, ..self }
    }

    /// The target.
    pub fn url(&self) -> &TargetUrl {
        &self.url
    }

    /// The models that the target lists, in its order; at most 1,000.
    pub async fn models(&self) -> Result<Vec<Model>, TargetError> {
        self.list(MODELS_WITHIN).await.map(|list| list.models)
    }

    /// One whole answer. Without a model in the question, the first listed one is asked.
    pub async fn chat(&self, question: &Question) -> Result<Answer, TargetError> {
        let model = if let Some(model) = &question.model {
            model.clone()
        } else {
            let listed = self.models().await?.into_iter().next();
            listed.ok_or(TargetError::NoModel)?.id
        };
        let body = question.body(&model);
        let limit = self.answers_within;
        let within = async {
            let response = self.send(Method::POST, "chat/completions", Some(body), limit).await?;
            self.body(response, limit).await
        };
        let body = deadline(limit, within).await?;
        match chunk::read_answer(&body) {
            Ok(Reply::Answer(answer)) => Ok(Answer {
                text: self.scrubbed(&answer.text),
                reasoning: answer.reasoning.map(|text| self.scrubbed(&text)),
                model: Some(answer.model.map_or(model, |model| self.scrubbed(&model))),
                ..answer
            }),
            Ok(Reply::Error(words)) => Err(TargetError::Refused(self.scrubbed(&words))),
            Err(_) => Err(TargetError::NotJson(self.excerpt_of(&body))),
        }
    }

    pub(crate) async fn list(&self, limit: Duration) -> Result<ModelList, TargetError> {
        let within = async {
            let response = self.send(Method::GET, "models", None, limit).await?;
            let server = self.header(&response, &header::SERVER);
            Ok((server, self.body(response, limit).await?))
        };
        let (server, body) = deadline(limit, within).await?;
        let models = listing::read(&body).map_err(|refused| match refused {
            NoList::NotJson => TargetError::NotJson(self.excerpt_of(&body)),
            NoList::NotAList => TargetError::NotAList(self.excerpt_of(&body)),
            NoList::Error(words) => TargetError::Refused(self.excerpt_of(words.as_bytes())),
        })?;
        let named = |model: Model| Model { id: self.scrubbed(&model.id), ..model };
        Ok(ModelList { models: models.into_iter().map(named).collect(), server })
    }

    /// What the target's `/metrics` says, up to [`MAX_BODY_BYTES`].
    pub(crate) async fn metrics(&self, limit: Duration) -> Result<String, TargetError> {
        let within = async {
            let page = self.url.beside_v1("metrics");
            let response = self.send_to(Method::GET, page, None, limit).await?;
            self.body(response, limit).await
        };
        let body = deadline(limit, within).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Sends a request and returns the response to it, if it is a 2xx.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        limit: Duration,
    ) -> Result<Response, TargetError> {
        self.send_to(method, self.url.endpoint(path), body, limit).await
    }

    async fn send_to(
        &self,
        method: Method,
        url: url::Url,
        body: Option<Vec<u8>>,
        limit: Duration,
    ) -> Result<Response, TargetError> {
        self.egress.check(&self.url)?;
        if !matches!(self.url.host(), url::Host::Domain(_)) {
            // reqwest asks its resolver for names alone.
            self.egress.resolve(&self.url).await?;
        }
        let mut request = self
            .http
            .request(method, url)
            .timeout(limit)
            .headers(self.headers.clone())
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, bearer(key)?);
        }
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| TargetError::of(error, limit))?;
        self.accept(response).await
    }

    async fn accept(&self, response: Response) -> Result<Response, TargetError> {
        let status = response.status();
        if status.is_redirection() {
            return Err(TargetError::Redirect {
                status: status.as_u16(),
                location: self.header(&response, &header::LOCATION),
            });
        }
        if !status.is_success() {
            let retry_after = self.header(&response, &header::RETRY_AFTER);
            let excerpt = self.body_excerpt(response).await;
            return Err(TargetError::Status { status: status.as_u16(), excerpt, retry_after });
        }
        match self.header(&response, &header::CONTENT_ENCODING) {
            Some(encoding) if !encoding.eq_ignore_ascii_case("identity") => {
                Err(TargetError::Encoded(encoding))
            }
            _ => Ok(response),
        }
    }

    /// A whole body, up to [`MAX_BODY_BYTES`].
    pub(crate) async fn body(
        &self,
        mut response: Response,
        limit: Duration,
    ) -> Result<Vec<u8>, TargetError> {
        let mut body = Vec::new();
        while let Some(piece) =
            response.chunk().await.map_err(|error| TargetError::of(error, limit))?
        {
            if body.len() + piece.len() > MAX_BODY_BYTES {
                return Err(TargetError::TooLarge { max_bytes: MAX_BODY_BYTES });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// The beginning of a body that explains a failure; what of it cannot be read is left out.
    async fn body_excerpt(&self, mut response: Response) -> String {
        let wanted = excerpt::wanted_bytes(self.key.as_ref());
        let mut body = Vec::new();
        let mut whole = true;
        while let Ok(Some(piece)) = response.chunk().await {
            let room = wanted - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.len() >= room {
                whole = false;
                break;
            }
        }
        excerpt::of_body(&body, whole, self.key.as_ref())
    }

    pub(crate) fn header(&self, response: &Response, name: &header::HeaderName) -> Option<String> {
        let value = response.headers().get(name)?;
        let text = self.scrubbed(&String::from_utf8_lossy(value.as_bytes()));
        Some(excerpt::excerpt(text.as_bytes(), NAME_BYTES)).filter(|text| !text.is_empty())
    }

    /// The text without the key.
    pub(crate) fn scrubbed(&self, text: &str) -> String {
        excerpt::without_key(text, self.key.as_ref())
    }

    /// The beginning of a body that has been read whole.
    pub(crate) fn excerpt_of(&self, body: &[u8]) -> String {
        excerpt::of_body(body, true, self.key.as_ref())
    }
}

fn http(
    egress: &Egress,
    url: &TargetUrl,
    version: HttpVersion,
) -> Result<reqwest::Client, TargetError> {
    egress.check(url)?;
    let tls = match (url.base().scheme(), version) {
        ("https", HttpVersion::Http1) => tls::client_config().map(|config| (*config).clone()),
        ("https", HttpVersion::Http2) => tls::http2_client_config().map(|config| (*config).clone()),
        _ => tls::trusting_nobody(),
    };
    let tls = tls.map_err(|error| TargetError::Setup(error.to_string()))?;
    let vetted = Vetted { egress: egress.clone(), url: url.clone() };
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(vetted))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_WITHIN)
        .user_agent(USER_AGENT);
    let builder = match version {
        HttpVersion::Http1 => builder.http1_only(),
        HttpVersion::Http2 => builder.http2_prior_knowledge(),
    };
    builder.build().map_err(|error| TargetError::Setup(error.without_url().to_string()))
}

/// What a target lists, and its `Server` header.
pub(crate) struct ModelList {
    pub(crate) models: Vec<Model>,
    pub(crate) server: Option<String>,
}

/// Runs a call that may take `limit` from its first connection to its last byte.
async fn deadline<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, TargetError>>,
) -> Result<T, TargetError> {
    match tokio::time::timeout(limit, call).await {
        Ok(outcome) => outcome,
        Err(_) => Err(TargetError::Timeout { within: limit }),
    }
}

fn bearer(key: &SecretString) -> Result<HeaderValue, TargetError> {
    let bearer = format!("Bearer {}", key.expose_secret());
    let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| TargetError::UnusableKey)?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// reqwest's resolver: the target's name to vetted addresses, and no other name to anything.
struct Vetted {
    egress: Egress,
    url: TargetUrl,
}

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { egress, url } = self;
        let (egress, url) = (egress.clone(), url.clone());
        Box::pin(async move {
            if url.base().host_str() != Some(name.as_str()) {
                return Err(crate::Blocked.into());
            }
            let addresses = egress.resolve(&url).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("url", &self.url).finish_non_exhaustive()
    }
}

impl TargetError {
    /// The status that the target refused with, where it was one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => StatusCode::from_u16(*status).ok(),
            _ => None,
        }
    }
}
