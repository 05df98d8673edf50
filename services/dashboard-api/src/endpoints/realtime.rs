//! `GET /api/webhook/stats/realtime`, never kept.

use axum::http::StatusCode;
use axum::response::Response;
use events::queries;
use serde_json::json;
use service_common::{clock, http};

use crate::answer::Refusal;
use crate::service::Service;

pub(crate) async fn answer(service: &Service) -> Result<Response, Refusal> {
    let found = service.pool.ask(queries::realtime).await;
    let data = found.map_err(|trouble| Refusal::Failed("Failed to fetch real-time stats", trouble))?;
    Ok(http::json(StatusCode::OK, &json!({"success": true, "data": data, "timestamp": clock::now_iso()})))
}
