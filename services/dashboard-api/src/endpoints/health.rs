//! `GET /api/webhook/health`: this service, and the three that it needs or shows.

use axum::http::StatusCode;
use axum::response::Response;
use events::{Trouble, queries};
use serde_json::json;
use service_common::{clock, http};

use crate::service::Service;

pub(crate) async fn answer(service: &Service) -> Response {
    let recent = service.pool.ask(queries::events_of_the_last_hour).await;
    let (webhook, websocket) = (service.webhook.finding(), service.websocket.finding());
    let database = match recent {
        Ok(_) => "connected",
        Err(Trouble::Corrupt) => "corrupt",
        Err(_) => "unavailable",
    };
    let others_are_well = webhook.word() == "healthy" && websocket.word() == "healthy";
    let (code, status) = match (&recent, others_are_well) {
        (Err(_), _) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
        (Ok(_), true) => (StatusCode::OK, "healthy"),
        (Ok(_), false) => (StatusCode::OK, "degraded"),
    };
    let body = json!({
        "success": recent.is_ok(),
        "service": "Dashboard Integration API",
        "version": env!("CARGO_PKG_VERSION"),
        "status": status,
        "components": {
            "dashboard_api": "healthy",
            "events_database": database,
            "webhook_connection": webhook.word(),
            "websocket_server": websocket.word(),
        },
        "metrics": {
            "uptime": service.started.elapsed().as_secs_f64(),
            // The four that only the original's runtime had stay, unknown, for who reads them.
            "memory_usage": {
                "rss": resident_bytes(),
                "heapTotal": null, "heapUsed": null, "external": null, "arrayBuffers": null,
            },
            "recent_events_count": recent.ok(),
        },
        "webhook": {"url": service.webhook.target().url(), "last_check": webhook.checked},
        "timestamp": clock::now_iso(),
    });
    http::json(code, &body)
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}
