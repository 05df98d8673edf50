//! Everything about the file that can be told without changing it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::Serialize;

use super::disk::wal_length;
use super::examine::{self, Content, missing_column};
use crate::Error;
use crate::connection::{BUSY_TIMEOUT, open_reader};
use crate::error::Doing;
use crate::queries::{DashboardMetrics, dashboard_metrics, generation};

/// Days over which growth is measured.
const WINDOW: i64 = 30;

/// What there is to tell.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Facts {
    /// Where it is.
    pub database: PathBuf,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of its -wal.
    pub wal_bytes: u64,
    /// The user it belongs to, by name if there is one.
    pub owner: String,
    /// Its mode, as `0640`.
    pub mode: String,
    /// Rows, and of which time.
    #[serde(flatten)]
    pub content: Content,
    /// Events of the UTC day.
    pub events_today: i64,
    /// Mean of the last 30 days, or of all days if there are fewer.
    pub events_per_day: Option<f64>,
    /// What these take, at the size that an event has on average.
    pub bytes_per_day: Option<f64>,
    /// `wal` as soon as a service has opened the file.
    pub journal_mode: String,
    /// The name of the file's content; none in a file of the original system.
    pub generation: Option<String>,
    /// The six totals of 30 days, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<DashboardMetrics>,
}

/// Looks at the database; at the totals too, `with_metrics`.
///
/// # Errors
/// When it is not there, or cannot be read.
pub fn facts(database: &Path, with_metrics: bool) -> Result<Facts, Error> {
    const DOING: &str = "reading the events database";
    let about = fs::metadata(database).map_err(|error| Error::File(database.to_owned(), error))?;
    let connection = open_reader(database, BUSY_TIMEOUT)?;
    let moment = connection.unchecked_transaction().doing(DOING)?;
    if let Some(column) = missing_column(&moment)? {
        return Err(Error::NotWhole(database.to_owned(), format!("it has no column {column}")));
    }
    let content = examine::content(&moment)?;
    let bytes = about.len() + wal_length(database);
    let events_per_day = events_per_day(&moment)?;
    let bytes_of_an_event = (content.events() > 0).then(|| bytes as f64 / content.events() as f64);
    Ok(Facts {
        database: database.to_owned(),
        bytes: about.len(),
        wal_bytes: wal_length(database),
        owner: owner_name(about.uid()),
        mode: show_mode(about.permissions().mode()),
        events_today: events_today(&moment)?,
        events_per_day,
        bytes_per_day: events_per_day.zip(bytes_of_an_event).map(|(events, bytes)| events * bytes),
        journal_mode: moment.query_row("PRAGMA journal_mode", [], |row| row.get(0)).doing(DOING)?,
        generation: generation(&moment)?,
        metrics: with_metrics.then(|| dashboard_metrics(&moment)).transpose()?,
        content,
    })
}

/// Events of the UTC day.
pub(super) fn events_today(connection: &Connection) -> Result<i64, Error> {
    const SQL: &str = "SELECT COUNT(*) FROM webhook_events WHERE timestamp >= date('now')";
    connection.query_row(SQL, [], |row| row.get(0)).doing("counting the events of today")
}

fn events_per_day(connection: &Connection) -> Result<Option<f64>, Error> {
    const SQL: &str = "SELECT COUNT(*), julianday('now') - julianday(MIN(timestamp)) FROM webhook_events
        WHERE timestamp >= datetime('now', ?1)";
    let (events, days): (i64, Option<f64>) = connection
        .query_row(SQL, [format!("-{WINDOW} days")], |row| Ok((row.get(0)?, row.get(1)?)))
        .doing("counting the events of the last 30 days")?;
    // Within its first day a day's worth is what has come so far.
    Ok(days.map(|days| events as f64 / days.max(1.0)))
}

/// The login name of a user, or the number. From /etc/passwd directly: the static binary has no NSS.
pub(super) fn owner_name(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

/// As `0640`.
pub(super) fn show_mode(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}
