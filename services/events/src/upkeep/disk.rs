//! Room on the disk.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use rusqlite::ErrorCode;

use crate::Error;
use crate::file::{beside, folder_of};

/// A -shm and a page of a -wal.
const LEAST_FOR_SQLITE: u64 = 64 << 10;

/// Bytes of the disk of `folder` that its user may still fill.
///
/// # Errors
/// When the folder cannot be looked at.
pub fn free_bytes(folder: &Path) -> Result<u64, Error> {
    let disk = statvfs(folder).map_err(|error| {
        Error::Path("look at the free room of", folder.to_owned(), io::Error::from_raw_os_error(error as i32))
    })?;
    Ok(disk.blocks_available() * disk.fragment_size())
}

/// Is a failure of SQLite that the disk is full? It does not always say so: the -shm of a database that is opened on a
/// full disk ends in an I/O error.
#[must_use]
pub fn is_disk_full(database: &Path, error: &Error) -> bool {
    let may_hide_it = match error {
        Error::Sql(_, cause) => {
            matches!(cause.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen))
        }
        _ => false,
    };
    error.is_no_room()
        || may_hide_it && free_bytes(folder_of(database)).is_ok_and(|free| free < LEAST_FOR_SQLITE)
}

/// Makes sure of `needed` bytes in `folder`.
pub(super) fn need(folder: &Path, needed: u64) -> Result<(), Error> {
    let free = free_bytes(folder)?;
    if free < needed {
        return Err(Error::NoRoom { folder: folder.to_owned(), needed, free });
    }
    Ok(())
}

/// The length of a file; 0 if there is none.
pub(super) fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |about| about.len())
}

/// The length of the database's -wal.
pub(super) fn wal_length(database: &Path) -> u64 {
    length(&beside(database, "-wal"))
}
