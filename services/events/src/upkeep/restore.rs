//! Putting a backup in the place of the database.
//!
//! The backup is first copied beside the database, checked, and made ready there: what is damaged changes nothing. Then,
//! with the lock held alone, the current files are set aside and the copy takes their place. Services notice by the
//! file's inode that it is another one and go on with it; what the webhook receives meanwhile waits in its queue.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde::Serialize;

use super::Job;
use super::disk::{length, need};
use super::examine::{self, Content, make_sure};
use super::full_backup::compare_with_checksum;
use super::workplace::{Workplace, is_taken, place};
use crate::connection::open_writer;
use crate::error::Doing;
use crate::file::{FILE_MODE, beside, folder_of, give_to_owner_of, make_folder};
use crate::ids::Ids;
use crate::lock::Lock;
use crate::quarantine::{PARTS, set_aside};
use crate::queries::last_event_id;
use crate::schema::migrate_with;
use crate::{Error, Trouble};

/// Someone who does not know the lock may make a new file in between; hardly twice.
const ATTEMPTS: u32 = 3;

/// A backup that is the database now.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Restored {
    /// The database.
    pub database: PathBuf,
    /// The backup; it is where it was.
    pub backup: PathBuf,
    /// What is in it.
    #[serde(flatten)]
    pub content: Content,
    /// Where the files are that were replaced; none if there were none.
    pub set_aside: Option<PathBuf>,
    /// Events in the replaced file that came after the newest of the backup, if that can be told.
    pub newer_events_set_aside: Option<i64>,
    /// False: neither the replaced file nor the lock file could tell the highest ids, so those after the backup's may
    /// have been given before.
    pub ids_known: bool,
}

/// Puts `backup` in the place of the database.
///
/// # Errors
/// When the backup is damaged, of a newer version, or another program's, when there is no room, or when others hold
/// the database all the time. The database is then as it was.
pub fn restore(job: Job<'_>, backup: &Path) -> Result<Restored, Error> {
    refuse_itself(job.database, backup)?;
    let folder = folder_of(job.database);
    make_folder(folder)?;
    let work = Workplace::new(folder)?;
    let copy = work.file("restored.db");
    let mut staged = stage(job, backup, &copy)?;
    let content = examine::content(&staged)?;
    let newest = last_event_id(&staged)?;

    job.progress.stage("waiting for those who write");
    let alone = Lock::exclusive(job.database, job.patience)?;
    let current = Current::open(job)?;
    let remembered = Ids::remembered(&alone);
    let counted = current.ids();
    let ids = counted.unwrap_or_default().max(remembered);
    let newer_events_set_aside = current.events_after(newest);
    become_another(&mut staged, ids)?;
    close(staged, &copy)?;
    give_to_owner_of(if job.database.exists() { job.database } else { folder }, &copy)?;
    job.stop.check()?;
    let set_aside = exchange(job.database, &copy, &alone)?;
    Ok(Restored {
        database: job.database.to_owned(),
        backup: backup.to_owned(),
        content,
        set_aside,
        newer_events_set_aside,
        ids_known: counted.is_some() || remembered != Ids::default(),
    })
}

/// Restores `backup` into a temporary folder, to prove that it can be done.
///
/// # Errors
/// As [`restore`].
pub fn rehearse(job: Job<'_>, backup: &Path) -> Result<Content, Error> {
    let work = Workplace::new(&std::env::temp_dir())?;
    let copy = work.file("restored.db");
    let staged = stage(job, backup, &copy)?;
    let content = examine::content(&staged)?;
    close(staged, &copy)?;
    Ok(content)
}

/// Makes a copy of the backup that could be the database.
fn stage(job: Job<'_>, backup: &Path, copy: &Path) -> Result<Connection, Error> {
    let folder = folder_of(copy);
    need(folder, PARTS.iter().map(|part| length(&beside(backup, part))).sum())?;
    compare_with_checksum(backup)?;
    job.progress.stage("copying the backup");
    copy_file(backup, copy)?;
    // A file that was set aside may have its newest events beside it.
    for part in ["-wal", "-journal"] {
        match copy_file(&beside(backup, part), &beside(copy, part)) {
            Err(error) if !error.is_missing() => return Err(error),
            _ => {}
        }
    }
    job.progress.stage("checking the backup");
    make_ready(job, backup, copy).map_err(|error| blame(backup, error))
}

fn make_ready(job: Job<'_>, backup: &Path, copy: &Path) -> Result<Connection, Error> {
    let mut staged = open_writer(copy, Duration::ZERO)?;
    make_sure(backup, &staged, job.stop)?;
    migrate_with(&mut staged)?;
    // Other tools make backups of another journal mode, which migrating does not look at.
    staged.pragma_update(None, "journal_mode", "WAL").doing("preparing the backup")?;
    Ok(staged)
}

/// Whatever SQLite found to be no database is the backup.
fn blame(backup: &Path, error: Error) -> Error {
    match error {
        Error::Sql(_, cause) if error_is_corrupt(&cause) => {
            Error::NotWhole(backup.to_owned(), cause.to_string())
        }
        other => other,
    }
}

fn error_is_corrupt(cause: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(cause.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

fn copy_file(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |error| Error::Path("copy", from.to_owned(), error);
    let mut source = fs::File::open(from).map_err(failed)?;
    let mut target =
        OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(to).map_err(failed)?;
    io::copy(&mut source, &mut target).map(|_| ()).map_err(failed)
}

/// A new name for the content, and ids that go on where the replaced file ends.
fn become_another(staged: &mut Connection, ids: Ids) -> Result<(), Error> {
    const DOING: &str = "preparing the backup";
    let change = staged.transaction().doing(DOING)?;
    ids.raise(&change)?;
    change
        .execute(
            "INSERT OR REPLACE INTO dogwatch_meta (key, value) VALUES ('generation', lower(hex(randomblob(16))))",
            [],
        )
        .doing(DOING)?;
    change.commit().doing(DOING)
}

/// Closes the copy so that all of it is in the one file.
fn close(staged: Connection, copy: &Path) -> Result<(), Error> {
    const DOING: &str = "closing the restored database";
    staged.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").doing(DOING)?;
    staged.close().map_err(|(_, error)| error).doing(DOING)?;
    match PARTS[1..].iter().map(|part| beside(copy, part)).find(|path| length(path) > 0) {
        None => fs::set_permissions(copy, Permissions::from_mode(FILE_MODE))
            .map_err(|error| Error::Path("set the mode of", copy.to_owned(), error)),
        Some(left) => Err(Error::Path("empty", left, io::ErrorKind::DirectoryNotEmpty.into())),
    }
}

/// The database that is to be replaced. As long as this lives no one else writes it, not even a program that does not
/// know the lock.
enum Current {
    Missing,
    Unreadable,
    Held(Connection),
}

impl Current {
    fn open(job: Job<'_>) -> Result<Self, Error> {
        if !job.database.exists() {
            return Ok(Self::Missing);
        }
        match hold(job) {
            Ok(connection) => Ok(Self::Held(connection)),
            Err(error) if error.trouble() == Trouble::Locked => Err(error),
            Err(_) => Ok(Self::Unreadable),
        }
    }

    /// None: it cannot be read at all.
    fn ids(&self) -> Option<Ids> {
        match self {
            Self::Missing => Some(Ids::default()),
            Self::Unreadable => None,
            Self::Held(connection) => Some(Ids::of_damaged(connection)),
        }
    }

    fn events_after(&self, id: i64) -> Option<i64> {
        let Self::Held(connection) = self else {
            return None;
        };
        const SQL: &str = "SELECT COUNT(*) FROM webhook_events WHERE id > ?1";
        connection.query_row(SQL, [id], |row| row.get(0)).ok()
    }
}

fn hold(job: Job<'_>) -> Result<Connection, Error> {
    const DOING: &str = "holding the events database";
    let connection = open_writer(job.database, job.patience)?;
    // It is set aside as it is.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).doing(DOING)?;
    connection.execute_batch("BEGIN IMMEDIATE").doing(DOING)?;
    Ok(connection)
}

/// Sets the current files aside and puts the copy in their place. If that fails they are brought back.
fn exchange(database: &Path, copy: &Path, alone: &Lock) -> Result<Option<PathBuf>, Error> {
    let mut attempt = 1;
    let mut first = None;
    loop {
        let aside = set_aside(database, alone, Timestamp::now())?;
        if let Some(aside) = &aside {
            give_to_owner_of(folder_of(database), folder_of(aside))?;
        }
        first = first.or(aside);
        match place(copy, database) {
            Ok(()) => return Ok(first),
            Err(error) if is_taken(&error) && attempt < ATTEMPTS => attempt += 1,
            Err(error) => {
                if let Some(aside) = &first {
                    bring_back(aside, database);
                }
                return Err(error);
            }
        }
    }
}

/// What cannot be brought back either stays set aside, where the next restore or the guide finds it.
fn bring_back(aside: &Path, database: &Path) {
    if !database.exists() {
        for part in PARTS.iter().rev() {
            let _ = fs::rename(beside(aside, part), beside(database, part));
        }
    }
}

fn refuse_itself(database: &Path, backup: &Path) -> Result<(), Error> {
    let same = || Some(fs::canonicalize(database).ok()? == fs::canonicalize(backup).ok()?);
    if same() == Some(true) {
        let itself = io::Error::new(io::ErrorKind::InvalidInput, "it is the database itself");
        return Err(Error::Path("restore from", backup.to_owned(), itself));
    }
    Ok(())
}
