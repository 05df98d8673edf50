//! Paths and methods.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::any;
use service_common::{http, query};

use crate::health;
use crate::receive;
use crate::service::Service;

/// * `GET /webhook`: the platform registers this address
/// * `POST /webhook`: the platform reports
/// * `GET /health`, `GET /webhook/health`: how are we?
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/webhook", any(webhook))
        .route("/health", any(health))
        .route("/webhook/health", any(health))
        .fallback(|| async { http::text(StatusCode::NOT_FOUND, "Not Found") })
        .with_state(service)
}

async fn webhook(State(service): State<Arc<Service>>, request: Request<Body>) -> Response {
    match *request.method() {
        Method::POST => receive::receive(&service, request).await,
        Method::GET => verify(&service, request.uri().query().unwrap_or_default()),
        _ => not_allowed("GET, POST"),
    }
}

async fn health(State(service): State<Arc<Service>>, request: Request<Body>) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => health::health(&service),
        _ => not_allowed("GET, HEAD"),
    }
}

/// Proves that this address is meant: the challenge goes back byte for byte to who knows the token.
fn verify(service: &Service, query: &str) -> Response {
    let pairs = query::pairs(query);
    let value = |name: &str| {
        let found = pairs.iter().find(|(given, _)| given == name.as_bytes());
        found.map_or(&[][..], |(_, value)| value.as_slice())
    };
    let token_is_right = service.config.verify_token.matches(value("hub.verify_token"));
    if value("hub.mode") != b"subscribe" || !token_is_right {
        return http::text(StatusCode::FORBIDDEN, "Forbidden");
    }
    match value("hub.challenge") {
        b"" => http::text(StatusCode::BAD_REQUEST, "Bad Request: hub.challenge is missing"),
        challenge => http::text(StatusCode::OK, challenge.to_vec()),
    }
}

fn not_allowed(allowed: &'static str) -> Response {
    let mut response = http::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
