//! Clicks, deliveries and their times.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use super::{days_ago, many, one};
use crate::Error;
use crate::error::Doing;
use crate::row::text;

/// The numbers behind the metrics page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Sums of the daily counters of the last 30 days.
    pub clicks: i64,
    /// Deliveries of the last 30 days.
    pub deliveries: i64,
    /// Those that succeeded.
    pub successful: i64,
    /// Those that failed.
    pub failed: i64,
    /// Mean time of a delivery in the last 30 days, in seconds.
    pub response_seconds: Option<f64>,
    /// Clicks per button in the window; without an id they are `unknown`.
    pub clicks_by_button: BTreeMap<String, i64>,
    /// Clicks per UTC day in the window.
    pub clicks_by_day: BTreeMap<String, i64>,
    /// Texts, clicks and other messages that people sent today.
    pub messages_today: i64,
    /// Mean time of a delivery in the hour of the day with the most events, in seconds.
    pub busiest_hour_seconds: Option<f64>,
}

const DOING: &str = "reading the metrics";
/// Days times buttons; more than this is not a dashboard any more.
const MAX_GROUPS: i64 = 20_000;

/// The delivery time of an event in seconds, NULL for old rows that hold none.
const SECONDS: &str =
    "CASE WHEN json_valid(event_data) AND json_type(event_data, '$.responseTime') IN ('integer', 'real')
     THEN json_extract(event_data, '$.responseTime') / 1000.0 END";

/// The metrics over a window of `days`.
///
/// # Errors
/// When the database cannot be read.
pub fn metrics(connection: &Connection, days: u32) -> Result<Metrics, Error> {
    let window = days_ago(days);
    let mut metrics = totals(connection)?;
    metrics.response_seconds = response_seconds(connection)?;
    let groups = many(
        connection,
        DOING,
        "SELECT substr(timestamp, 1, 10) AS day, COALESCE(NULLIF(button_id, ''), 'unknown') AS button, COUNT(*)
         FROM webhook_events WHERE event_type = 'button_click' AND timestamp >= datetime('now', ?1)
         GROUP BY day, button LIMIT ?2",
        (&window, MAX_GROUPS),
        |row| Ok((text(row, 0)?.unwrap_or_default(), text(row, 1)?.unwrap_or_default(), row.get::<_, i64>(2)?)),
    )?;
    for (day, button, count) in groups {
        *metrics.clicks_by_day.entry(day).or_default() += count;
        *metrics.clicks_by_button.entry(button).or_default() += count;
    }
    metrics.messages_today = messages_today(connection)?;
    metrics.busiest_hour_seconds = busiest_hour_seconds(connection, &window)?;
    Ok(metrics)
}

/// Mean time of a delivery in the last 30 days, in seconds.
pub(super) fn response_seconds(connection: &Connection) -> Result<Option<f64>, Error> {
    one(
        connection,
        DOING,
        &format!(
            "SELECT AVG({SECONDS}) FROM webhook_events
             WHERE event_type = 'content_delivery' AND timestamp >= date('now', '-30 days')"
        ),
        [],
        |row| row.get(0),
    )
}

fn totals(connection: &Connection) -> Result<Metrics, Error> {
    one(
        connection,
        DOING,
        "SELECT COALESCE(SUM(button_clicks), 0), COALESCE(SUM(content_deliveries), 0),
                COALESCE(SUM(successful_deliveries), 0), COALESCE(SUM(failed_deliveries), 0)
         FROM webhook_metrics WHERE date >= date('now', '-30 days')",
        [],
        |row| {
            Ok(Metrics {
                clicks: row.get(0)?,
                deliveries: row.get(1)?,
                successful: row.get(2)?,
                failed: row.get(3)?,
                ..Metrics::default()
            })
        },
    )
}

fn messages_today(connection: &Connection) -> Result<i64, Error> {
    one(
        connection,
        DOING,
        "SELECT
           (SELECT COUNT(*) FROM webhook_events WHERE event_type = 'text_message' AND timestamp >= date('now')
              AND (CASE WHEN json_valid(event_data) THEN json_extract(event_data, '$.direction') END) IS NOT 'outgoing')
         + (SELECT COUNT(*) FROM webhook_events WHERE event_type = 'button_click' AND timestamp >= date('now')
              AND (CASE WHEN json_valid(event_data) THEN json_extract(event_data, '$.format') END) IS NOT 'text_trigger')
         + (SELECT COUNT(*) FROM webhook_events WHERE event_type = 'other_message' AND timestamp >= date('now'))",
        [],
        |row| row.get(0),
    )
}

fn busiest_hour_seconds(connection: &Connection, window: &str) -> Result<Option<f64>, Error> {
    let hour: Option<String> = connection
        .prepare_cached(
            "SELECT substr(timestamp, 12, 2) AS hour FROM webhook_events WHERE timestamp >= datetime('now', ?1)
             GROUP BY hour ORDER BY COUNT(*) DESC, hour LIMIT 1",
        )
        .and_then(|mut statement| statement.query_row([window], |row| text(row, 0)).optional())
        .doing(DOING)?
        .flatten();
    let Some(hour) = hour else { return Ok(None) };
    one(
        connection,
        DOING,
        &format!(
            "SELECT AVG({SECONDS}) FROM webhook_events
             WHERE event_type = 'content_delivery' AND timestamp >= datetime('now', ?1) AND substr(timestamp, 12, 2) = ?2"
        ),
        (window, hour),
        |row| row.get(0),
    )
}
