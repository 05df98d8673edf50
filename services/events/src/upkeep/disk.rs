//! Room on the disk.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::Error;
use crate::file::beside;

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
