//! Paths, and who may connect.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{
    ALLOW, ORIGIN, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use service_common::{Secret, guard, http, log};

use crate::client;
use crate::service::Service;

/// The subprotocol that is spoken, and that a token may come with.
const PROTOCOL: &str = "dogwatch";
const TOKEN_PROTOCOL: &str = "bearer.";
const BUFFER: usize = 4096;
const MAX_WRITE: usize = 8 << 20;

/// * `GET /` and `GET /ws`: the WebSocket
/// * `GET /health`: how are we?
pub(crate) async fn dispatch(State(service): State<Arc<Service>>, request: Request<Body>) -> Response {
    let (head, _) = request.into_parts();
    if !guard::host_allowed(&head.headers, &head.uri, &service.config.hosts) {
        return http::text(
            StatusCode::MISDIRECTED_REQUEST,
            "this service does not answer for the host that was asked",
        );
    }
    let is_socket = match head.uri.path() {
        "/" | "/ws" => true,
        "/health" => false,
        _ => return http::text(StatusCode::NOT_FOUND, "Not Found"),
    };
    match head.method {
        Method::GET if is_socket => connect(service, head).await,
        Method::GET | Method::HEAD if !is_socket => health(&service),
        _ => {
            let mut response = http::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            response
        }
    }
}

fn health(service: &Service) -> Response {
    let body = json!({
        "status": "healthy",
        "active_clients": service.hub.clients(),
        "last_event_id": service.hub.last_event_id(),
    });
    http::json(StatusCode::OK, &body)
}

async fn connect(service: Arc<Service>, mut head: Parts) -> Response {
    if let Some(refusal) = refusal(&service, &head) {
        return refusal;
    }
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut head, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let Ok(place) = Arc::clone(&service.places).try_acquire_owned() else {
        return http::text(StatusCode::SERVICE_UNAVAILABLE, "all places are taken: try again later");
    };
    upgrade
        .protocols([PROTOCOL])
        // The usual buffers of 128 KiB would be most of our memory.
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(MAX_WRITE)
        .max_message_size(client::MAX_READ)
        .max_frame_size(client::MAX_READ)
        .on_failed_upgrade(|error| log::error(format_args!("a connection broke in the handshake: {error}")))
        .on_upgrade(move |socket| async move {
            client::serve(socket, &service).await;
            drop(place);
        })
}

/// Why this one may not connect.
fn refusal(service: &Service, head: &Parts) -> Option<Response> {
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    if !header(UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
        || header(SEC_WEBSOCKET_VERSION) != Some("13")
    {
        let mut response = http::text(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket of version 13");
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return Some(response);
    }
    if let Some(origin) = head.headers.get(ORIGIN) {
        let known = origin.to_str().is_ok_and(|origin| {
            service.config.origins.iter().any(|known| known == origin)
                || guard::is_own_origin(origin, &head.headers)
                || guard::is_neighbour_origin(origin, &head.headers, service.config.page_port)
        });
        if !known {
            return Some(http::text(
                StatusCode::FORBIDDEN,
                "this page may not connect; CORS_ORIGINS can allow it",
            ));
        }
    }
    match &service.config.token {
        Some(token) if !shows(head, token) => {
            let mut response = http::text(StatusCode::UNAUTHORIZED, "Unauthorized");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            Some(response)
        }
        _ => None,
    }
}

/// Does the request show the token, as a bearer or, as browsers must, among the subprotocols?
fn shows(head: &Parts, token: &Secret) -> bool {
    let offered = head.headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    guard::bearer_matches(&head.headers, token)
        || offered
            .flat_map(|list| list.split(','))
            .filter_map(|name| name.trim().strip_prefix(TOKEN_PROTOCOL))
            .any(|given| token.matches(given.as_bytes()))
}
