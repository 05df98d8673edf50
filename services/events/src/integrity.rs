//! Is the file whole?

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use crate::connection::open_reader;
use crate::error::{Doing, Error};

/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 5_000;
const DOING: &str = "checking the events database";

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It is something else: its first bytes are not those of a database.
    NotADatabase,
    /// It is a database with destroyed pages; in SQLite's words, where.
    Malformed(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADatabase => f.write_str("it is not a database"),
            Self::Malformed(detail) => write!(f, "it is malformed: {detail}"),
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Finding {
    Whole,
    Damaged(Damage),
    /// Nothing as far as it got in its time.
    Unfinished,
}

/// Looks at every page of the file, for `limit` at most or until it is to `stop`.
///
/// # Errors
/// When the file cannot be opened or is locked.
pub(crate) fn check(
    database: &Path,
    limit: Duration,
    stop: impl Fn() -> bool + Send + 'static,
) -> Result<Finding, Error> {
    let deadline = Instant::now() + limit;
    let found = open_reader(database, Duration::from_secs(1)).and_then(|connection| {
        connection
            .progress_handler(STEPS, Some(move || stop() || Instant::now() >= deadline))
            .doing(DOING)?;
        first_complaint(&connection)
    });
    match found {
        Ok(None) => Ok(Finding::Whole),
        Ok(Some(complaint)) => Ok(Finding::Damaged(Damage::Malformed(complaint))),
        Err(Error::Sql(what, error)) => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Ok(Finding::Damaged(Damage::NotADatabase)),
            Some(ErrorCode::DatabaseCorrupt) => Ok(Finding::Damaged(Damage::Malformed(error.to_string()))),
            Some(ErrorCode::OperationInterrupted) => Ok(Finding::Unfinished),
            _ => Err(Error::Sql(what, error)),
        },
        Err(error) => Err(error),
    }
}

fn first_complaint(connection: &Connection) -> Result<Option<String>, Error> {
    let mut statement = connection.prepare("PRAGMA quick_check(100)").doing(DOING)?;
    let mut rows = statement.query([]).doing(DOING)?;
    while let Some(row) = rows.next().doing(DOING)? {
        let words: String = row.get(0).doing(DOING)?;
        // Several lines at a time, under a heading.
        if let Some(complaint) = words.lines().find(|line| is_about_damage(line)) {
            return Ok(Some(complaint.to_owned()));
        }
    }
    Ok(None)
}

/// A value that a rule of the table does not allow was stored so: it is no damage.
fn is_about_damage(line: &str) -> bool {
    let is_other = line == "ok"
        || line.starts_with("***")
        || line.starts_with("NULL value in")
        || line.starts_with("CHECK constraint")
        || line.starts_with("TEXT value in")
        || line.starts_with("NUMERIC value in");
    !is_other
}
