//! The frames that clients get.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use events::EventRow;
use events::queries::DashboardMetrics;
use jiff::Timestamp;
use serde_json::{Value, json};
use service_common::clock;

use crate::request::Subscription;

/// A frame holds at most this many rows …
const ROWS: usize = 100;
/// … and, beyond its first row, at most this many bytes of them.
const BYTES: usize = 128 * 1024;

/// What belongs to every view of the numbers.
pub(crate) struct View<'a> {
    pub(crate) metrics: &'a DashboardMetrics,
    pub(crate) recent: &'a [EventRow],
    pub(crate) clients: usize,
    pub(crate) uptime: Duration,
}

pub(crate) fn connection_established() -> Utf8Bytes {
    let now = Timestamp::now().as_millisecond();
    let random = RandomState::new().build_hasher().finish();
    frame(json!({
        "type": "connection_established",
        "clientId": format!("client_{now}_{random:016x}"),
        "server_info": {
            "version": env!("CARGO_PKG_VERSION"),
            "service": "Dashboard WebSocket",
            "features": ["real_time_events", "heartbeat", "metrics_stream"],
        },
    }))
}

pub(crate) fn initial_data(view: &View<'_>, last_event_id: i64) -> Utf8Bytes {
    frame(json!({
        "type": "initial_data",
        "data": {
            "dashboard_metrics": view.metrics,
            "recent_events": view.recent,
            "connection_stats": {
                "active_clients": view.clients,
                "server_uptime": view.uptime.as_secs_f64(),
                "last_event_time": view.recent.first().and_then(|row| row.timestamp.as_deref()),
            },
            "last_event_id": last_event_id,
        },
    }))
}

pub(crate) fn metrics_update(view: &View<'_>) -> Utf8Bytes {
    frame(json!({
        "type": "metrics_update",
        "data": {
            "metrics": view.metrics,
            "recent_events": view.recent,
            "active_clients": view.clients,
            "server_uptime": view.uptime.as_secs_f64(),
        },
    }))
}

/// Rows that are JSON already, in their order, in as many frames as they need.
pub(crate) fn new_events<'a>(rows: impl IntoIterator<Item = &'a str>) -> Vec<Utf8Bytes> {
    let now = clock::now_iso();
    let mut frames = Vec::new();
    let mut list = String::new();
    let mut count = 0;
    let finish = |list: &mut String, count: &mut usize| {
        let body =
            format!(r#"{{"type":"new_events","events":[{list}],"count":{count},"timestamp":"{now}"}}"#);
        list.clear();
        *count = 0;
        Utf8Bytes::from(body)
    };
    for row in rows {
        if count == ROWS || (count > 0 && list.len() + row.len() > BYTES) {
            frames.push(finish(&mut list, &mut count));
        }
        if count > 0 {
            list.push(',');
        }
        list.push_str(row);
        count += 1;
    }
    if count > 0 {
        frames.push(finish(&mut list, &mut count));
    }
    frames
}

/// A row as a frame of its own, for the kinds that have one.
pub(crate) fn notification(row: &EventRow) -> Option<Utf8Bytes> {
    let data: Value =
        row.event_data.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let data = match row.event_type.as_str() {
        "button_click" => json!({"button_id": row.button_id, "event_data": row.event_data}),
        "content_delivery" => json!({
            "content_id": data["contentId"], "success": data["success"], "response_time": data["responseTime"],
        }),
        "text_message" => json!({"message": data["text"], "direction": data["direction"]}),
        _ => return None,
    };
    let mut frame = json!({"type": row.event_type, "data": data});
    frame["data"]["advisor_phone"] = row.advisor_phone.as_deref().into();
    frame["data"]["timestamp"] = row.timestamp.as_deref().into();
    Some(self::frame(frame))
}

pub(crate) fn pong() -> Utf8Bytes {
    frame(json!({"type": "pong"}))
}

pub(crate) fn subscription_confirmed(subscription: &Subscription) -> Utf8Bytes {
    let mut body = json!({"type": "subscription_confirmed", "channels": subscription.names});
    if !subscription.unknown.is_empty() {
        body["unknown_channels"] = json!(subscription.unknown);
    }
    frame(body)
}

pub(crate) fn error(word: &str, message: &str) -> Utf8Bytes {
    frame(json!({"type": "error", "error": word, "message": message}))
}

pub(crate) fn too_old(last_event_id: i64) -> Utf8Bytes {
    frame(json!({
        "type": "error",
        "error": "too_old",
        "message": "more has happened since than can be sent; what comes now is live",
        "last_event_id": last_event_id,
    }))
}

pub(crate) fn server_shutdown() -> Utf8Bytes {
    frame(json!({"type": "server_shutdown", "message": "Server is shutting down"}))
}

fn frame(mut body: Value) -> Utf8Bytes {
    body["timestamp"] = clock::now_iso().into();
    body.to_string().into()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{BYTES, new_events};

    #[test]
    fn many_rows_are_split_by_number_and_by_size() {
        let counts = |rows: &[String]| {
            new_events(rows.iter().map(String::as_str))
                .iter()
                .map(|frame| {
                    serde_json::from_str::<Value>(frame).expect("JSON")["count"].as_u64().expect("a count")
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(counts(&vec!["1".to_owned(); 250]), [100, 100, 50]);
        let large = format!("\"{}\"", "x".repeat(BYTES));
        assert_eq!(counts(&[large.clone(), "1".to_owned(), large]), [1, 1, 1]);
        assert!(new_events([]).is_empty());
    }
}
