//! One report of the platform: checked, taken apart, answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use events::Entry;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use serde_json::Value;
use service_common::{http, log, mask};

use crate::payload::{self, Item};
use crate::service::Service;
use crate::{entries, signature};

/// The platform sends up to 3 MB.
const MAX_BODY: usize = 4 << 20;
const BODY_TIME: Duration = Duration::from_secs(10);
/// Anybody can send a large body, signed or not: only this many are held in memory at a time.
pub(crate) const LARGE_BODIES: usize = 8;
const LARGE: u64 = 64 * 1024;

/// Why a report is not taken.
enum Refusal {
    TooLarge,
    TooSlow,
    Broken,
    Unsigned,
    NotJson,
}

pub(crate) async fn receive(service: &Service, request: Request<Body>) -> Response {
    let start = Instant::now();
    match check(service, request).await {
        Ok(payload) => {
            take(service, &payload, start);
            // Always, whatever the content: for anything else the platform sends it all again.
            http::text(StatusCode::OK, "OK")
        }
        Err(refusal) => refuse(service, refusal),
    }
}

async fn check(service: &Service, request: Request<Body>) -> Result<Value, Refusal> {
    let (head, body) = request.into_parts();
    let body = read(service, body).await?;
    if !is_signed(service, &head.headers, &body) {
        return Err(Refusal::Unsigned);
    }
    serde_json::from_slice(&body).map_err(|_| Refusal::NotJson)
}

/// The whole body; it has ten seconds, waiting for a place among the large ones included.
async fn read(service: &Service, body: Body) -> Result<Bytes, Refusal> {
    let size = body.size_hint();
    if size.lower() > MAX_BODY as u64 {
        return Err(Refusal::TooLarge);
    }
    let is_large = size.upper().is_none_or(|size| size > LARGE);
    let reading = async {
        let _place = if is_large { service.large_bodies.acquire().await.ok() } else { None };
        Limited::new(body, MAX_BODY).collect().await
    };
    match tokio::time::timeout(BODY_TIME, reading).await {
        Err(_) => Err(Refusal::TooSlow),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Ok(Err(_)) => Err(Refusal::Broken),
    }
}

fn is_signed(service: &Service, headers: &HeaderMap, body: &[u8]) -> bool {
    let Some(secret) = &service.config.app_secret else {
        return true;
    };
    let given = headers.get(signature::HEADER);
    given.is_some_and(|value| signature::is_valid(value.as_bytes(), secret.expose(), body))
}

fn refuse(service: &Service, refusal: Refusal) -> Response {
    let (status, text) = match refusal {
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large"),
        Refusal::TooSlow => (StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
        Refusal::Broken => (StatusCode::BAD_REQUEST, "Bad Request"),
        Refusal::NotJson => (StatusCode::BAD_REQUEST, "Bad Request: not one JSON value"),
        Refusal::Unsigned => {
            count(&service.messages.rejected_signature);
            (StatusCode::UNAUTHORIZED, "Unauthorized")
        }
    };
    log::error(format_args!("POST /webhook refused: {}", status.as_u16()));
    let mut response = http::text(status, text);
    if matches!(refusal, Refusal::TooLarge | Refusal::TooSlow | Refusal::Broken) {
        // What is left of the body is not a new request.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn take(service: &Service, payload: &Value, start: Instant) {
    let at = Timestamp::now();
    let items = payload::items(payload);
    for item in &items {
        match item {
            Item::Message { message, contacts } => {
                let entry = entries::of_message(message, contacts, at, service.config.store_text);
                let kind = message["type"].as_str().unwrap_or("unknown");
                take_entry(service, entry, kind, payload::sender(message, contacts), start);
            }
            Item::Status(status) => {
                let kind = status["status"].as_str().unwrap_or("unknown");
                let entry = entries::of_status(status, at);
                take_entry(service, entry, kind, payload::phone(&status["recipient_id"]), start);
            }
            Item::PlatformError(code) => {
                count(&service.messages.ignored);
                let code = code.map_or("without a code".to_owned(), |code| code.to_string());
                log::error(format_args!("the platform reports error {code}"));
            }
            Item::Ignored => count(&service.messages.ignored),
        }
    }
    if items.is_empty() {
        count(&service.messages.ignored);
    }
}

fn take_entry(service: &Service, entry: Entry, kind: &str, person: Option<String>, start: Instant) {
    count(&service.messages.received);
    let kind: String = kind.chars().take(32).collect();
    let person = mask(&person.unwrap_or_default());
    let id = mask(entry.key.as_deref().unwrap_or_default());
    let is_new = entry.key.as_deref().is_none_or(|key| service.logger.is_new(key));
    let result = if !is_new {
        count(&service.messages.duplicates);
        "seen before"
    } else if service.logger.log(entry) {
        "taken"
    } else {
        "lost: no room for events"
    };
    let time = start.elapsed().as_micros();
    log::info(format_args!("{kind} of {person}, id {id}: {result}, {time} µs"));
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
