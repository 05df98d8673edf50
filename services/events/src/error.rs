//! What can go wrong with the file, and what it means for those who ask.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

/// A failed operation on the events database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder could not be made.
    #[error("cannot make the folder {0} of the events database: {1}")]
    Folder(PathBuf, #[source] io::Error),
    /// The file could not be made, opened or looked at.
    #[error("cannot open the events database {0}: {1}")]
    File(PathBuf, #[source] io::Error),
    /// A file could not be moved to the quarantine.
    #[error("cannot set {0} aside: {1}")]
    Move(PathBuf, #[source] io::Error),
    /// Someone is about to put another file in its place, or this process cannot because others write.
    #[error(
        "another process holds {0}: the events database is being written or replaced; try again in a moment"
    )]
    Replacing(PathBuf),
    /// The file was made by a newer version of this program.
    #[error("the events database has schema version {0}, this program knows {known}: use the newer program", known = crate::VERSION)]
    Newer(i64),
    /// Something else about a file or folder did not work: what was being done, to what, why.
    #[error("cannot {0} {1}: {2}")]
    Path(&'static str, PathBuf, #[source] io::Error),
    /// The file is damaged, or is another program's.
    #[error("{0} is not a whole events database: {1}")]
    NotWhole(PathBuf, String),
    /// The disk has too little room; in bytes.
    #[error("the disk of {folder} has too little room: {needed} bytes needed, {free} free")]
    NoRoom {
        /// Where the room is needed.
        folder: PathBuf,
        /// How much.
        needed: u64,
        /// How much there is.
        free: u64,
    },
    /// The person at the keyboard, or the supervisor, asked for the end.
    #[error("stopped before the end")]
    Stopped,
    /// SQLite refused.
    #[error("{0}: {1}")]
    Sql(&'static str, #[source] rusqlite::Error),
}

/// What a failure means, in words that name no path and no query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Someone else holds the lock.
    Locked,
    /// The file is damaged or is something else.
    Corrupt,
    /// The query was stopped because it took too long.
    TooSlow,
    /// The file cannot be reached.
    Unavailable,
}

impl Trouble {
    /// A sentence that may be shown to anyone.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Locked => "the events database is locked by another process",
            Self::Corrupt => "the events database is damaged",
            Self::TooSlow => "the query took too long and was stopped",
            Self::Unavailable => "the events database cannot be read",
        }
    }
}

impl Error {
    /// What this failure means.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Replacing(_) => return Trouble::Locked,
            Self::NotWhole(..) => return Trouble::Corrupt,
            _ => {}
        }
        match self.code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Locked,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Corrupt,
            Some(ErrorCode::OperationInterrupted) => Trouble::TooSlow,
            _ => Trouble::Unavailable,
        }
    }

    /// Is there nothing at the path?
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File(_, error) | Self::Path(_, _, error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Is the disk full, or too full for what was asked?
    #[must_use]
    pub fn is_no_room(&self) -> bool {
        match self {
            Self::NoRoom { .. } => true,
            Self::Folder(_, error)
            | Self::File(_, error)
            | Self::Move(_, error)
            | Self::Path(_, _, error) => {
                matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            other => other.code() == Some(ErrorCode::DiskFull),
        }
    }

    /// Is one row to blame, so that trying it again later cannot help?
    pub(crate) fn is_fault_of_a_row(&self) -> bool {
        matches!(
            self.code(),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
        )
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sql(_, rusqlite::Error::SqliteFailure(failure, _)) => Some(failure.code),
            _ => None,
        }
    }
}

/// Adds to a failure of SQLite what was being done.
pub(crate) trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, Error>;
}

impl<T> Doing<T> for Result<T, rusqlite::Error> {
    fn doing(self, what: &'static str) -> Result<T, Error> {
        self.map_err(|error| Error::Sql(what, error))
    }
}
