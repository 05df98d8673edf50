//! What happened in the last day, and just now.

use rusqlite::Connection;
use serde::Serialize;

use super::{many, one};
use crate::Error;
use crate::row::text;

/// Counts of the last 24 hours and of the UTC day.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Realtime {
    /// Events of any kind.
    pub events_last_24h: i64,
    /// Clicks of the UTC day.
    pub button_clicks_today: i64,
    /// Texts of the UTC day.
    pub text_messages_today: i64,
    /// Deliveries of the UTC day, whatever became of them.
    pub content_deliveries_today: i64,
    /// The five newest events.
    pub recent_activity: Vec<Activity>,
}

/// One event, in short.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Activity {
    /// The kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, in the time of the database.
    pub timestamp: Option<String>,
    /// Who.
    pub advisor: Option<String>,
}

const DOING: &str = "reading the real-time numbers";

/// The numbers of now.
///
/// # Errors
/// When the database cannot be read.
pub fn realtime(connection: &Connection) -> Result<Realtime, Error> {
    let recent_activity = many(
        connection,
        DOING,
        "SELECT event_type, timestamp, advisor_phone FROM webhook_events ORDER BY timestamp DESC, id DESC LIMIT 5",
        [],
        |row| {
            Ok(Activity {
                kind: text(row, 0)?.unwrap_or_default(),
                timestamp: text(row, 1)?,
                advisor: text(row, 2)?,
            })
        },
    )?;
    one(
        connection,
        DOING,
        "SELECT (SELECT COUNT(*) FROM webhook_events WHERE timestamp >= datetime('now', '-1 day')),
                (SELECT COUNT(*) FROM webhook_events WHERE event_type = 'button_click' AND timestamp >= date('now')),
                (SELECT COUNT(*) FROM webhook_events WHERE event_type = 'text_message' AND timestamp >= date('now')),
                (SELECT COUNT(*) FROM webhook_events WHERE event_type = 'content_delivery' AND timestamp >= date('now'))",
        [],
        |row| {
            Ok(Realtime {
                events_last_24h: row.get(0)?,
                button_clicks_today: row.get(1)?,
                text_messages_today: row.get(2)?,
                content_deliveries_today: row.get(3)?,
                recent_activity,
            })
        },
    )
}
