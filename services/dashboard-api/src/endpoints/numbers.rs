//! `GET /api/numbers?days`: the last so many UTC days, today among them.

use axum::body::Bytes;
use axum::response::Response;
use events::queries::{self, Numbers};
use serde_json::json;
use service_common::clock;

use super::{bytes, cached, fresh, percent};
use crate::answer::Refusal;
use crate::cache::Key;
use crate::params::Params;
use crate::service::Service;

pub(crate) async fn answer(service: &Service, params: &Params) -> Result<Response, Refusal> {
    let days = params.number("days", 1, 1..=365)?;
    let make = async {
        let found = service.pool.ask(move |db| queries::numbers(db, days)).await;
        let numbers = found.map_err(|trouble| Refusal::Failed("Failed to fetch the numbers", trouble))?;
        Ok(body(&numbers, days))
    };
    // A day costs little, and is watched as it goes.
    if days == 1 {
        return make.await.map(fresh);
    }
    service.cache.get(Key::Numbers { days }, make).await.map(cached)
}

fn body(numbers: &Numbers, days: u32) -> Bytes {
    let rate = match (numbers.successful, numbers.deliveries) {
        (Some(successful), Some(deliveries)) => percent(successful, deliveries),
        _ => None,
    };
    bytes(&json!({
        "success": true,
        "data": {
            "clicks": numbers.clicks,
            "texts": numbers.texts,
            "deliveries": numbers.deliveries,
            "successful": numbers.successful,
            "failed": numbers.failed,
            "success_rate": rate,
            "avg_response_time": numbers.response_seconds,
        },
        "timestamp": clock::now_iso(),
        "query_parameters": {"days": days},
    }))
}
