//! One report of the platform: checked, taken apart, answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use serde_json::Value;
use service_common::{http, log, mask};

use crate::delivery::Trigger;
use crate::entries::{Made, Reading};
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
            Item::Message { message, contacts } => take_message(service, message, contacts, at, start),
            Item::Status(status) => {
                let kind = status["status"].as_str().unwrap_or("unknown");
                let recipient = payload::phone(&status["recipient_id"]);
                let made = Made { entry: entries::of_status(status, at), is_trigger: false };
                take_entry(service, made, kind, recipient, start);
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

fn take_message(service: &Service, message: &Value, contacts: &Value, at: Timestamp, start: Instant) {
    let sender = payload::sender(message, contacts);
    let reading = Reading { keywords: &service.config.keywords, store_text: service.config.store_text };
    let made = entries::of_message(message, sender.as_deref(), at, reading);
    let kind = message["type"].as_str().unwrap_or("unknown");
    take_entry(service, made, kind, sender, start);
}

fn take_entry(service: &Service, made: Made, kind: &str, person: Option<String>, start: Instant) {
    count(&service.messages.received);
    let Made { entry, is_trigger } = made;
    let kind: String = kind.chars().take(32).collect();
    let person = person.unwrap_or_default();
    let (who, key) = (mask(&person), entry.key.clone());
    let id = mask(key.as_deref().unwrap_or_default());
    let is_new = key.as_deref().is_none_or(|key| service.logger.is_new(key));
    let mut result = "seen before";
    let mut delivery = None;
    if is_new {
        // Delivering does not depend on the database: who asks is answered also while it is away.
        result = if service.logger.log(&entry) { "taken" } else { "lost: no room for events" };
        let trigger = Trigger { sender: person, message_id: key, received: start };
        delivery = is_trigger.then(|| service.desk.offer(trigger));
    } else {
        count(&service.messages.duplicates);
    }
    let delivery = delivery.map_or(String::new(), |offer| format!(", {}", offer.as_str()));
    let time = start.elapsed().as_micros();
    log::info(format_args!("{kind} of {who}, id {id}: {result}{delivery}, {time} µs"));
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
