//! Who is talking with us, and how it goes.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde::Serialize;

use super::{days_ago, each, many, one};
use crate::Error;
use crate::row::{bytes, number, text};

/// The numbers behind the conversations page.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversations {
    /// Different people in the last 24 hours.
    pub active: i64,
    /// Rows in the window.
    pub volume: i64,
    /// Mean time to the first answer in the window, in seconds.
    pub response_seconds: Option<f64>,
    /// Mean score in the window, of 5.
    pub satisfaction: Option<f64>,
    /// Successful deliveries and deliveries in the window.
    pub deliveries: (i64, i64),
    /// People of the last 24 hours, newest first.
    pub sessions: Vec<Session>,
    /// The newest texts and clicks.
    pub interactions: Vec<Interaction>,
    /// Per UTC day, newest first.
    pub trends: Vec<Trend>,
}

/// One person of the last 24 hours.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub advisor_phone: String,
    /// When last, in the time of the database.
    pub last_activity: Option<String>,
    /// How many rows.
    pub message_count: i64,
    /// Always `active`.
    pub status: &'static str,
}

/// One text or click.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Interaction {
    /// When, in the time of the database.
    pub timestamp: Option<String>,
    /// Who.
    pub advisor_phone: Option<String>,
    /// The kind of event.
    #[serde(rename = "type")]
    pub kind: String,
    /// `Button: ID` or `Text message`; never what a person wrote.
    pub content: String,
    /// `incoming`, `outgoing`, or unknown.
    pub direction: Option<String>,
}

/// One UTC day.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Trend {
    /// The day.
    pub date: String,
    /// Its rows.
    pub conversations: i64,
    /// Its mean time to the first answer, in seconds.
    pub avg_response_time: Option<f64>,
    /// Its mean score.
    pub satisfaction: Option<f64>,
}

const DOING: &str = "reading the conversations";
const MAX_INTERACTIONS: u32 = 20;

/// The conversations over a window of `days`, with at most `limit` people.
///
/// # Errors
/// When the database cannot be read.
pub fn conversations(connection: &Connection, days: u32, limit: u32) -> Result<Conversations, Error> {
    let window = days_ago(days);
    let active = one(
        connection,
        DOING,
        "SELECT COUNT(DISTINCT advisor_phone) FROM conversations WHERE timestamp >= datetime('now', '-1 day')",
        [],
        |row| row.get(0),
    )?;
    let (all, trends) = days_of(connection, &window)?;
    let deliveries = one(
        connection,
        DOING,
        "SELECT COALESCE(SUM(successful_deliveries), 0), COALESCE(SUM(content_deliveries), 0)
         FROM webhook_metrics WHERE date >= date('now', ?1)",
        [&window],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(Conversations {
        active,
        volume: all.rows,
        response_seconds: all.response.mean(),
        satisfaction: all.satisfaction.mean(),
        deliveries,
        sessions: sessions(connection, limit)?,
        interactions: interactions(connection, limit.min(MAX_INTERACTIONS))?,
        trends,
    })
}

fn sessions(connection: &Connection, limit: u32) -> Result<Vec<Session>, Error> {
    many(
        connection,
        DOING,
        "SELECT advisor_phone, MAX(timestamp) AS last, COUNT(*) FROM conversations
         WHERE timestamp >= datetime('now', '-1 day')
         GROUP BY advisor_phone ORDER BY last DESC, MAX(id) DESC LIMIT ?1",
        [limit],
        |row| {
            Ok(Session {
                advisor_phone: text(row, 0)?.unwrap_or_default(),
                last_activity: text(row, 1)?,
                message_count: row.get(2)?,
                status: "active",
            })
        },
    )
}

fn interactions(connection: &Connection, limit: u32) -> Result<Vec<Interaction>, Error> {
    many(
        connection,
        DOING,
        // The + keeps SQLite on the index over time, which gives the order.
        "SELECT timestamp, advisor_phone, event_type, COALESCE(NULLIF(button_id, ''), 'unknown'),
                CASE WHEN json_valid(event_data) THEN json_extract(event_data, '$.direction') END
         FROM webhook_events WHERE +event_type IN ('text_message', 'button_click')
         ORDER BY timestamp DESC, id DESC LIMIT ?1",
        [limit],
        |row| {
            let kind = text(row, 2)?.unwrap_or_default();
            let (content, direction) = match kind.as_str() {
                "button_click" => {
                    (format!("Button: {}", text(row, 3)?.unwrap_or_default()), Some("incoming".to_owned()))
                }
                _ => ("Text message".to_owned(), text(row, 4)?),
            };
            Ok(Interaction {
                timestamp: text(row, 0)?,
                advisor_phone: text(row, 1)?,
                kind,
                content,
                direction,
            })
        },
    )
}

/// What a day, or all of them, comes to.
#[derive(Default)]
struct Sums {
    rows: i64,
    response: Mean,
    satisfaction: Mean,
}

/// A mean over the values that are known.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

/// The whole window, and its days, newest first.
fn days_of(connection: &Connection, window: &str) -> Result<(Sums, Vec<Trend>), Error> {
    const SQL: &str = "SELECT timestamp, ai_response_time, satisfaction_score FROM conversations
        WHERE timestamp >= datetime('now', ?1)";
    let mut all = Sums::default();
    let mut days: BTreeMap<String, Sums> = BTreeMap::new();
    each(connection, DOING, SQL, [window], |row| {
        let day = String::from_utf8_lossy(bytes(row, 0)?.get(..10).unwrap_or_default());
        let (response, satisfaction) = (number(row, 1)?, number(row, 2)?);
        if !days.contains_key(&*day) {
            days.insert(day.clone().into_owned(), Sums::default());
        }
        for sums in days.get_mut(&*day).into_iter().chain([&mut all]) {
            sums.rows += 1;
            sums.response.add(response);
            sums.satisfaction.add(satisfaction);
        }
        Ok(())
    })?;
    let trend = |(date, sums): (String, Sums)| Trend {
        date,
        conversations: sums.rows,
        avg_response_time: sums.response.mean(),
        satisfaction: sums.satisfaction.mean(),
    };
    Ok((all, days.into_iter().rev().map(trend).collect()))
}
