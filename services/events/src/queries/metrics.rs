//! Clicks, deliveries and their times.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};
use serde::Deserialize;

use super::{days_ago, each, one};
use crate::Error;
use crate::row::bytes;

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
/// More different buttons than this are no dashboard's any more.
const MAX_BUTTONS: usize = 1_000;

/// The metrics over a window of `days`.
///
/// # Errors
/// When the database cannot be read.
pub fn metrics(connection: &Connection, days: u32) -> Result<Metrics, Error> {
    let window = days_ago(days);
    let mut metrics = totals(connection)?;
    metrics.response_seconds = response_seconds(connection, &days_ago(30))?;
    count_clicks(connection, &window, &mut metrics)?;
    metrics.messages_today = messages_today(connection)?;
    metrics.busiest_hour_seconds = busiest_hour_seconds(connection, &window)?;
    Ok(metrics)
}

fn count_clicks(connection: &Connection, window: &str, metrics: &mut Metrics) -> Result<(), Error> {
    const SQL: &str = "SELECT timestamp, button_id FROM webhook_events
        WHERE event_type = 'button_click' AND timestamp >= datetime('now', ?1)";
    each(connection, DOING, SQL, [window], |row| {
        let button = match bytes(row, 1)? {
            b"" => "unknown".into(),
            id => String::from_utf8_lossy(id),
        };
        let day = String::from_utf8_lossy(bytes(row, 0)?.get(..10).unwrap_or_default());
        add(&mut metrics.clicks_by_day, &day, usize::MAX);
        add(&mut metrics.clicks_by_button, &button, MAX_BUTTONS);
        Ok(())
    })
}

fn add(counts: &mut BTreeMap<String, i64>, name: &str, limit: usize) {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
    } else if counts.len() < limit {
        counts.insert(name.to_owned(), 1);
    }
}

/// Mean time of a delivery since the beginning of a UTC day, in seconds.
pub(super) fn response_seconds(connection: &Connection, first_day: &str) -> Result<Option<f64>, Error> {
    const SQL: &str = "SELECT event_data FROM webhook_events
        WHERE event_type = 'content_delivery' AND timestamp >= date('now', ?1)";
    let mut mean = Mean::default();
    each(connection, DOING, SQL, [first_day], |row| mean.take(row))?;
    Ok(mean.seconds())
}

/// A mean over delivery times; rows that hold none do not count.
#[derive(Default)]
struct Mean {
    milliseconds: f64,
    count: u32,
}

/// The one member of a delivery's data that matters here; parsing it like this takes half of what
/// SQLite's own JSON functions take.
#[derive(Deserialize)]
struct Delivery {
    #[serde(rename = "responseTime")]
    milliseconds: Option<f64>,
}

impl Mean {
    fn take(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        if let Ok(Delivery { milliseconds: Some(time) }) = serde_json::from_slice(bytes(row, 0)?) {
            self.milliseconds += time;
            self.count += 1;
        }
        Ok(())
    }

    fn seconds(&self) -> Option<f64> {
        (self.count > 0).then(|| self.milliseconds / f64::from(self.count) / 1000.0)
    }
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
    let Some(hour) = busiest_hour(connection, window)? else {
        return Ok(None);
    };
    const SQL: &str = "SELECT event_data FROM webhook_events
        WHERE event_type = 'content_delivery' AND timestamp >= datetime('now', ?1) AND substr(timestamp, 12, 2) = ?2";
    let mut mean = Mean::default();
    each(connection, DOING, SQL, (window, format!("{hour:02}")), |row| mean.take(row))?;
    Ok(mean.seconds())
}

/// The hour of the day with the most events, the earlier of two equal ones.
fn busiest_hour(connection: &Connection, window: &str) -> Result<Option<usize>, Error> {
    const SQL: &str = "SELECT timestamp FROM webhook_events WHERE timestamp >= datetime('now', ?1)";
    let mut counts = [0_u64; 24];
    each(connection, DOING, SQL, [window], |row| {
        if let Some(hour) = hour(bytes(row, 0)?)
            && let Some(count) = counts.get_mut(hour)
        {
            *count += 1;
        }
        Ok(())
    })?;
    let busiest = (0..counts.len()).rev().max_by_key(|hour| counts[*hour]);
    Ok(busiest.filter(|hour| counts[*hour] > 0))
}

/// The hour in `2026-01-02 03:04:05`.
fn hour(timestamp: &[u8]) -> Option<usize> {
    str::from_utf8(timestamp.get(11..13)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::hour;

    #[test]
    fn the_hour_stands_in_its_place() {
        assert_eq!(hour(b"2026-01-02 03:04:05"), Some(3));
        assert_eq!(hour(b"2026-01-02"), None);
        assert_eq!(hour(b"2026-01-02 x3:04"), None);
    }
}
