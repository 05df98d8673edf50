//! What is the matter with the database? Each trouble with a sentence and an advice.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use rusqlite::{ErrorCode, TransactionBehavior};

use crate::connection::open_writer;
use crate::error::{Doing, Error, Trouble};
use crate::file::{beside, folder_of, make_new, remove};
use crate::integrity::{self, Damage, Finding};
use crate::lock::Lock;
use crate::schema;

/// How long to wait for a lock before it counts as locked.
const BUSY: Duration = Duration::from_secs(1);
/// As much must fit on the disk for the database to be written.
const PROBE_BYTES: usize = 256 * 1024;

/// The first trouble found, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// It can be read and written, and no page of it is destroyed.
    Healthy,
    /// There is no file, or no folder.
    Missing,
    /// This user may not read or write it, or not its folder.
    PermissionDenied,
    /// Someone else holds a lock.
    Locked,
    /// It is another kind of file.
    NotADatabase,
    /// Pages are destroyed; in SQLite's words, where.
    Malformed(String),
    /// The disk has no room.
    DiskFull,
    /// The file system cannot be written.
    ReadOnlyFileSystem,
    /// A newer version of this program made it; its schema version.
    Newer(i64),
    /// Something else; in the system's words.
    Unreadable(String),
}

impl Diagnosis {
    /// A word for programs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Missing => "missing",
            Self::PermissionDenied => "permission_denied",
            Self::Locked => "locked",
            Self::NotADatabase => "not_a_database",
            Self::Malformed(_) => "malformed",
            Self::DiskFull => "disk_full",
            Self::ReadOnlyFileSystem => "read_only_file_system",
            Self::Newer(_) => "newer",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// What is the matter.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Healthy => "the events database is whole and can be written".into(),
            Self::Missing => "there is no events database".into(),
            Self::PermissionDenied => "this user may not read or write the events database".into(),
            Self::Locked => "another process has locked the events database".into(),
            Self::NotADatabase => "the file in the place of the events database is no database".into(),
            Self::Malformed(place) => format!("pages of the events database are destroyed: {place}"),
            Self::DiskFull => "the disk of the events database is full".into(),
            Self::ReadOnlyFileSystem => "the file system of the events database cannot be written".into(),
            Self::Newer(version) => {
                format!(
                    "the events database has schema version {version}, this program knows {}",
                    crate::VERSION
                )
            }
            Self::Unreadable(why) => format!("the events database cannot be opened: {why}"),
        }
    }

    /// What to do about it; none when all is well.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Healthy => return None,
            Self::Missing => "start the webhook, which makes it, or restore a backup: events restore FILE",
            Self::PermissionDenied => {
                "run as the user of the services, or give the file to them: chown USER and chmod 640 FILE, chmod 750 its folder"
            }
            Self::Locked => {
                "wait; events meanwhile go to the spool. If it lasts, look for the process that holds it: fuser FILE"
            }
            Self::NotADatabase | Self::Malformed(_) => {
                "a running webhook replaces it by itself; without one: events repair"
            }
            Self::DiskFull => {
                "make room on the disk; events wait in memory and are written by themselves then"
            }
            Self::ReadOnlyFileSystem => {
                "look for errors of the disk in the log of the kernel, then mount it writable"
            }
            Self::Newer(_) => "use the newer program",
            Self::Unreadable(_) => "look at the disk and the folder; what the services say is in their logs",
        })
    }
}

/// Looks at the database at `path`: can it be read, is it whole, can it be written? Reads every page, for `limit` at
/// most. Changes nothing; a small file is written beside it and removed.
#[must_use]
pub fn diagnose(path: &Path, limit: Duration) -> Diagnosis {
    match look(path, limit) {
        Ok(diagnosis) => diagnosis,
        Err(error) => of_error(&error),
    }
}

fn look(path: &Path, limit: Duration) -> Result<Diagnosis, Error> {
    let failed = |error| Error::File(path.to_owned(), error);
    // What SQLite says of a file that it may not read is less.
    drop(fs::File::open(path).map_err(failed)?);
    // Without a folder that can be written SQLite cannot even read, and does not say why.
    try_folder(path)?;
    drop(fs::OpenOptions::new().write(true).open(path).map_err(failed)?);
    match integrity::check(path, limit, || false)? {
        Finding::Damaged(Damage::NotADatabase) => return Ok(Diagnosis::NotADatabase),
        Finding::Damaged(Damage::Malformed(place)) => return Ok(Diagnosis::Malformed(place)),
        Finding::Whole | Finding::Unfinished => {}
    }
    let _lock = Lock::shared(path)?;
    let mut connection = open_writer(path, BUSY)?;
    schema::version(&connection)?;
    const DOING: &str = "trying to write";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).doing(DOING)?;
    transaction.rollback().doing(DOING)?;
    Ok(Diagnosis::Healthy)
}

/// Is there room, and may this user write?
fn try_folder(path: &Path) -> Result<(), Error> {
    let probe = beside(&folder_of(path).join(".events-probe"), &std::process::id().to_string());
    remove(&probe)?;
    let mut file = make_new(&probe)?;
    let written = file.write_all(&vec![0; PROBE_BYTES]).and_then(|()| file.sync_all());
    remove(&probe)?;
    written.map_err(|error| Error::File(probe, error))
}

fn of_error(error: &Error) -> Diagnosis {
    match error {
        Error::Newer(version) => return Diagnosis::Newer(*version),
        Error::Folder(_, cause) | Error::File(_, cause) | Error::Move(_, cause) => {
            if let Some(diagnosis) = of_io(cause) {
                return diagnosis;
            }
        }
        Error::Sql(_, cause) => match cause.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => return Diagnosis::DiskFull,
            Some(ErrorCode::ReadOnly) => return Diagnosis::ReadOnlyFileSystem,
            Some(ErrorCode::PermissionDenied) => return Diagnosis::PermissionDenied,
            Some(ErrorCode::NotADatabase) => return Diagnosis::NotADatabase,
            Some(ErrorCode::DatabaseCorrupt) => return Diagnosis::Malformed(cause.to_string()),
            _ => {}
        },
        _ => {}
    }
    match error.trouble() {
        Trouble::Locked => Diagnosis::Locked,
        _ => Diagnosis::Unreadable(error.to_string()),
    }
}

fn of_io(error: &io::Error) -> Option<Diagnosis> {
    match error.kind() {
        ErrorKind::NotFound => Some(Diagnosis::Missing),
        ErrorKind::PermissionDenied => Some(Diagnosis::PermissionDenied),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(Diagnosis::DiskFull),
        ErrorKind::ReadOnlyFilesystem => Some(Diagnosis::ReadOnlyFileSystem),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_has_its_name() {
        for (code, expected) in [
            (2, Diagnosis::Missing),
            (13, Diagnosis::PermissionDenied),
            (28, Diagnosis::DiskFull),
            (30, Diagnosis::ReadOnlyFileSystem),
        ] {
            let error = Error::File("data/webhook_events.db".into(), io::Error::from_raw_os_error(code));
            assert_eq!(of_error(&error), expected, "{error}");
        }
        let other = Error::File("data/webhook_events.db".into(), io::Error::from_raw_os_error(5));
        assert!(matches!(of_error(&other), Diagnosis::Unreadable(_)));
    }

    #[test]
    fn what_sqlite_says_has_its_name() {
        use rusqlite::ffi;
        for (code, expected) in [
            (ffi::SQLITE_FULL, Diagnosis::DiskFull),
            (ffi::SQLITE_BUSY, Diagnosis::Locked),
            (ffi::SQLITE_NOTADB, Diagnosis::NotADatabase),
            (ffi::SQLITE_READONLY, Diagnosis::ReadOnlyFileSystem),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(of_error(&Error::Sql("trying to write", error)), expected);
        }
        assert_eq!(of_error(&Error::Newer(9)).name(), "newer");
    }
}
