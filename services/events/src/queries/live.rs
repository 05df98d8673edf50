//! What the push to the dashboards asks: is there anything new, and what is it?

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use super::{many, one};
use crate::error::Doing;
use crate::row::COLUMNS;
use crate::{Error, EventRow};

const DOING: &str = "looking for new events";

/// A number that changes whenever another connection commits. Costs a few microseconds.
///
/// # Errors
/// When the database cannot be read.
pub fn data_version(connection: &Connection) -> Result<i64, Error> {
    one(connection, DOING, "PRAGMA data_version", [], |row| row.get(0))
}

/// The name of the file's content: another one means that it is not a continuation of the old.
/// None in a file of the original system.
///
/// # Errors
/// When the database cannot be read.
pub fn generation(connection: &Connection) -> Result<Option<String>, Error> {
    let ours = one(
        connection,
        DOING,
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'dogwatch_meta'",
        [],
        |row| row.get::<_, i64>(0),
    )?;
    if ours == 0 {
        return Ok(None);
    }
    connection
        .prepare_cached("SELECT value FROM dogwatch_meta WHERE key = 'generation'")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)).optional())
        .doing(DOING)
}

/// The highest id there is, 0 in an empty table.
///
/// # Errors
/// When the database cannot be read.
pub fn last_event_id(connection: &Connection) -> Result<i64, Error> {
    one(connection, DOING, "SELECT COALESCE(MAX(id), 0) FROM webhook_events", [], |row| row.get(0))
}

/// The id after which the `count` newest rows begin.
///
/// # Errors
/// When the database cannot be read.
pub fn before_last(connection: &Connection, count: u32) -> Result<i64, Error> {
    if count == 0 {
        return last_event_id(connection);
    }
    const SQL: &str = "SELECT COALESCE(MIN(id), 1) - 1
        FROM (SELECT id FROM webhook_events ORDER BY id DESC LIMIT ?1)";
    one(connection, DOING, SQL, [count], |row| row.get(0))
}

/// The highest id that was ever given, also when the row is gone or not yet back: after damage old rows come back into
/// a new file, below this. Nothing above it is old.
///
/// # Errors
/// When the database cannot be read.
pub fn last_id_given(connection: &Connection) -> Result<i64, Error> {
    const SQL: &str = "SELECT MAX((SELECT COALESCE(MAX(id), 0) FROM webhook_events),
        COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'webhook_events'), 0))";
    one(connection, DOING, SQL, [], |row| row.get(0))
}

/// Up to `limit` rows with a higher id than `cursor`, in their order.
///
/// # Errors
/// When the database cannot be read.
pub fn rows_after(connection: &Connection, cursor: i64, limit: u32) -> Result<Vec<EventRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM webhook_events WHERE id > ?1 ORDER BY id LIMIT ?2");
    many(connection, DOING, &sql, (cursor, limit), EventRow::from_row)
}

/// Sums of the last 30 days; unknown while the table is empty.
#[derive(Clone, Debug, Default, Serialize, PartialEq)]
pub struct DashboardMetrics {
    /// Clicks.
    pub total_button_clicks: Option<i64>,
    /// Texts.
    pub total_text_messages: Option<i64>,
    /// Deliveries.
    pub total_content_deliveries: Option<i64>,
    /// Those that succeeded.
    pub successful_deliveries: Option<i64>,
    /// Those that failed.
    pub failed_deliveries: Option<i64>,
    /// Mean time of a delivery, in seconds.
    pub avg_response_time: Option<f64>,
}

/// The six totals.
///
/// # Errors
/// When the database cannot be read.
pub fn dashboard_metrics(connection: &Connection) -> Result<DashboardMetrics, Error> {
    let avg_response_time = super::metrics::response_seconds(connection, &super::days_ago(30))?;
    one(
        connection,
        DOING,
        "SELECT SUM(button_clicks), SUM(text_messages), SUM(content_deliveries),
                SUM(successful_deliveries), SUM(failed_deliveries)
         FROM webhook_metrics WHERE date >= date('now', '-30 days')",
        [],
        |row| {
            Ok(DashboardMetrics {
                total_button_clicks: row.get(0)?,
                total_text_messages: row.get(1)?,
                total_content_deliveries: row.get(2)?,
                successful_deliveries: row.get(3)?,
                failed_deliveries: row.get(4)?,
                avg_response_time,
            })
        },
    )
}

/// One moment of the database.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Rows with a higher id than the cursor, in their order; at most the limit.
    pub new: Vec<EventRow>,
    /// The newest rows, newest first.
    pub recent: Vec<EventRow>,
    /// The six totals.
    pub metrics: DashboardMetrics,
}

/// What a new watcher is shown, all of the same moment: what is new since `cursor`, and the newest
/// `recent` rows.
///
/// # Errors
/// When the database cannot be read.
pub fn snapshot(connection: &Connection, cursor: i64, limit: u32, recent: u32) -> Result<Snapshot, Error> {
    let moment = connection.unchecked_transaction().doing(DOING)?;
    let snapshot = Snapshot {
        new: rows_after(&moment, cursor, limit)?,
        recent: super::recent(&moment, recent)?,
        metrics: dashboard_metrics(&moment)?,
    };
    moment.finish().doing(DOING)?;
    Ok(snapshot)
}
