//! The new database, into which rows come back beside those that the writer brings.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::table::named;
use crate::connection::{BUSY_TIMEOUT, open_writer};
use crate::error::Error;
use crate::file::FileId;
use crate::ids::Ids;
use crate::lock::Lock;

/// How long to wait while someone else replaces the file.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Target {
    database: PathBuf,
    connection: Connection,
    file: FileId,
}

impl Target {
    pub(super) fn open(database: &Path) -> Result<Self, Error> {
        crate::migrate(database, PATIENCE)?;
        let file = FileId::of(database)?;
        Ok(Self { database: database.to_owned(), connection: open_writer(database, BUSY_TIMEOUT)?, file })
    }

    /// One short transaction.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let _lock = wait_for_lock(&self.database)?;
        if !self.file.is_still_at(&self.database) {
            let replaced = std::io::Error::other("it was replaced meanwhile");
            return Err(Error::File(self.database.clone(), replaced));
        }
        let transaction = named(self.connection.transaction_with_behavior(TransactionBehavior::Immediate))?;
        let result = named(work(&transaction))?;
        named(transaction.commit())?;
        Ok(result)
    }

    /// How many rows there are with these ids.
    pub(super) fn count(&self, table: &str, ids: &Range<i64>) -> Result<u64, Error> {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE id >= ?1 AND id < ?2");
        let count: i64 = named(self.connection.query_row(&sql, [ids.start, ids.end], |row| row.get(0)))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Measures the indexes, now that there is something in them. Returns the time of the newest row of before.
    pub(super) fn finish(&mut self, before: Ids) -> Result<Option<String>, Error> {
        self.write(|transaction| {
            transaction.execute_batch("ANALYZE")?;
            transaction
                .query_row(
                    "SELECT timestamp FROM webhook_events WHERE id <= ?1 ORDER BY id DESC LIMIT 1",
                    [before.get("webhook_events")],
                    |row| row.get::<_, Option<String>>(0),
                )
                .optional()
                .map(Option::flatten)
        })
    }
}

fn wait_for_lock(database: &Path) -> Result<Lock, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Lock::shared(database) {
            Err(Error::Replacing(_)) if Instant::now() < deadline => std::thread::park_timeout(PAUSE),
            outcome => return outcome,
        }
    }
}
