//! Who may put another file in the place of the database, and who may not while it is written.
//!
//! An `flock(2)` on `<database>.lock`: writers hold it shared for the length of a batch, whoever replaces the file
//! (quarantine, restore) holds it alone. A batch therefore never goes into a file that was moved away a moment before.
//! The kernel lets go of it when its holder ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Error;
use crate::file::{FILE_MODE, beside, folder_of, give_to_owner_of};

/// Between two attempts to get a lock that does not wait.
const PAUSE: Duration = Duration::from_millis(10);

/// Held until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// For the time of writing. At once or not at all.
    ///
    /// # Errors
    /// [`Error::Replacing`] while someone replaces the file.
    pub(crate) fn shared(database: &Path) -> Result<Self, Error> {
        let (path, file) = open(database)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Self { file }),
            Err(error) => Err(refused(path, error)),
        }
    }

    /// For replacing the file. Waits up to `patience` for those who write.
    ///
    /// # Errors
    /// [`Error::Replacing`] when someone else held it all the time.
    pub(crate) fn exclusive(database: &Path, patience: Duration) -> Result<Self, Error> {
        let deadline = Instant::now() + patience;
        let (path, file) = open(database)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::park_timeout(PAUSE)
                }
                Err(error) => return Err(refused(path, error)),
            }
        }
    }

    /// The locked file. It stays where it is whatever happens to the database, and keeps the
    /// [highest ids](crate::ids) meanwhile.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

fn open(database: &Path) -> Result<(PathBuf, File), Error> {
    let path = beside(database, ".lock");
    let is_new = !path.exists();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(|error| Error::File(path.clone(), error))?;
    if is_new {
        give_to_owner_of(folder_of(database), &path)?;
    }
    Ok((path, file))
}

fn refused(path: PathBuf, error: TryLockError) -> Error {
    match error {
        TryLockError::WouldBlock => Error::Replacing(path),
        TryLockError::Error(error) => Error::File(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_share_it_and_a_replacement_is_alone() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let database = folder.path().join("webhook_events.db");
        let one = Lock::shared(&database).expect("free");
        let two = Lock::shared(&database).expect("shared");
        let refused = Lock::exclusive(&database, Duration::from_millis(20)).expect_err("two write");
        assert!(matches!(refused, Error::Replacing(_)), "{refused}");
        drop((one, two));
        let alone = Lock::exclusive(&database, Duration::ZERO).expect("free");
        assert!(Lock::shared(&database).is_err());
        drop(alone);
        let _again = Lock::shared(&database).expect("free");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Lock::shared(Path::new("/nowhere/at/all.db")).expect_err("no folder").to_string();
        assert!(error.contains("/nowhere/at/all.db.lock") && !error.contains("replac"), "{error}");
    }
}
