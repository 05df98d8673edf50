//! How much there is.

use rusqlite::Connection;

use super::one;
use crate::Error;
use crate::row::text;

/// How many events, and from when to when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// All of them.
    pub events: i64,
    /// Those of the last seven days.
    pub last_week: i64,
    /// The oldest time, in the time of the database.
    pub oldest: Option<String>,
    /// The newest time.
    pub newest: Option<String>,
}

/// The extent of the events.
///
/// # Errors
/// When the database cannot be read.
pub fn extent(connection: &Connection) -> Result<Extent, Error> {
    one(
        connection,
        "measuring the events",
        // Each a question of its own: together SQLite would not answer the last two from the index.
        "SELECT (SELECT COUNT(*) FROM webhook_events),
                (SELECT COUNT(*) FROM webhook_events WHERE timestamp >= datetime('now', '-7 days')),
                (SELECT MIN(timestamp) FROM webhook_events),
                (SELECT MAX(timestamp) FROM webhook_events)",
        [],
        |row| {
            Ok(Extent {
                events: row.get(0)?,
                last_week: row.get(1)?,
                oldest: text(row, 2)?,
                newest: text(row, 3)?,
            })
        },
    )
}
