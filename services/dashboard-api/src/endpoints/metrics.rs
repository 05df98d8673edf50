//! `GET /api/webhook/metrics?days`

use axum::response::Response;
use events::queries::{self, Metrics};
use serde_json::{Value, json};
use service_common::clock;

use super::{bytes, cached, percent};
use crate::answer::Refusal;
use crate::cache::Key;
use crate::params::Params;
use crate::service::Service;

pub(crate) async fn answer(service: &Service, params: &Params) -> Result<Response, Refusal> {
    let days = params.number("days", 7, 1..=365)?;
    let make = async {
        let found = service.pool.ask(move |db| queries::metrics(db, days)).await;
        let metrics = found.map_err(|trouble| Refusal::Failed("Failed to fetch webhook metrics", trouble))?;
        Ok(bytes(&body(&metrics, days)))
    };
    service.cache.get(Key::Metrics { days }, make).await.map(cached)
}

fn body(metrics: &Metrics, days: u32) -> Value {
    json!({
        "success": true,
        "data": {
            "overview": {
                "total_button_clicks": metrics.clicks,
                "total_content_deliveries": metrics.deliveries,
                "successful_deliveries": metrics.successful,
                "failed_deliveries": metrics.failed,
                "success_rate": percent(metrics.successful, metrics.deliveries),
                "avg_response_time": metrics.response_seconds,
            },
            "button_analytics": {
                "daily_button_clicks": metrics.clicks_by_button,
                "hourly_distribution": metrics.clicks_by_day,
                "click_response_time": metrics.response_seconds.map(|seconds| format!("{seconds:.1}s avg")),
                "period_days": days,
            },
            "performance": {
                // Known once the supervisor keeps a record of 30 days.
                "uptime_percentage": null,
                "messages_processed_today": metrics.messages_today,
                "peak_hour_performance":
                    metrics.busiest_hour_seconds.map(|seconds| format!("{seconds:.1}s avg response time")),
                "error_rate": percent(metrics.failed, metrics.deliveries),
            },
        },
        "timestamp": clock::now_iso(),
        "query_parameters": {"days": days},
    })
}
