//! A read-only connection that stays with the path, not with the file it first found there.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::connection::{BUSY_TIMEOUT, open_reader};
use crate::error::Doing;
use crate::file::FileId;
use crate::{Error, Trouble, migrate, suspect};

/// How long a reader waits for a lock to bring a file up to date; it can read an old file as well.
const MIGRATION_PATIENCE: Duration = Duration::from_millis(200);
const MIGRATION_RETRY: Duration = Duration::from_secs(10);

/// Steps of SQLite's machine between two looks at the clock; some tens of microseconds.
const STEPS: i32 = 5_000;

/// Reads the events database; opens it when it is first asked, and again when it was replaced.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    open: Option<(Connection, FileId)>,
    /// The file that was open last, also when it is not open now.
    last: Option<FileId>,
    migration: Migration,
}

/// What a reader has before it, compared with the time before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Freshness {
    /// The same file over the same connection.
    Same,
    /// The same file over a new connection.
    Reopened,
    /// Another file, or the first.
    Replaced,
}

#[derive(Debug)]
enum Migration {
    /// Not tried yet. This first time a missing file is made; later only its writer may make one.
    Untried,
    Failed(Instant, Error),
    Done,
    /// The file is looked at, not served.
    Never,
}

impl Reader {
    /// A reader of the file at `path`. Nothing is opened yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: None, last: None, migration: Migration::Untried }
    }

    /// A reader for someone who only looks: it makes no file and brings none up to date.
    #[must_use]
    pub fn that_only_looks(path: PathBuf) -> Self {
        Self { migration: Migration::Never, ..Self::new(path) }
    }

    /// Why the file could not be brought up to date; it is read as it is.
    #[must_use]
    pub fn not_up_to_date(&self) -> Option<&Error> {
        match &self.migration {
            Migration::Failed(_, error) => Some(error),
            _ => None,
        }
    }

    /// Asks `question` of the file that is at the path now.
    ///
    /// # Errors
    /// When the file cannot be opened, or the question fails.
    pub fn ask<T>(&mut self, question: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let answer = match self.connection() {
            Ok(connection) => question(connection),
            Err(error) => Err(error),
        };
        match answer.as_ref().map_err(Error::trouble) {
            Err(Trouble::Corrupt) => self.tell_of_damage(),
            Err(Trouble::Unavailable) => self.open = None,
            Ok(_) | Err(Trouble::Locked | Trouble::TooSlow) => {}
        }
        answer
    }

    /// The same, but stops the question after `limit`.
    ///
    /// # Errors
    /// Also when it took longer: [`Trouble::TooSlow`].
    pub fn ask_within<T>(
        &mut self,
        limit: Duration,
        question: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        const DOING: &str = "setting a time limit";
        let deadline = Instant::now() + limit;
        self.ask(|connection| {
            connection.progress_handler(STEPS, Some(move || Instant::now() >= deadline)).doing(DOING)?;
            let answer = question(connection);
            connection.progress_handler(0, None::<fn() -> bool>).doing(DOING)?;
            answer
        })
    }

    /// Opens the file if need be, and tells whether it is the one that was there before.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn refresh(&mut self) -> Result<Freshness, Error> {
        let unchanged = self.open.as_ref().is_some_and(|(_, file)| file.is_still_at(&self.path));
        if !unchanged {
            self.open = None;
        }
        self.bring_up_to_date();
        if unchanged {
            return Ok(Freshness::Same);
        }
        let file = FileId::of(&self.path)?;
        self.open = Some((open_reader(&self.path, BUSY_TIMEOUT)?, file));
        let before = self.last.replace(file);
        Ok(if before == Some(file) { Freshness::Reopened } else { Freshness::Replaced })
    }

    fn connection(&mut self) -> Result<&Connection, Error> {
        let _ = self.refresh()?;
        let gone = || Error::File(self.path.clone(), io::ErrorKind::NotFound.into());
        self.open.as_ref().map(|(connection, _)| connection).ok_or_else(gone)
    }

    /// The writer looks, unless this was about a file that is gone.
    fn tell_of_damage(&mut self) {
        if self.open.take().is_none_or(|(_, file)| file.is_still_at(&self.path)) {
            suspect::mark(&self.path);
        }
    }

    /// Failing is no reason not to read: an old file answers the same questions, only slower.
    fn bring_up_to_date(&mut self) {
        let due = match &self.migration {
            Migration::Untried => true,
            Migration::Failed(last, _) => last.elapsed() >= MIGRATION_RETRY && self.path.exists(),
            Migration::Done => self.open.is_none() && self.path.exists(),
            Migration::Never => false,
        };
        if due {
            self.migration = match migrate(&self.path, MIGRATION_PATIENCE) {
                Ok(()) => Migration::Done,
                Err(error) => Migration::Failed(Instant::now(), error),
            };
        }
    }
}
