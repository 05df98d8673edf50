//! `GET /api/webhook/conversations?days&limit`

use axum::response::Response;
use events::queries::{self, Conversations};
use serde_json::{Value, json};
use service_common::clock;

use super::{bytes, cached, ratio};
use crate::answer::Refusal;
use crate::cache::Key;
use crate::params::Params;
use crate::service::Service;

pub(crate) async fn answer(service: &Service, params: &Params) -> Result<Response, Refusal> {
    let days = params.number("days", 7, 1..=365)?;
    let limit = params.number("limit", 50, 1..=500)?;
    let make = async {
        let found = service.pool.ask(move |db| queries::conversations(db, days, limit)).await;
        let talks = found.map_err(|trouble| Refusal::Failed("Failed to fetch conversation data", trouble))?;
        Ok(bytes(&body(&talks, days, limit)))
    };
    service.cache.get(Key::Conversations { days, limit }, make).await.map(cached)
}

fn body(talks: &Conversations, days: u32, limit: u32) -> Value {
    let (successful, deliveries) = talks.deliveries;
    let completion = (deliveries > 0).then(|| format!("{:.0}%", ratio(successful, deliveries) * 100.0));
    json!({
        "success": true,
        "data": {
            "active_conversations": talks.active,
            "conversation_metrics": {
                "daily_chat_volume": talks.volume,
                "avg_response_time": talks.response_seconds.map(|seconds| format!("{seconds:.2}s")),
                "ai_response_quality": talks.satisfaction.map(|score| format!("{score:.1}/5")),
                "conversation_completion_rate": completion,
                "period_days": days,
            },
            "active_sessions": talks.sessions,
            "recent_interactions": talks.interactions,
            "conversation_trends": talks.trends,
        },
        "timestamp": clock::now_iso(),
        "query_parameters": {"days": days, "limit": limit},
    })
}
