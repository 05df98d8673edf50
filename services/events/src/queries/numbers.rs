//! A day, a week, a month in five numbers.

use rusqlite::Connection;

use super::{days_ago, metrics, one};
use crate::Error;

/// Sums of whole UTC days. Unknown in a database in which nothing was ever counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// Clicks.
    pub clicks: Option<i64>,
    /// Texts.
    pub texts: Option<i64>,
    /// Deliveries.
    pub deliveries: Option<i64>,
    /// Those that succeeded.
    pub successful: Option<i64>,
    /// Those that failed.
    pub failed: Option<i64>,
    /// Mean time of a delivery, in seconds.
    pub response_seconds: Option<f64>,
}

/// The numbers of the last `days` UTC days; 1 is today alone.
///
/// # Errors
/// When the database cannot be read.
pub fn numbers(connection: &Connection, days: u32) -> Result<Numbers, Error> {
    let first = days_ago(days.saturating_sub(1));
    let response_seconds = metrics::response_seconds(connection, &first)?;
    one(
        connection,
        "reading the numbers",
        // A day on which nothing happened has no row: that is 0. No row at all is unknown.
        "WITH days AS (SELECT * FROM webhook_metrics WHERE date >= date('now', ?1)),
              floor AS (SELECT MIN(0) AS zero FROM webhook_metrics)
         SELECT COALESCE(SUM(button_clicks), zero), COALESCE(SUM(text_messages), zero),
                COALESCE(SUM(content_deliveries), zero), COALESCE(SUM(successful_deliveries), zero),
                COALESCE(SUM(failed_deliveries), zero)
         FROM floor LEFT JOIN days",
        [first],
        |row| {
            Ok(Numbers {
                clicks: row.get(0)?,
                texts: row.get(1)?,
                deliveries: row.get(2)?,
                successful: row.get(3)?,
                failed: row.get(4)?,
                response_seconds,
            })
        },
    )
}
