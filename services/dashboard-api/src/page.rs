//! `GET /dashboard`: the page, whose files are part of this program.
//!
//! They need no token: there is nothing in them but the page. What it shows it asks for as everyone
//! else does, with the token.

use std::hash::{DefaultHasher, Hasher};

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::json;
use service_common::http;

use crate::config::Config;

/// Only what this service itself serves; the WebSocket has an address of its own.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'");

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// What the page has to know before it can ask for anything.
const SETTINGS: &str = "/dashboard/config.json";

pub(crate) const DASHBOARD: &str = "/dashboard";

/// Path, type, content.
const FILES: [(&str, &str, &[u8]); 20] = [
    (DASHBOARD, HTML, include_bytes!("../page/index.html")),
    ("/dashboard/", HTML, include_bytes!("../page/index.html")),
    ("/dashboard/style.css", CSS, include_bytes!("../page/style.css")),
    ("/dashboard/icon.svg", SVG, include_bytes!("../page/icon.svg")),
    ("/dashboard/api.js", JS, include_bytes!("../page/api.js")),
    ("/dashboard/bars.js", JS, include_bytes!("../page/bars.js")),
    ("/dashboard/dom.js", JS, include_bytes!("../page/dom.js")),
    ("/dashboard/event.js", JS, include_bytes!("../page/event.js")),
    ("/dashboard/feed.js", JS, include_bytes!("../page/feed.js")),
    ("/dashboard/format.js", JS, include_bytes!("../page/format.js")),
    ("/dashboard/judge.js", JS, include_bytes!("../page/judge.js")),
    ("/dashboard/live.js", JS, include_bytes!("../page/live.js")),
    ("/dashboard/main.js", JS, include_bytes!("../page/main.js")),
    ("/dashboard/numbers.js", JS, include_bytes!("../page/numbers.js")),
    ("/dashboard/poll.js", JS, include_bytes!("../page/poll.js")),
    ("/dashboard/rows.js", JS, include_bytes!("../page/rows.js")),
    ("/dashboard/services.js", JS, include_bytes!("../page/services.js")),
    ("/dashboard/state.js", JS, include_bytes!("../page/state.js")),
    ("/dashboard/talks.js", JS, include_bytes!("../page/talks.js")),
    ("/dashboard/token.js", JS, include_bytes!("../page/token.js")),
];

/// Is this one of the page's own paths?
pub(crate) fn has(path: &str) -> bool {
    path == SETTINGS || FILES.iter().any(|(name, ..)| *name == path)
}

/// A file of the page, or that the asker has it already.
pub(crate) fn answer(config: &Config, path: &str, asked: &HeaderMap) -> Response {
    match FILES.iter().find(|(name, ..)| *name == path) {
        Some((_, content_type, bytes)) => file(content_type, bytes, asked),
        None => settings(config),
    }
}

fn file(content_type: &'static str, bytes: &'static [u8], asked: &HeaderMap) -> Response {
    let tag = tag(bytes);
    let mut response = if is_known(&tag, asked) {
        let mut unchanged = Response::new(Body::empty());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        http::with_type(StatusCode::OK, content_type, Bytes::from_static(bytes))
    };
    let headers = response.headers_mut();
    // Kept, but asked for again each time: after an update nobody sees half of the old page.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// The same bytes have the same tag; hashing the largest file takes some microseconds.
fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("W/\"{:016x}\"", hasher.finish())
}

fn is_known(tag: &str, asked: &HeaderMap) -> bool {
    let lists = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let weak = |given: &str| given.trim().trim_start_matches("W/") == tag.trim_start_matches("W/");
    lists.flat_map(|list| list.split(',')).any(|given| given.trim() == "*" || weak(given))
}

fn settings(config: &Config) -> Response {
    let body = json!({
        "token_required": config.token.is_some(),
        // Without an address: at this port of the host that the page came from.
        "websocket": {"url": config.websocket_url, "port": config.websocket.port()},
    });
    http::json(StatusCode::OK, &body)
}

#[cfg(test)]
mod tests {
    use super::{HeaderMap, HeaderValue, IF_NONE_MATCH, is_known, tag};

    #[test]
    fn tags_are_compared_weakly() {
        let tag = tag(b"some bytes");
        let asks = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(value).expect("a header value"));
            is_known(&tag, &headers)
        };
        assert!(asks(&tag) && asks("*") && asks(&format!("\"x\", {}", &tag[2..])));
        assert!(!asks("W/\"0\"") && !asks(""));
        assert!(!is_known(&tag, &HeaderMap::new()));
    }
}
