//! `GET /api/webhook/events/recent?limit`, never kept.

use axum::http::StatusCode;
use axum::response::Response;
use events::{EventRow, queries};
use serde::Serialize;
use service_common::{clock, http};

use crate::answer::Refusal;
use crate::params::Params;
use crate::service::Service;

#[derive(Serialize)]
struct Recent {
    success: bool,
    count: usize,
    data: Vec<EventRow>,
    timestamp: String,
}

pub(crate) async fn answer(service: &Service, params: &Params) -> Result<Response, Refusal> {
    let limit = params.number("limit", 20, 1..=1000)?;
    let found = service.pool.ask(move |db| queries::recent(db, limit)).await;
    let data = found.map_err(|trouble| Refusal::Failed("Failed to fetch recent events", trouble))?;
    let body = Recent { success: true, count: data.len(), data, timestamp: clock::now_iso() };
    Ok(http::json(StatusCode::OK, &body))
}
