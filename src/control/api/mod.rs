//! The HTTP API, version 1. Bodies are those of [`crate::wire::api`].
//!
//! ```text
//! GET  /v1/services                 all services
//! GET  /v1/services/NAME            one
//! GET  /v1/health                   the control plane and the machine
//! GET  /metrics                     the services in numbers, for Prometheus
//! GET  /v1/services/NAME/logs       its logs, see `logs`              (unix socket only)
//! POST /v1/services/NAME/start      stop, restart, reload, flush, reopen alike        (unix socket only)
//! POST /v1/up                       several at once                   (unix socket only)
//! POST /v1/down                     stops all of dogwatch             (unix socket only)
//! POST /v1/exec                     becomes another program           (unix socket only)
//! ```

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;

use self::error::Refused;
use super::down::down;
use super::orders;
use super::plane::{Ending, Plane};
use super::{renewal, up, view};
use crate::model::name::ServiceName;
use crate::wire::VERSION;
use crate::wire::api::{Exec, Order, Up, Verb};

pub mod error;
mod health;
mod logs;
mod metrics;

use health::Viewer;

/// Longest body of a request, bytes.
const LONGEST: usize = 64 * 1024;

/// For the owner and root: everything.
pub fn full(plane: &Arc<Plane>) -> Router {
    let orders = {
        let plane = Arc::clone(plane);
        post(move |path, body| order(plane, path, body))
    };
    let up = {
        let plane = Arc::clone(plane);
        post(move |body: Bytes| async move {
            let order: Up = read(&body)?;
            let _under_way = plane.begin_order();
            Ok::<_, Refused>(Json(up::up(&plane, order).await?))
        })
    };
    let down = {
        let plane = Arc::clone(plane);
        post(move || take_down(plane))
    };
    let exec = {
        let plane = Arc::clone(plane);
        post(move |body: Bytes| async move {
            let Exec { program } = read(&body)?;
            renewal::ask(&plane, program).await?;
            Ok::<_, Refused>(Json(serde_json::json!({ "v": VERSION })))
        })
    };
    looks(plane, Viewer::Owner)
        .route("/v1/services/{name}/{order}", orders)
        .merge(logs::routes(plane))
        .route("/v1/up", up)
        .route("/v1/down", down)
        .route("/v1/exec", exec)
        .layer(DefaultBodyLimit::max(LONGEST))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
}

/// For whoever reaches the TCP port: looking only, and only under the machine's own name, so that no page
/// from elsewhere can look through a browser (DNS rebinding).
pub fn read_only(plane: &Arc<Plane>) -> Router {
    looks(plane, Viewer::Anybody)
        .merge(logs::refused())
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(guard))
}

/// For other users of the machine: a refusal.
pub fn for_strangers() -> Router {
    Router::new().fallback(|| async {
        Refused::new(
            StatusCode::FORBIDDEN,
            "only the user that dogwatch runs as, and root, may use this socket",
        )
        .hint("run the command as that user, or with sudo")
    })
}

fn looks(plane: &Arc<Plane>, viewer: Viewer) -> Router {
    let all = {
        let plane = Arc::clone(plane);
        get(move || async move { Json(view::all(&plane).await) })
    };
    let one = {
        let plane = Arc::clone(plane);
        get(move |Path(name): Path<String>| async move {
            let name = named(&plane, &name)?;
            match view::one(&plane, &name).await {
                Some(service) => Ok(Json(service)),
                None => view::last_known_or_gone(&plane, &name).map(Json),
            }
        })
    };
    let health = {
        let plane = Arc::clone(plane);
        get(move || async move { Json(health::look(&plane, viewer).await) })
    };
    let metrics = {
        let plane = Arc::clone(plane);
        let kind = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
        get(move || async move { (kind, metrics::render(&view::all(&plane).await)) })
    };
    Router::new()
        .route("/metrics", metrics)
        .route("/v1/services", all)
        .route("/v1/services/{name}", one)
        .route("/v1/health", health)
}

async fn order(
    plane: Arc<Plane>,
    Path((name, verb)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Refused> {
    let Some(verb) = Verb::parse(&verb) else {
        return Err(nothing_here().await);
    };
    // The file may have a service that nobody has heard of yet.
    if matches!(verb, Verb::Start | Verb::Restart | Verb::Reload) {
        orders::look_again(&plane);
    }
    let name = named(&plane, &name)?;
    let order: Order = read(&body)?;
    let _under_way = plane.begin_order();
    let answer = orders::carry_out(&plane, &name, verb, order).await?;
    Ok(Json(answer).into_response())
}

async fn take_down(plane: Arc<Plane>) -> Result<Response, Refused> {
    orders::refuse_when_going_down(&plane)?;
    // It goes on even if the one who asked has gone away.
    let work = tokio::spawn(async move {
        let answer = down(&plane).await;
        plane.end(Ending::Down);
        answer
    });
    match work.await {
        Ok(answer) => Ok(Json(answer).into_response()),
        Err(error) => Err(Refused::failed(format!("going down: {error}"))),
    }
}

/// The service that a path names.
fn named(plane: &Plane, text: &str) -> Result<ServiceName, Refused> {
    let name = ServiceName::new(text).map_err(|error| {
        Refused::new(StatusCode::NOT_FOUND, format!("there is no service {text:?}: {error}"))
    })?;
    view::known(plane, &name)?;
    Ok(name)
}

/// A JSON body; nothing stands for an object without fields.
fn read<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Refused> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, format!("the request's body: {error}")))
}

async fn nothing_here() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "there is nothing at this path").hint("see: GET /v1/services")
}

async fn wrong_method() -> Refused {
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not know that method")
}

async fn guard(request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        let refused = Refused::new(StatusCode::METHOD_NOT_ALLOWED, "over TCP dogwatch only shows: GET")
            .hint("orders go through the command line or the unix socket");
        let mut response = refused.into_response();
        let allowed = HeaderValue::from_static("GET");
        response.headers_mut().insert(header::ALLOW, allowed);
        return response;
    }
    let host = request.headers().get(header::HOST);
    if !host.and_then(|host| host.to_str().ok()).is_some_and(is_own_host) {
        return Refused::new(StatusCode::MISDIRECTED_REQUEST, "this is not the host that was asked for")
            .hint("use http://localhost, http://127.0.0.1 or http://[::1]")
            .into_response();
    }
    next.run(request).await
}

/// Whether a Host header means this machine, by one of its own three names.
fn is_own_host(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| {
        host.strip_prefix(own).is_some_and(|rest| {
            let port = rest.strip_prefix(':');
            rest.is_empty() || port.is_some_and(|port| port.parse::<u16>().is_ok())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for own in ["localhost", "localhost:9615", "127.0.0.1:1", "[::1]:9615", "[::1]"] {
            assert!(is_own_host(own), "{own}");
        }
        for other in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "localhost:",
            "localhost:x",
            "",
        ] {
            assert!(!is_own_host(other), "{other}");
        }
    }
}
