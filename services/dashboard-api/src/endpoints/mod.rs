//! What can be asked, one file each.

pub(crate) mod conversations;
pub(crate) mod database;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod numbers;
pub(crate) mod realtime;
pub(crate) mod recent;
pub(crate) mod services;

use axum::body::Bytes;
use axum::http::header::AGE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use service_common::http;

use crate::cache::Cached;
use crate::page::DASHBOARD;

pub(crate) const METRICS: &str = "/api/webhook/metrics";
pub(crate) const CONVERSATIONS: &str = "/api/webhook/conversations";
pub(crate) const HEALTH: &str = "/api/webhook/health";
pub(crate) const REALTIME: &str = "/api/webhook/stats/realtime";
pub(crate) const RECENT: &str = "/api/webhook/events/recent";
pub(crate) const SERVICES: &str = "/api/services";
pub(crate) const NUMBERS: &str = "/api/numbers";
pub(crate) const DATABASE: &str = "/api/database";
/// Says that the process answers, and nothing else; of these the only one that never needs a token.
pub(crate) const HEALTHZ: &str = "/healthz";

/// All of them; the first five in the order that the original lists them in.
pub(crate) const PATHS: [&str; 10] =
    [METRICS, CONVERSATIONS, HEALTH, REALTIME, RECENT, SERVICES, NUMBERS, DATABASE, HEALTHZ, DASHBOARD];

/// A value as the bytes of an answer.
fn bytes(value: &impl Serialize) -> Bytes {
    // Our own types always serialise.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// An answer of now.
fn fresh(body: Bytes) -> Response {
    http::with_type(StatusCode::OK, "application/json; charset=utf-8", body)
}

/// A kept or new answer, and which of the two it is.
fn cached(cached: Cached) -> Response {
    let mut response = fresh(cached.body);
    let headers = response.headers_mut();
    headers.insert(AGE, HeaderValue::from(cached.age.as_secs()));
    let word = if cached.hit { "HIT" } else { "MISS" };
    headers.insert(HeaderName::from_static("x-cache"), HeaderValue::from_static(word));
    response
}

/// A share in percent with two decimals; none of nothing.
fn percent(part: i64, whole: i64) -> Option<String> {
    (whole > 0).then(|| format!("{:.2}", ratio(part, whole) * 100.0))
}

#[expect(clippy::cast_precision_loss, reason = "counts of messages stay far below 2^52")]
fn ratio(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn nothing_has_no_share() {
        assert_eq!(percent(0, 0), None);
        assert_eq!(percent(52, 55).as_deref(), Some("94.55"));
    }
}
