//! The daily counters: what was counted before the damage and what was counted since add up, once.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params_from_iter};

use super::table::{Table, each_slice, integer};
use super::{Job, TableReport, Todo};
use crate::error::Error;
use crate::ids::Ids;

const METRICS: Table = Table {
    name: "webhook_metrics",
    columns: &[
        "id",
        "date",
        "button_clicks",
        "text_messages",
        "content_deliveries",
        "successful_deliveries",
        "failed_deliveries",
        "response_time_avg",
        "created_at",
    ],
    texts: &[1],
};

/// An id that is taken meanwhile is given anew; a mean is one over all deliveries of both.
const ADD: &str = "
INSERT INTO webhook_metrics (id, date, button_clicks, text_messages, content_deliveries, successful_deliveries,
    failed_deliveries, response_time_avg, created_at)
VALUES (CASE WHEN EXISTS (SELECT 1 FROM webhook_metrics WHERE id = ?1) THEN NULL ELSE ?1 END,
    ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
";

/// Days whose row is destroyed, counted from the rows that came back.
const COUNT: &str = "
INSERT INTO webhook_metrics (date, button_clicks, text_messages, content_deliveries, successful_deliveries,
    failed_deliveries, response_time_avg)
SELECT date(timestamp), SUM(event_type = 'button_click'), SUM(event_type = 'text_message'),
    SUM(event_type = 'content_delivery'), SUM(event_type = 'content_delivery' AND success),
    SUM(event_type = 'content_delivery' AND NOT success), COALESCE(AVG(milliseconds) / 1000, 0)
FROM (
    SELECT event_type, timestamp,
        COALESCE(CASE WHEN json_valid(event_data) THEN json_extract(event_data, '$.success') END, 0) AS success,
        CASE WHEN event_type = 'content_delivery' AND json_valid(event_data)
            THEN json_extract(event_data, '$.responseTime') END AS milliseconds
    FROM webhook_events WHERE id <= ?1 AND date(timestamp) NOT IN (SELECT value FROM json_each(?2))
)
WHERE true GROUP BY 1
";

const TOGETHER: &str = "
ON CONFLICT(date) DO UPDATE SET
    button_clicks = COALESCE(button_clicks, 0) + COALESCE(excluded.button_clicks, 0),
    text_messages = COALESCE(text_messages, 0) + COALESCE(excluded.text_messages, 0),
    successful_deliveries = COALESCE(successful_deliveries, 0) + COALESCE(excluded.successful_deliveries, 0),
    failed_deliveries = COALESCE(failed_deliveries, 0) + COALESCE(excluded.failed_deliveries, 0),
    response_time_avg = COALESCE((COALESCE(response_time_avg, 0) * COALESCE(content_deliveries, 0)
        + COALESCE(excluded.response_time_avg, 0) * COALESCE(excluded.content_deliveries, 0))
        / NULLIF(COALESCE(content_deliveries, 0) + COALESCE(excluded.content_deliveries, 0), 0), 0),
    content_deliveries = COALESCE(content_deliveries, 0) + COALESCE(excluded.content_deliveries, 0)
";

/// Adds the counters of the damaged file to those of the new one, in one transaction with a note that it was done.
pub(super) fn merge(
    source: Option<&Connection>,
    before: Ids,
    todo: &Todo,
    job: &mut Job<'_>,
) -> Result<TableReport, Error> {
    let mut rows = Vec::new();
    let found = each_slice(&METRICS, source, before, job, |_, slice| {
        rows.extend_from_slice(slice);
        Ok(())
    })?;
    let lost =
        found.gaps.map(|gaps| gaps.iter().map(|gap| u64::try_from(gap.end - gap.start).unwrap_or(0)).sum());
    let report = TableReport { name: METRICS.name, kept: found.kept, lost };
    let is_whole = lost == Some(0);
    let notes = source.and_then(|source| notes_of(source).ok()).unwrap_or_default();
    let note = note(todo.damaged());
    job.target.write(|transaction| {
        if is_noted(transaction, &note)? {
            return Ok(());
        }
        for row in &rows {
            transaction
                .prepare_cached(&format!("{ADD}{TOGETHER}"))?
                .execute(params_from_iter(row.iter().enumerate().map(normal)))?;
        }
        if !is_whole {
            let days: Vec<&Value> = rows.iter().map(|row| &row[1]).collect();
            let days = serde_json::Value::from_iter(days.into_iter().map(|day| match day {
                Value::Text(day) => serde_json::Value::from(day.as_str()),
                _ => serde_json::Value::Null,
            }));
            let until = before.get("webhook_events");
            transaction.execute(&format!("{COUNT}{TOGETHER}"), (until, days.to_string()))?;
        }
        for note in notes.iter().chain([&note]) {
            transaction
                .execute("INSERT OR IGNORE INTO dogwatch_meta (key, value) VALUES (?1, 'done')", [note])?;
        }
        Ok(())
    })?;
    Ok(report)
}

/// Counters that are none are 0; the day, the mean and the time are as they are.
fn normal((column, value): (usize, &Value)) -> Value {
    if (2..7).contains(&column) { Value::Integer(integer(value)) } else { value.clone() }
}

/// What notes in the database that the counters of this file are in it.
fn note(damaged: &Path) -> String {
    format!("salvaged:{}", damaged.file_name().unwrap_or_default().to_string_lossy())
}

fn is_noted(transaction: &Transaction<'_>, note: &str) -> rusqlite::Result<bool> {
    let found = transaction.query_row("SELECT 1 FROM dogwatch_meta WHERE key = ?1", [note], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

/// The files whose counters are in those of the damaged one.
fn notes_of(source: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = source.prepare("SELECT key FROM dogwatch_meta WHERE key GLOB 'salvaged:*'")?;
    statement.query_map([], |row| row.get(0))?.collect()
}
