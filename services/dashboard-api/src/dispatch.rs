//! From a request to its answer, step by step.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::json;
use service_common::{guard, http};

use crate::endpoints::{self, conversations, database, health, metrics, numbers, realtime, recent, services};
use crate::params::Params;
use crate::service::Service;
use crate::{answer, cors, page};

pub(crate) async fn dispatch(State(service): State<Arc<Service>>, request: Request<Body>) -> Response {
    let (head, _) = request.into_parts();
    if !guard::host_allowed(&head.headers, &head.uri, &service.config.hosts) {
        return answer::wrong_host();
    }
    let path = head.uri.path();
    let mut response = if head.method == Method::OPTIONS {
        cors::preflight(&head.headers)
    } else if !is_known(&service, &head) {
        answer::unauthorized()
    } else if !endpoints::PATHS.contains(&path) && !page::has(path) {
        answer::not_found(&endpoints::PATHS)
    } else if !matches!(head.method, Method::GET | Method::HEAD) {
        answer::not_allowed()
    } else if page::has(path) {
        page::answer(&service.config, path, &head.headers)
    } else {
        ask(&service, path, &Params::of(head.uri.query())).await
    };
    cors::mark(&mut response, &head.headers, &service.config.origins);
    response
}

fn is_known(service: &Service, head: &axum::http::request::Parts) -> bool {
    let path = head.uri.path();
    match &service.config.token {
        Some(token) => {
            path == endpoints::HEALTHZ || page::has(path) || guard::bearer_matches(&head.headers, token)
        }
        None => true,
    }
}

async fn ask(service: &Service, path: &str, params: &Params) -> Response {
    let answer = match path {
        endpoints::METRICS => metrics::answer(service, params).await,
        endpoints::CONVERSATIONS => conversations::answer(service, params).await,
        endpoints::HEALTH => return health::answer(service).await,
        endpoints::REALTIME => realtime::answer(service).await,
        endpoints::RECENT => recent::answer(service, params).await,
        endpoints::SERVICES => return services::answer(service).await,
        endpoints::NUMBERS => numbers::answer(service, params).await,
        endpoints::DATABASE => database::answer(service).await,
        _ => return http::json(StatusCode::OK, &json!({"status": "ok"})),
    };
    answer.unwrap_or_else(Response::from)
}
