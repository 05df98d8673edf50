//! Where a damaged file is read, so that reading changes nothing of it.
//!
//! SQLite writes to the -shm of whatever it reads, and may make one. So the database gets a second name in a folder of
//! its own (a hard link, or a copy where that is not possible; it is opened read-only either way), and stands there
//! beside a copy of its -wal, which holds the newest rows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::pages::Pages;
use crate::connection::open_reader;
use crate::error::{Doing, Error};
use crate::file::{beside, make_folder};

const NAME: &str = "damaged.db";

/// The folder; it goes when this goes.
#[derive(Debug)]
pub(super) struct Workbench {
    folder: PathBuf,
}

impl Workbench {
    pub(super) fn new(damaged: &Path) -> Result<Self, Error> {
        let folder = beside(damaged, ".reading");
        // What a killed process left.
        let _ = fs::remove_dir_all(&folder);
        make_folder(&folder)?;
        let bench = Self { folder };
        let name = bench.folder.join(NAME);
        fs::hard_link(damaged, &name)
            .or_else(|_| fs::copy(damaged, &name).map(|_| ()))
            .map_err(|error| Error::File(damaged.to_owned(), error))?;
        let wal = beside(damaged, "-wal");
        match fs::copy(&wal, beside(&name, "-wal")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::File(wal, error)),
            _ => Ok(bench),
        }
    }

    /// Opens the damaged file.
    pub(super) fn open(&self) -> Result<Connection, Error> {
        let connection = open_reader(&self.folder.join(NAME), Duration::from_secs(1))?;
        connection.execute_batch("PRAGMA cell_size_check=ON").doing("opening the damaged database")?;
        Ok(connection)
    }

    /// The pages of the damaged file.
    pub(super) fn pages(&self) -> Option<Pages> {
        Pages::open(&self.folder.join(NAME)).ok()
    }
}

impl Drop for Workbench {
    fn drop(&mut self) {
        // The next one removes what is left.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
