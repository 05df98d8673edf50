//! The database, seen as a stream of new rows.
//!
//! The cursor is the highest id that was handed out. A file that was put in the place of another one
//! is never replayed: the cursor only ever moves down to where that file ends, which is the highest id it
//! ever gave. Old rows that come back into a new file after damage are below that.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use events::queries::{self, DashboardMetrics, Snapshot};
use events::{Error, EventRow, Freshness, Reader};
use service_common::log;

/// Rows handed out at a time; together with [`BYTES`] it leaves the clients time to take them.
const ROWS: u32 = 100;
const BYTES: usize = 256 * 1024;
const RECENT: u32 = 10;
/// What can be asked for from the past, in rows.
const BACKLOG: u32 = 1000;
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Feed {
    reader: Reader,
    /// None: the database was never open.
    cursor: Option<i64>,
    version: Option<i64>,
    generation: Option<String>,
    failed: Option<Instant>,
}

/// What one look brought.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) rows: Vec<EventRow>,
    /// Something was committed, rows or not.
    pub(crate) changed: bool,
}

impl Feed {
    pub(crate) fn new(database: PathBuf) -> Self {
        Self { reader: Reader::new(database), cursor: None, version: None, generation: None, failed: None }
    }

    /// The highest id handed out, 0 before there was any.
    pub(crate) fn cursor(&self) -> i64 {
        self.cursor.unwrap_or(0)
    }

    /// Did the last look leave something for the next?
    pub(crate) fn has_more(&self) -> bool {
        self.cursor.is_some() && self.version.is_none()
    }

    /// What is new. While the database is away, nothing is; it is looked for once a second.
    pub(crate) fn look(&mut self) -> News {
        self.attempt(Self::try_look).unwrap_or_default()
    }

    /// What a new client is shown. Its new rows are for those who are there already; the cursor is
    /// then at the very moment of the rest.
    pub(crate) fn snapshot(&mut self) -> Option<Snapshot> {
        self.attempt(|feed| {
            let cursor = feed.cursor();
            let snapshot = feed.reader.ask(|db| queries::snapshot(db, cursor, u32::MAX, RECENT))?;
            feed.advance(&snapshot.new);
            Ok(snapshot)
        })
    }

    /// The totals and the newest rows, now.
    pub(crate) fn numbers(&mut self, recent: u32) -> Option<(DashboardMetrics, Vec<EventRow>)> {
        self.attempt(|feed| {
            feed.reader.ask(|db| Ok((queries::dashboard_metrics(db)?, queries::recent(db, recent)?)))
        })
    }

    /// Rows after `since` that were handed out already. None: too many, or the database is away.
    pub(crate) fn backlog(&mut self, since: i64) -> Option<Vec<EventRow>> {
        let cursor = self.cursor();
        let mut rows =
            self.attempt(|feed| feed.reader.ask(|db| queries::rows_after(db, since, BACKLOG + 1)))?;
        rows.retain(|row| row.id <= cursor);
        (rows.len() <= BACKLOG as usize).then_some(rows)
    }

    fn try_look(&mut self) -> Result<News, Error> {
        let freshness = self.reader.refresh()?;
        if let (Freshness::Replaced, Some(error)) = (freshness, self.reader.not_up_to_date()) {
            log::error(format_args!("the events database is read as it is: {error}"));
        }
        let version = self.reader.ask(queries::data_version)?;
        if freshness == Freshness::Same && self.version == Some(version) {
            return Ok(News::default());
        }
        self.place_cursor(freshness)?;
        let cursor = self.cursor();
        let mut rows = self.reader.ask(|db| queries::rows_after(db, cursor, ROWS))?;
        let more = rows.len() == ROWS as usize || cut(&mut rows);
        self.advance(&rows);
        // While there may be more, the version is forgotten, so that the next look takes it.
        self.version = (!more).then_some(version);
        Ok(News { rows, changed: true })
    }

    fn place_cursor(&mut self, freshness: Freshness) -> Result<(), Error> {
        let generation = self.reader.ask(queries::generation)?;
        // A file of the original gets a name when it is brought up to date: that is no other content.
        let renamed = self.generation.is_some() && self.generation != generation;
        let last = self.reader.ask(queries::last_id_given)?;
        self.cursor = Some(match self.cursor {
            None => last,
            Some(cursor) if freshness == Freshness::Replaced || renamed => cursor.min(last),
            Some(cursor) => cursor,
        });
        self.generation = generation;
        Ok(())
    }

    fn advance(&mut self, rows: &[EventRow]) {
        if let Some(last) = rows.last() {
            self.cursor = Some(last.id);
        }
    }

    fn attempt<T>(&mut self, what: impl FnOnce(&mut Self) -> Result<T, Error>) -> Option<T> {
        if self.failed.is_some_and(|at| at.elapsed() < RETRY) {
            return None;
        }
        match what(self) {
            Ok(value) => {
                if self.failed.take().is_some() {
                    log::info(format_args!("the events database can be read again"));
                }
                Some(value)
            }
            Err(error) => {
                if self.failed.is_none() {
                    log::error(format_args!("no events are pushed: {error}; trying again every second"));
                }
                self.failed = Some(Instant::now());
                None
            }
        }
    }
}

/// Leaves the rows that fit in [`BYTES`], one at least; true: there were more.
fn cut(rows: &mut Vec<EventRow>) -> bool {
    let mut bytes = 0;
    let fitting = rows.iter().take_while(|row| {
        bytes += row.event_data.as_ref().map_or(0, String::len);
        bytes <= BYTES
    });
    let count = fitting.count().max(1);
    let more = count < rows.len();
    rows.truncate(count);
    more
}
