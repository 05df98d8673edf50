//! The writer's connection, and which files it belongs to.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::connection::open_writer;
use crate::create::Wal;
use crate::error::{Doing, Error};
use crate::file::{FileId, beside};
use crate::ids::Ids;
use crate::lock::Lock;
use crate::schema;

/// Shorter than for others: whoever writes must see the end coming.
const BUSY: Duration = Duration::from_millis(500);

/// What is known of the file that was open last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Left {
    /// Its -wal: it stays beside the path when the file itself is taken away.
    pub(super) wal: Option<Wal>,
    /// The highest ids it gave.
    pub(super) ids: Ids,
}

pub(super) struct Open {
    pub(super) connection: Connection,
    file: FileId,
    left: Left,
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
        let wal = FileId::of(&beside(database, "-wal")).ok().map(|wal| Wal { database: file, file: wal });
        let mut open = Self { connection, file, left: Left { wal, ids: known } };
        open.remember(counted.max(known), lock);
        Ok(open)
    }

    /// Does the path still name this file?
    pub(super) fn is_still_at(&self, database: &Path) -> bool {
        self.file.is_still_at(database)
    }

    /// Rows were written: keeps what the database counted.
    pub(super) fn remember(&mut self, ids: Ids, lock: &Lock) {
        if ids != self.left.ids {
            ids.remember(lock);
            self.left.ids = ids;
        }
    }

    /// The same after a batch: what went into a file that was deleted meanwhile is nowhere.
    pub(super) fn is_really_at(&self, database: &Path) -> Result<(), Error> {
        if self.is_still_at(database) {
            return Ok(());
        }
        let gone = std::io::Error::other("it was taken away while it was written");
        Err(Error::File(database.to_owned(), gone))
    }

    /// What is to be known of it when it is closed.
    pub(super) fn left(&self) -> Left {
        self.left
    }

    /// It is damaged: when it is closed, SQLite must not bring its -wal into it.
    pub(super) fn close_unchanged(&self) -> Result<(), Error> {
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map(|_| ())
            .doing("closing the damaged events database")
    }
}
