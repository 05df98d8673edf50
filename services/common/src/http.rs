//! The few shapes of answers that all services give.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

/// A JSON answer that nobody may keep or guess a type for.
#[must_use]
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => with_type(status, "application/json; charset=utf-8", bytes),
        // Our own types always serialise; should one not, the asker gets an error and no panic.
        Err(_) => with_type(
            StatusCode::INTERNAL_SERVER_ERROR,
            "application/json; charset=utf-8",
            r#"{"success":false}"#,
        ),
    }
}

/// A plain text answer.
#[must_use]
pub fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    with_type(status, "text/plain; charset=utf-8", body)
}

/// An answer of the given type that nobody may keep or guess another type for.
#[must_use]
pub fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
