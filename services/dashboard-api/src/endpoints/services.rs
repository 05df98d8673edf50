//! `GET /api/services`: all services of this machine, as the supervisor sees them. Looking only: starting and stopping
//! stays with the command line.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use service_common::{clock, http};

use crate::answer;
use crate::service::Service;

pub(crate) async fn answer(service: &Service) -> Response {
    match service.supervisor.services().await {
        Ok(seen) => {
            let body = json!({
                "success": true,
                "data": seen.services,
                "system": seen.system,
                "timestamp": clock::now_iso(),
            });
            http::json(StatusCode::OK, &body)
        }
        Err(why) => answer::unavailable("Failed to fetch services", &why.to_string()),
    }
}
