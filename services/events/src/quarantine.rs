//! Setting a file aside: moved, never changed, never deleted.
//!
//! A database is up to four files, and they move together. The database goes first: from then on nobody of ours opens the
//! path, for only the holder of the lock may make a new file there. What a crash in between leaves behind goes the
//! same way the next time, so that no new database ever meets a stale -wal.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::Error;
use crate::file::{beside, folder_of, make_folder, sync};
use crate::lock::Lock;

/// What belongs to a database, in the order in which it is moved. A file of the original system has a -journal, which
/// SQLite would play into whatever stands at the path.
pub(crate) const PARTS: [&str; 4] = ["", "-wal", "-shm", "-journal"];
const FOLDER: &str = "quarantine";

/// The folder where files are set aside.
pub(crate) fn folder(database: &Path) -> PathBuf {
    database.with_file_name(FOLDER)
}

/// A place for the database in that folder, which is made if need be.
///
/// # Errors
/// When the folder cannot be made.
pub(crate) fn place(database: &Path, now: Timestamp) -> Result<PathBuf, Error> {
    let folder = folder(database);
    make_folder(&folder)?;
    Ok(free_name(&folder, database, now))
}

/// Moves the database and what belongs to it to `quarantine/<name>-<UTC time>-<n>.db` in its folder. Returns where the
/// database is now; none when there was nothing to move.
///
/// # Errors
/// When the folder cannot be made or a file cannot be moved; whatever was not moved is where it was.
pub(crate) fn set_aside(database: &Path, alone: &Lock, now: Timestamp) -> Result<Option<PathBuf>, Error> {
    set_parts_aside(&PARTS, database, alone, now)
}

/// The same for what belongs to a database that is gone.
pub(crate) fn set_leftovers_aside(
    database: &Path,
    alone: &Lock,
    now: Timestamp,
) -> Result<Option<PathBuf>, Error> {
    set_parts_aside(&PARTS[1..], database, alone, now)
}

fn set_parts_aside(
    parts: &[&str],
    database: &Path,
    alone: &Lock,
    now: Timestamp,
) -> Result<Option<PathBuf>, Error> {
    if !parts.iter().any(|part| beside(database, part).exists()) {
        return Ok(None);
    }
    let target = place(database, now)?;
    move_to(&target, parts, database, alone)?;
    Ok(Some(target))
}

/// Moves these parts of the database to `target`.
///
/// # Errors
/// When one cannot be moved; it and those after it are where they were.
pub(crate) fn move_to(target: &Path, parts: &[&str], database: &Path, _alone: &Lock) -> Result<(), Error> {
    for part in parts {
        let from = beside(database, part);
        match fs::rename(&from, beside(target, part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::Move(from, error)),
            _ => {}
        }
    }
    sync(folder_of(target))?;
    sync(folder_of(database))
}

fn free_name(folder: &Path, database: &Path, now: Timestamp) -> PathBuf {
    let stem = database.file_stem().unwrap_or_default().to_string_lossy();
    let time = now.strftime("%Y%m%dT%H%M%SZ");
    let free = |target: &PathBuf| !PARTS.iter().any(|part| beside(target, part).exists());
    (1_u32..)
        .map(|n| folder.join(format!("{stem}-{time}-{n}.db")))
        .find(free)
        .expect("a folder holds fewer files than there are numbers")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn its_files_move_together_and_nothing_is_overwritten() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let database = folder.path().join("webhook_events.db");
        let now = Timestamp::from_second(1_767_323_045).expect("a moment in range");
        let lock = Lock::exclusive(&database, Duration::ZERO).expect("free");
        assert_eq!(set_aside(&database, &lock, now).expect("nothing to do"), None);
        for round in ["1", "2"] {
            for part in PARTS {
                fs::write(beside(&database, part), format!("{round}{part}")).expect("written");
            }
            let target = set_aside(&database, &lock, now).expect("moved").expect("there was something");
            let name = format!("quarantine/webhook_events-20260102T030405Z-{round}.db");
            assert_eq!(target, folder.path().join(name));
            for part in PARTS {
                assert!(!beside(&database, part).exists());
                let content = fs::read_to_string(beside(&target, part)).expect("it was moved");
                assert_eq!(content, format!("{round}{part}"));
            }
        }
    }

    #[test]
    fn what_a_crash_left_goes_too() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let database = folder.path().join("webhook_events.db");
        fs::write(beside(&database, "-wal"), "stale").expect("written");
        let lock = Lock::exclusive(&database, Duration::ZERO).expect("free");
        let target = set_aside(&database, &lock, Timestamp::UNIX_EPOCH).expect("moved").expect("something");
        assert!(!target.exists() && beside(&target, "-wal").exists());
        assert!(!beside(&database, "-wal").exists());
    }
}
