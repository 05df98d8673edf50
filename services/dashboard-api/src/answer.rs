//! The answers that are no data.

use axum::http::header::{ALLOW, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use events::Trouble;
use serde_json::{Value, json};
use service_common::http;

use crate::params::Invalid;

/// Why an endpoint has no data to give.
pub(crate) enum Refusal {
    Parameter(Invalid),
    /// What could not be done, in the words of the original, and why.
    Failed(&'static str, Trouble),
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Parameter(invalid)
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Parameter(Invalid(message)) => error(
                StatusCode::BAD_REQUEST,
                json!({"success": false, "error": "Invalid query parameter", "message": message}),
            ),
            Refusal::Failed(what, trouble) => {
                let status = match trouble {
                    Trouble::TooSlow => StatusCode::SERVICE_UNAVAILABLE,
                    Trouble::Locked | Trouble::Corrupt | Trouble::Unavailable => {
                        StatusCode::INTERNAL_SERVER_ERROR
                    }
                };
                error(status, json!({"success": false, "error": what, "message": trouble.message()}))
            }
        }
    }
}

pub(crate) fn not_found(endpoints: &[&str]) -> Response {
    let listed: Vec<String> = endpoints.iter().map(|path| format!("GET {path}")).collect();
    error(
        StatusCode::NOT_FOUND,
        json!({"success": false, "error": "Endpoint not found", "available_endpoints": listed}),
    )
}

pub(crate) fn not_allowed() -> Response {
    let body = json!({"success": false, "error": "Method not allowed", "message": "this endpoint can only be read: use GET or HEAD"});
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, body);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

pub(crate) fn unauthorized() -> Response {
    let mut response = error(StatusCode::UNAUTHORIZED, json!({"success": false, "error": "Unauthorized"}));
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

pub(crate) fn wrong_host() -> Response {
    let body = json!({"success": false, "error": "Misdirected request",
        "message": "this service does not answer for the host that was asked; API_HOSTS can add it"});
    error(StatusCode::MISDIRECTED_REQUEST, body)
}

#[expect(clippy::needless_pass_by_value, reason = "the body is made for this answer")]
fn error(status: StatusCode, body: Value) -> Response {
    http::json(status, &body)
}
