//! The newest events.

use rusqlite::Connection;

use super::{many, one};
use crate::row::COLUMNS;
use crate::{Error, EventRow};

const DOING: &str = "reading the newest events";

/// The newest `limit` events, newest first.
///
/// # Errors
/// When the database cannot be read.
pub fn recent(connection: &Connection, limit: u32) -> Result<Vec<EventRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM webhook_events ORDER BY timestamp DESC, id DESC LIMIT ?1");
    many(connection, DOING, &sql, [limit], EventRow::from_row)
}

/// How many events the last hour had.
///
/// # Errors
/// When the database cannot be read.
pub fn events_of_the_last_hour(connection: &Connection) -> Result<i64, Error> {
    one(
        connection,
        DOING,
        "SELECT COUNT(*) FROM webhook_events WHERE timestamp >= datetime('now', '-1 hour')",
        [],
        |row| row.get(0),
    )
}
