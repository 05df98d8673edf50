//! A copy of the database as it was at one moment, made while others write it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::backup::StepResult;
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use super::Job;
use super::backup_name::{all, dated, stem};
use super::disk::{length, need, wal_length};
use super::examine::{self, Content, make_sure};
use super::workplace::{Workplace, is_taken, place};
use crate::Error;
use crate::connection::open_reader;
use crate::error::Doing;
use crate::file::{give_to_owner_of, make_private_folder};

/// Backups are for their owner alone: they leave the folder that the services guard.
const MODE: u32 = 0o600;
/// Pages between two looks around: 1 MiB.
const PAGES: i32 = 256;
/// A backup of the same second has the name that the new one wants.
const NEXT_SECOND: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 5;

/// A backup that was made.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Backup {
    /// The database.
    pub database: PathBuf,
    /// The backup.
    pub backup: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// What is in it.
    #[serde(flatten)]
    pub content: Content,
    /// Older backups that were removed.
    pub removed: Vec<PathBuf>,
}

/// Backs the database up into `folder`, then removes all but the newest `keep` backups of it (0 = none is removed).
///
/// # Errors
/// When the database cannot be read or is damaged, or the copy cannot be written; then there is no new file and none
/// is removed.
pub fn back_up(job: Job<'_>, folder: &Path, keep: usize) -> Result<Backup, Error> {
    prepare(job, folder)?;
    let work = Workplace::new(folder)?;
    let copy = work.file("copy.db");
    let content = copy_checked(job, &copy)?;
    let backup = place_dated(job, &copy, folder)?;
    let bytes = length(&backup);
    Ok(Backup {
        database: job.database.to_owned(),
        backup,
        bytes,
        content,
        removed: remove_old(job, folder, keep)?,
    })
}

/// Makes the folder, and sure of the room in it.
pub(super) fn prepare(job: Job<'_>, folder: &Path) -> Result<(), Error> {
    let about = fs::metadata(job.database).map_err(|error| Error::File(job.database.to_owned(), error))?;
    if make_private_folder(folder)? {
        give_to_owner_of(job.database, folder)?;
    }
    need(folder, about.len() + wal_length(job.database))
}

/// Copies the database to `target`, which must not exist, and checks the copy.
pub(super) fn copy_checked(job: Job<'_>, target: &Path) -> Result<Content, Error> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(target)
        .map_err(|error| Error::Path("make the file", target.to_owned(), error))?;
    job.progress.stage("copying");
    copy(job, target)?;
    give_to_owner_of(job.database, target)?;
    job.progress.stage("checking the copy");
    let copy = open_unchanging(target)?;
    // Whatever is wrong with the copy was wrong with the database: it is the same, page by page.
    make_sure(job.database, &copy, job.stop)?;
    examine::content(&copy)
}

/// Page by page, all of one moment: an open read transaction holds that moment fast, so that the copy never starts
/// again, and in WAL mode it makes no writer wait.
fn copy(job: Job<'_>, target: &Path) -> Result<(), Error> {
    const DOING: &str = "copying the events database";
    let source = open_reader(job.database, job.patience)?;
    let moment = source.unchecked_transaction().doing(DOING)?;
    moment.query_row("SELECT COUNT(*) FROM sqlite_master", [], |_| Ok(())).doing(DOING)?;
    let mut copy = Connection::open_with_flags(target, OpenFlags::SQLITE_OPEN_READ_WRITE).doing(DOING)?;
    // Nobody uses the copy before it is whole, so it needs no journal.
    copy.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;").doing(DOING)?;
    let backup = rusqlite::backup::Backup::new(&moment, &mut copy).doing(DOING)?;
    loop {
        job.stop.check()?;
        let step = backup.step(PAGES).doing(DOING)?;
        let progress = backup.progress();
        let number = |pages: std::ffi::c_int| u64::try_from(pages).unwrap_or(0);
        let all = number(progress.pagecount);
        job.progress.at(all - number(progress.remaining).min(all), all);
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // The read transaction is there and nobody else knows the copy, so there is nothing to wait for.
            _ => return Err(Error::Path("copy", job.database.to_owned(), io::ErrorKind::WouldBlock.into())),
        }
    }
}

/// Opens a file that nobody changes; nothing is made beside it.
pub(super) fn open_unchanging(path: &Path) -> Result<Connection, Error> {
    const DOING: &str = "opening the copy";
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte))
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags).doing(DOING)?;
    connection.execute_batch("PRAGMA query_only=ON; PRAGMA trusted_schema=OFF;").doing(DOING)?;
    Ok(connection)
}

fn place_dated(job: Job<'_>, copy: &Path, folder: &Path) -> Result<PathBuf, Error> {
    let mut attempt = 1;
    loop {
        let name = dated(&stem(job.database), Timestamp::now());
        let target = folder.join(format!("{name}.db"));
        match place(copy, &target) {
            Ok(()) => return Ok(target),
            Err(error) if is_taken(&error) && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
        if job.stop.wait(NEXT_SECOND) {
            return Err(Error::Stopped);
        }
    }
}

fn remove_old(job: Job<'_>, folder: &Path, keep: usize) -> Result<Vec<PathBuf>, Error> {
    if keep == 0 {
        return Ok(Vec::new());
    }
    let mut removed = Vec::new();
    for (_, path) in all(folder, job.database)?.into_iter().skip(keep) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Path("remove the old backup", path, error));
            }
            _ => removed.push(path),
        }
    }
    Ok(removed)
}
