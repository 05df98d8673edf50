//! Changes the database as the webhook does: under the shared lock, and in the file that is at the path now.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::Job;
use crate::Error;
use crate::connection::open_writer;
use crate::file::FileId;
use crate::lock::Lock;
use crate::schema::migrate_with;

const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Editor<'a> {
    job: Job<'a>,
    open: Option<(Connection, FileId)>,
}

impl<'a> Editor<'a> {
    pub(super) fn new(job: Job<'a>) -> Self {
        Self { job, open: None }
    }

    /// Makes one change. Nobody replaces the file meanwhile; between two changes it may happen.
    ///
    /// # Errors
    /// When there is no file, or it cannot be changed.
    pub(super) fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let file = FileId::of(self.job.database)?;
        let _lock = lock_to_write(self.job)?;
        let (mut connection, file) = match self.open.take() {
            Some((connection, file)) if file.is_still_at(self.job.database) => (connection, file),
            _ => (open_writer(self.job.database, self.job.patience)?, file),
        };
        migrate_with(&mut connection)?;
        let outcome = change(&mut connection);
        self.open = Some((connection, file));
        outcome
    }
}

fn lock_to_write(job: Job<'_>) -> Result<Lock, Error> {
    let deadline = Instant::now() + job.patience;
    loop {
        match Lock::shared(job.database) {
            Err(Error::Replacing(_)) if Instant::now() < deadline => {
                if job.stop.wait(PAUSE) {
                    return Err(Error::Stopped);
                }
            }
            outcome => return outcome,
        }
    }
}
