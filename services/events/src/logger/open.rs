//! The writer's connection, and which files it belongs to.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::connection::open_writer;
use crate::error::{Doing, Error};
use crate::file::{FileId, beside};
use crate::ids::Ids;
use crate::lock::Lock;
use crate::schema;

/// Shorter than for others: whoever writes must see the end coming.
const BUSY: Duration = Duration::from_millis(500);

pub(super) struct Open {
    pub(super) connection: Connection,
    file: FileId,
    /// It stays beside the path when the file itself is taken away.
    wal: Option<FileId>,
    /// As they were told to the lock file last.
    ids: Ids,
}

impl Open {
    /// Opens the file at the path and brings it up to date.
    pub(super) fn new(database: &Path, lock: &Lock) -> Result<Self, Error> {
        let file = FileId::of(database)?;
        let mut connection = open_writer(database, BUSY)?;
        schema::migrate_with(&mut connection)?;
        let (known, counted) = (Ids::remembered(lock), Ids::of(&connection)?);
        if counted.max(known) != counted {
            known.raise(&connection)?;
        }
        let wal = FileId::of(&beside(database, "-wal")).ok();
        let mut open = Self { connection, file, wal, ids: known };
        open.remember(counted.max(known), lock);
        Ok(open)
    }

    /// Does the path still name this file?
    pub(super) fn is_still_at(&self, database: &Path) -> bool {
        self.file.is_still_at(database)
    }

    /// The highest ids known.
    pub(super) fn ids(&self) -> Ids {
        self.ids
    }

    /// Rows were written: keeps what the database counted.
    pub(super) fn remember(&mut self, ids: Ids, lock: &Lock) {
        if ids != self.ids {
            ids.remember(lock);
            self.ids = ids;
        }
    }

    /// Gives up a file that was replaced; tells what it left beside the path.
    pub(super) fn left(self) -> Option<FileId> {
        self.wal
    }

    /// Closes a damaged file as it is: SQLite must not bring its -wal into it.
    pub(super) fn close_unchanged(self) -> Result<(), Error> {
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map(|_| ())
            .doing("closing the damaged events database")
    }
}
