//! How the database grows, and when the disk is full if it goes on like this.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;

use super::Job;
use super::disk::free_bytes;
use super::editor::Editor;
use super::facts::events_today;
use crate::Error;
use crate::connection::{BUSY_TIMEOUT, open_reader};
use crate::error::Doing;
use crate::file::folder_of;

/// Beside the original tables and never in them.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS dogwatch_growth (
    day TEXT PRIMARY KEY, bytes INTEGER NOT NULL, events INTEGER NOT NULL, today INTEGER NOT NULL) WITHOUT ROWID";
/// Three years of days.
const KEPT: i64 = 1_100;
/// Older growth tells nothing about tomorrow's.
const WINDOW: &str = "-90 days";

/// The database on one day.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Record {
    /// The UTC day.
    pub day: String,
    /// Bytes of all its pages.
    pub bytes: u64,
    /// All events.
    pub events: i64,
    /// Events of that day so far.
    pub today: i64,
}

/// The days that were recorded, and what follows from them.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Growth {
    /// The database.
    pub database: PathBuf,
    /// The recorded days, oldest first.
    pub history: Vec<Record>,
    /// Now, recorded or not.
    pub now: Record,
    /// Over the recorded days of the last 90; none until there are two.
    pub bytes_per_day: Option<f64>,
    /// Bytes that it may still grow: to the limit, or to the end of the disk.
    pub room_bytes: u64,
    /// Until there is no more room; none when that cannot be told, or it does not grow.
    pub days_left: Option<f64>,
}

/// Notes the size of today; a second time the same day replaces the first.
///
/// # Errors
/// When the database cannot be changed.
pub fn record_growth(job: Job<'_>) -> Result<(), Error> {
    const DOING: &str = "recording the growth";
    Editor::new(job).change(|connection| {
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate).doing(DOING)?;
        change.execute_batch(TABLE).doing(DOING)?;
        let now = now(&change)?;
        change
            .execute(
                "INSERT OR REPLACE INTO dogwatch_growth (day, bytes, events, today) VALUES (?1, ?2, ?3, ?4)",
                (&now.day, now.bytes, now.events, now.today),
            )
            .doing(DOING)?;
        change
            .execute(
                "DELETE FROM dogwatch_growth WHERE day NOT IN
                    (SELECT day FROM dogwatch_growth ORDER BY day DESC LIMIT ?1)",
                [KEPT],
            )
            .doing(DOING)?;
        change.commit().doing(DOING)
    })
}

/// The growth so far. `limit` is the size that the database may have; without one it is all of the disk.
///
/// # Errors
/// When the database cannot be read.
pub fn growth(database: &Path, limit: Option<u64>) -> Result<Growth, Error> {
    crate::file::FileId::of(database)?;
    let connection = open_reader(database, BUSY_TIMEOUT)?;
    let now = now(&connection)?;
    let free = free_bytes(folder_of(database))?;
    let room_bytes = limit.map_or(free, |limit| limit.saturating_sub(now.bytes).min(free));
    let bytes_per_day = bytes_per_day(&connection, &now)?;
    Ok(Growth {
        database: database.to_owned(),
        history: history(&connection)?,
        bytes_per_day,
        room_bytes,
        days_left: bytes_per_day.filter(|bytes| *bytes > 0.0).map(|bytes| room_bytes as f64 / bytes),
        now,
    })
}

fn now(connection: &Connection) -> Result<Record, Error> {
    // By its pages: the files are now and then longer by a -wal, which says nothing about growth.
    const SQL: &str = "SELECT date('now'), page_count * page_size, (SELECT COUNT(*) FROM webhook_events)
        FROM pragma_page_count(), pragma_page_size()";
    let today = events_today(connection)?;
    connection
        .query_row(SQL, [], |row| {
            Ok(Record { day: row.get(0)?, bytes: row.get(1)?, events: row.get(2)?, today })
        })
        .doing("measuring the database")
}

fn is_recorded(connection: &Connection) -> Result<bool, Error> {
    connection
        .prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'dogwatch_growth'")
        .and_then(|mut table| table.exists([]))
        .doing("looking for the recorded growth")
}

fn history(connection: &Connection) -> Result<Vec<Record>, Error> {
    const DOING: &str = "reading the recorded growth";
    if !is_recorded(connection)? {
        return Ok(Vec::new());
    }
    let mut statement = connection
        .prepare("SELECT day, bytes, events, today FROM dogwatch_growth ORDER BY day")
        .doing(DOING)?;
    let records = statement
        .query_map([], |row| {
            Ok(Record { day: row.get(0)?, bytes: row.get(1)?, events: row.get(2)?, today: row.get(3)? })
        })
        .doing(DOING)?;
    records.collect::<Result<_, _>>().doing(DOING)
}

/// From the oldest recorded day within the window to now.
fn bytes_per_day(connection: &Connection, now: &Record) -> Result<Option<f64>, Error> {
    if !is_recorded(connection)? {
        return Ok(None);
    }
    const SQL: &str = "SELECT (?1 - bytes) / (julianday('now') - julianday(day)) FROM dogwatch_growth
        WHERE day >= date('now', ?2) AND day < date('now') ORDER BY day LIMIT 1";
    let mut statement = connection.prepare(SQL).doing("reading the recorded growth")?;
    let mut rows = statement.query((now.bytes, WINDOW)).doing("reading the recorded growth")?;
    let row = rows.next().doing("reading the recorded growth")?;
    row.map(|row| row.get(0)).transpose().doing("reading the recorded growth")
}
