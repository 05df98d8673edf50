//! How the service is.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use service_common::{clock, http, mask};

use crate::service::Service;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health<'a> {
    status: &'a str,
    version: &'a str,
    architecture: &'a str,
    uptime: f64,
    timestamp: String,
    config: ConfigShown,
    stats: Stats,
    deliveries: Deliveries,
    database: &'a str,
    events: Events,
    messages: Messages,
}

/// What the original shows of its configuration.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigShown {
    phone_number_id: String,
    content_library: usize,
    max_retries: u32,
    message_delay: u128,
}

/// Of items; as in the original.
#[derive(Serialize)]
struct Stats {
    attempted: u64,
    successful: u64,
    failed: u64,
    retries: u64,
}

/// Of whole sequences.
#[derive(Serialize)]
struct Deliveries {
    running: usize,
    waiting: usize,
    skipped: u64,
}

#[derive(Serialize)]
struct Events {
    queued: u64,
    written: u64,
    dropped: u64,
    spooled: u64,
}

#[derive(Serialize)]
struct Messages {
    received: u64,
    duplicates: u64,
    rejected_signature: u64,
    ignored: u64,
}

pub(crate) fn health(service: &Service) -> Response {
    let counters = service.logger.counters();
    let (status, database) =
        if counters.connected { ("healthy", "connected") } else { ("degraded", "unavailable") };
    let ending = service.shutdown.is_requested();
    let code = if ending { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let messages = &service.messages;
    let (plan, stats) = (service.desk.plan(), service.desk.stats());
    let (running, waiting) = service.desk.load();
    let body = Health {
        status: if ending { "stopping" } else { status },
        version: env!("CARGO_PKG_VERSION"),
        architecture: "single process, events written in the background",
        uptime: service.started.elapsed().as_secs_f64(),
        timestamp: clock::now_iso(),
        config: ConfigShown {
            phone_number_id: mask(&service.config.phone_number_id),
            content_library: plan.content.len(),
            max_retries: plan.policy.attempts,
            message_delay: plan.pause.as_millis(),
        },
        stats: Stats {
            attempted: stats.attempted,
            successful: stats.successful,
            failed: stats.failed,
            retries: stats.retries,
        },
        deliveries: Deliveries { running, waiting, skipped: stats.skipped },
        database,
        events: Events {
            queued: counters.queued,
            written: counters.written,
            dropped: counters.dropped,
            spooled: counters.spooled,
        },
        messages: Messages {
            received: read(&messages.received),
            duplicates: read(&messages.duplicates),
            rejected_signature: read(&messages.rejected_signature),
            ignored: read(&messages.ignored),
        },
    };
    http::json(code, &body)
}
