//! What happens around every request: its id, its log line, its share of the metrics, the limits
//! and permissions that are judged before a handler sees it.
//!
//! A log line has the path's pattern and never the query: the original's clients send `api_key`
//! there.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures::FutureExt as _;
use poem::{
    Endpoint, EndpointExt, PathPattern, Request, Response,
    endpoint::BoxEndpoint,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{NormalizePath, TrailingSlash},
};
use serde_json::Value;
use tracing::Instrument as _;

use crate::{
    AppState, openapi,
    problem::{self, ApiError, Kind},
};

/// Longest query accepted, in bytes.
pub(crate) const MAX_QUERY_BYTES: usize = 8 * 1024;

tokio::task_local! {
    static REQUEST_ID: String;
}

/// What the log calls the request being answered.
pub(crate) fn request_id() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok()
}

/// `routes` with everything that holds for all of them. Paths are taken with and without a slash
/// at their end.
pub(crate) fn around<E>(
    routes: E,
    state: Arc<AppState>,
    document: Arc<Value>,
) -> BoxEndpoint<'static>
where
    E: Endpoint<Output = Response> + 'static,
{
    routes
        .around(move |routes, request: Request| {
            let (state, document) = (Arc::clone(&state), Arc::clone(&document));
            async move { Ok(answer(routes, request, &state, &document).await) }
        })
        .with(NormalizePath::new(TrailingSlash::Trim))
        .map_to_response()
        .boxed()
}

async fn answer<E>(routes: Arc<E>, request: Request, state: &AppState, document: &Value) -> Response
where
    E: Endpoint<Output = Response>,
{
    let started = Instant::now();
    let id = ulid::Ulid::generate().to_string();
    let method = request.method().clone();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let span = tracing::info_span!("request", request_id = id);
    let answering = guarded(routes, request, state, document).instrument(span);
    let mut response = REQUEST_ID.scope(id.clone(), answering).await;

    let path = response.data::<PathPattern>().map(|pattern| documented(&pattern.0));
    let path = path.unwrap_or_else(|| "unmatched".to_owned());
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    state.metrics.answered(&method, &path, status, elapsed);
    let elapsed_ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3;
    match path.as_str() {
        // Asked every few seconds by machines.
        "/livez" | "/readyz" | "/metrics" => {
            tracing::debug!(%method, path, status, elapsed_ms, request_id = id, "answered");
        }
        _ => tracing::info!(%method, path, status, elapsed_ms, request_id = id, "answered"),
    }

    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(origin) = origin.filter(|origin| state.allows(origin)) {
        share_with(headers, origin);
    }
    response
}

/// Answers whatever happens: refusals and panics become problems.
async fn guarded<E>(
    routes: Arc<E>,
    request: Request,
    state: &AppState,
    document: &Value,
) -> Response
where
    E: Endpoint<Output = Response>,
{
    if is_preflight(&request) && request.header(header::ORIGIN).is_some() {
        return StatusCode::NO_CONTENT.into();
    }
    let admitted = state.gate.admit(request.uri().path(), request.headers());
    let judged = admitted.and_then(|()| query_within_limit(&request));
    let outcome = match judged {
        Err(refusal) => Err(refusal.into()),
        Ok(()) => unpanicked(routes, request).await,
    };
    outcome.unwrap_or_else(|error: poem::Error| {
        let pattern = error.data::<PathPattern>().cloned();
        let path = pattern.as_ref().map(|pattern| documented(&pattern.0)).unwrap_or_default();
        let mut response = problem::from_poem(error, &openapi::methods_of(document, &path));
        if let Some(pattern) = pattern.filter(|pattern| !pattern.0.is_empty()) {
            response.set_data(pattern);
        }
        response
    })
}

/// The answer, even of a handler that panics.
async fn unpanicked<E>(routes: Arc<E>, request: Request) -> poem::Result<Response>
where
    E: Endpoint<Output = Response>,
{
    match AssertUnwindSafe(routes.call(request)).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => Ok(problem::from_panic()),
    }
}

fn query_within_limit(request: &Request) -> Result<(), ApiError> {
    let length = request.uri().query().unwrap_or_default().len();
    if length <= MAX_QUERY_BYTES {
        return Ok(());
    }
    let detail = format!("the query must be at most {MAX_QUERY_BYTES} bytes long, not {length}");
    Err(ApiError::told(Kind::QUERY_TOO_LONG, detail))
}

/// A path pattern as the published document writes it.
fn documented(pattern: &str) -> String {
    if pattern.is_empty() { "unmatched".to_owned() } else { pattern.replace(":param0", "{id}") }
}

/// Whether a browser asks if a page may call us; the answer's headers say it.
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Lets pages of `origin` read the answer. Never any origin, and no cookies: there are none.
fn share_with(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, idempotency-key, if-none-match, last-event-id, prefer, x-target-api-key",
        ),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "content-disposition, etag, idempotent-replayed, location, preference-applied, ratelimit, ratelimit-policy, retry-after, x-request-id",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use poem::endpoint::make;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_and_the_next_request_is_answered() {
        let panics = Arc::new(make(|request: Request| async move {
            assert_eq!(request.method(), Method::GET, "on purpose");
            Ok::<_, poem::Error>(Response::default())
        }));
        let post = Request::builder().method(Method::POST).finish();
        let response = unpanicked(Arc::clone(&panics), post).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.content_type(), Some("application/problem+json"));
        let response = unpanicked(panics, Request::default()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}
