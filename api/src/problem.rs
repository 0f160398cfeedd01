//! Every error a client sees, as RFC 9457 problem+json.
//!
//! A client reads what it can act on; the cause of our own failures goes to the log, once, here.

use std::{error::Error as StdError, fmt};

use poem::{
    Response,
    error::ResponseError,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use shared::{FieldError, Problem};
use store::{Quota, StoreError};
use target::TargetError;

use crate::{access, quota::RateLimit};

/// A kind of problem: what a program switches on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) status: u16,
    code: &'static str,
    title: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $status:literal, $code:literal, $title:literal;)*) => {
        impl Kind {
            $(pub(crate) const $name: Self = Self { status: $status, code: $code, title: $title };)*
        }
    };
}

kinds! {
    MALFORMED = 400, "malformed-request", "The request cannot be read";
    UNAUTHORIZED = 401, "unauthorized", "Credentials are missing or wrong";
    NOT_FOUND = 404, "not-found", "There is no such thing";
    METHOD_NOT_ALLOWED = 405, "method-not-allowed", "The method is not allowed here";
    TIMEOUT = 408, "request-timeout", "The request came too slowly";
    STILL_ACTIVE = 409, "still-active", "The benchmark is not over";
    ALREADY_OVER = 409, "already-over", "The benchmark is over";
    RUNNER_GONE = 409, "runner-gone", "The runner is gone";
    TOO_LARGE = 413, "too-large", "The body is too large";
    QUERY_TOO_LONG = 414, "query-too-long", "The query is too long";
    MEDIA_TYPE = 415, "unsupported-media-type", "The body's type is not supported";
    VALIDATION = 422, "validation", "Fields are not valid";
    IMMUTABLE = 422, "immutable-field", "The field cannot change";
    KEY_REUSED = 422, "idempotency-key-reused", "The idempotency key was used for something else";
    BLOCKED = 422, "target-blocked", "The target must not be reached";
    NO_MASTER_KEY = 422, "no-master-key", "No key can be kept";
    QUOTA = 429, "quota-exceeded", "The quota is used up";
    BUSY = 429, "busy", "Too much at once";
    RUN_FAILED = 500, "run-failed", "The run did not complete";
    INTERNAL = 500, "internal", "Something went wrong here";
    TARGET = 502, "target-failed", "The target failed";
    UNAVAILABLE = 503, "unavailable", "Not available now";
}

/// A refusal on its way to the client.
#[derive(Debug)]
pub(crate) struct ApiError {
    problem: Box<Problem>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// A problem that the client can do something about; `detail` is for it to read.
    pub(crate) fn told(kind: Kind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let problem = Problem {
            r#type: format!("/problems/{}", kind.code),
            title: kind.title.to_owned(),
            status: kind.status,
            message: detail.clone(),
            detail,
            code: kind.code.to_owned(),
            errors: Vec::new(),
            trace_id: None,
        };
        Self { problem: Box::new(problem), headers: Vec::new() }
    }

    /// A problem of ours: the cause is logged here, and the client gets the log's name for it.
    pub(crate) fn logged(kind: Kind, detail: &str, cause: &(dyn StdError + 'static)) -> Self {
        let mut chain = cause.to_string();
        let mut source = cause.source();
        while let Some(deeper) = source {
            chain = format!("{chain}: {deeper}");
            source = deeper.source();
        }
        tracing::error!(status = kind.status, cause = chain, "{detail}");
        Self::told(kind, detail).traced()
    }

    /// Refused fields, all at once.
    pub(crate) fn fields(kind: Kind, errors: Vec<FieldError>) -> Self {
        let details: Vec<_> = errors.iter().map(|error| error.detail.as_str()).collect();
        let mut refusal = Self::told(kind, details.join("; "));
        refusal.problem.errors = errors;
        refusal
    }

    /// One refused field.
    pub(crate) fn field(kind: Kind, field: &str, detail: impl Into<String>) -> Self {
        Self::fields(kind, vec![FieldError::new(field, detail)])
    }

    /// More than an owner may have.
    fn quota(reached: Quota, said: String) -> Self {
        let mut refusal = Self::told(Kind::QUOTA, said);
        if let Some(seconds) = reached.more_in_s {
            refusal = refusal.with(header::RETRY_AFTER, seconds.into());
        }
        for (name, value) in RateLimit::of(&[reached]).iter().flat_map(RateLimit::headers) {
            refusal = refusal.with(HeaderName::from_static(name), value);
        }
        refusal
    }

    /// The same with a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same with the request's id, under which the log has more.
    fn traced(mut self) -> Self {
        self.problem.trace_id = access::request_id();
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.detail)
    }
}

impl StdError for ApiError {}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn as_response(&self) -> Response {
        let body = serde_json::to_string(&self.problem).unwrap_or_default();
        let mut response = Response::builder()
            .status(self.status())
            .content_type("application/problem+json")
            .header(header::CACHE_CONTROL, "no-store")
            .body(body);
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let said = error.to_string();
        match error {
            StoreError::NotFound(_) | StoreError::UnknownRunner(_) => {
                Self::told(Kind::NOT_FOUND, said)
            }
            StoreError::RunnerGone(_) => Self::told(Kind::RUNNER_GONE, said),
            StoreError::Active { .. } => Self::told(Kind::STILL_ACTIVE, said),
            StoreError::AlreadyOver { .. } => Self::told(Kind::ALREADY_OVER, said),
            StoreError::Immutable(errors) => Self::fields(Kind::IMMUTABLE, errors),
            StoreError::Quota(reached) => Self::quota(reached, said),
            StoreError::Refused(errors) => Self::fields(Kind::VALIDATION, errors),
            StoreError::KeyReused(_) => Self::told(Kind::KEY_REUSED, said),
            StoreError::NoMasterKey => Self::field(Kind::NO_MASTER_KEY, "api_key", said),
            StoreError::NoArtifact { .. } => {
                Self::logged(Kind::NOT_FOUND, "the file is gone from the artifact store", &error)
            }
            StoreError::Artifacts(_) => {
                let detail = "the artifact store cannot be reached; try again";
                let again = HeaderValue::from(5);
                Self::logged(Kind::UNAVAILABLE, detail, &error).with(header::RETRY_AFTER, again)
            }
            error if error.is_outage() => {
                let again = HeaderValue::from(2);
                Self::logged(Kind::UNAVAILABLE, "the database cannot be reached; try again", &error)
                    .with(header::RETRY_AFTER, again)
            }
            error => Self::logged(Kind::INTERNAL, "the cause is in the server's log", &error),
        }
    }
}

impl From<TargetError> for ApiError {
    fn from(error: TargetError) -> Self {
        let said = error.to_string();
        match error {
            TargetError::Blocked(_) => Self::field(Kind::BLOCKED, "url", said),
            TargetError::UnusableKey => Self::field(Kind::VALIDATION, "api_key", said),
            TargetError::Setup(_) => {
                Self::logged(Kind::INTERNAL, "the cause is in the server's log", &error)
            }
            _ => Self::told(Kind::TARGET, said),
        }
    }
}

impl From<Vec<FieldError>> for ApiError {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::fields(Kind::VALIDATION, errors)
    }
}

/// Whatever poem or a handler refused, as a problem; `allowed` are the path's methods.
pub(crate) fn from_poem(error: poem::Error, allowed: &str) -> Response {
    if error.is::<ApiError>() || error.is_from_response() {
        return error.into_response();
    }
    let refusal = match error.status() {
        StatusCode::NOT_FOUND => ApiError::told(Kind::NOT_FOUND, "nothing is at this path"),
        StatusCode::METHOD_NOT_ALLOWED => {
            let detail = format!("this path takes {allowed}");
            let refusal = ApiError::told(Kind::METHOD_NOT_ALLOWED, detail);
            match HeaderValue::from_str(allowed) {
                Ok(allowed) => refusal.with(header::ALLOW, allowed),
                Err(_) => refusal,
            }
        }
        status if status.is_client_error() => ApiError::told(Kind::MALFORMED, words_of(&error)),
        _ => ApiError::logged(Kind::INTERNAL, "the cause is in the server's log", &error),
    };
    refusal.as_response()
}

/// What a client reads of an error that poem raised: the parameter's name and no Rust types.
fn words_of(error: &poem::Error) -> String {
    use poem_openapi::error::{ParseParamError, ParsePathError};

    let said = |name: &str, reason: &str| {
        let reason = reason.split(" (occurred while parsing").next().unwrap_or_default();
        format!("{name} cannot be read: {reason}")
    };
    if error.is::<ParsePathError>() {
        "id must be a whole number, at most 9223372036854775807".to_owned()
    } else if let Some(error) = error.downcast_ref::<ParseParamError>() {
        said(error.name, &error.reason)
    } else {
        error.to_string()
    }
}

/// A handler that panicked: the panic hook has logged why.
pub(crate) fn from_panic() -> Response {
    tracing::error!("a handler panicked");
    ApiError::told(Kind::INTERNAL, "the cause is in the server's log").traced().as_response()
}
