//! The monthly work: delete what is too old, give its room back, measure the indexes anew.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::Serialize;

use super::disk::{free_bytes, length, wal_length};
use super::editor::Editor;
use super::examine::{Depth, symptoms};
use super::{Job, Retention, prune};
use crate::Error;
use crate::error::Doing;
use crate::file::folder_of;

/// What was done.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Optimized {
    /// The database.
    pub database: PathBuf,
    /// What was deleted.
    pub retention: Retention,
    /// Was the file written anew?
    pub vacuum: Vacuum,
    /// Is all of the -wal in the file? A reader that does not end prevents it.
    pub checkpointed: bool,
    /// Sizes at the beginning.
    pub before: Sizes,
    /// Sizes at the end.
    pub after: Sizes,
}

/// Whether the file was written anew.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Vacuum {
    /// It was.
    Done,
    /// The disk has too little room.
    Skipped {
        /// Bytes that are needed for it: twice the file.
        needed_bytes: u64,
        /// Bytes that there are.
        free_bytes: u64,
    },
}

/// Bytes on the disk.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
pub struct Sizes {
    /// Of the file.
    pub bytes: u64,
    /// Of its -wal.
    pub wal_bytes: u64,
}

impl Sizes {
    fn of(database: &Path) -> Self {
        Self { bytes: length(database), wal_bytes: wal_length(database) }
    }
}

/// Deletes what is older than `days` (0 = never), checks the file, writes it anew, measures the indexes, and brings
/// the -wal into the file. Where there is no room to write it anew, the rest is done.
///
/// # Errors
/// When the file is damaged or cannot be changed, or the end was asked for; each step is done whole or not at all.
pub fn optimize(job: Job<'_>, days: u32) -> Result<Optimized, Error> {
    let before = Sizes::of(job.database);
    let retention = prune(job, days)?;
    let mut editor = Editor::new(job);
    job.progress.stage("checking every page");
    editor.change(|connection| make_sure(job, connection))?;
    let needed_bytes = 2 * length(job.database);
    let free_bytes = free_bytes(folder_of(job.database))?;
    let vacuum = if free_bytes < needed_bytes {
        Vacuum::Skipped { needed_bytes, free_bytes }
    } else {
        job.progress.stage("writing the file anew");
        editor.change(|connection| write_anew(job, connection))?;
        Vacuum::Done
    };
    job.progress.stage("measuring the indexes");
    editor.change(|connection| connection.execute_batch("ANALYZE").doing("measuring the indexes"))?;
    let checkpointed = editor.change(|connection| checkpoint(connection))?;
    Ok(Optimized {
        database: job.database.to_owned(),
        retention,
        vacuum,
        checkpointed,
        before,
        after: Sizes::of(job.database),
    })
}

fn make_sure(job: Job<'_>, connection: &Connection) -> Result<(), Error> {
    let symptoms = symptoms(connection, Depth::Quick, job.stop)?;
    if symptoms.is_empty() {
        return Ok(());
    }
    Err(Error::NotWhole(job.database.to_owned(), symptoms.join("; ")))
}

fn write_anew(job: Job<'_>, connection: &Connection) -> Result<(), Error> {
    const DOING: &str = "writing the file anew";
    // The second copy goes to the disk whose room was looked at, not into memory and not to /var/tmp. It has no name
    // there.
    connection.pragma_update(None, "temp_store", "FILE").doing(DOING)?;
    connection
        .pragma_update(None, "temp_store_directory", folder_of(job.database).to_string_lossy().as_ref())
        .doing(DOING)?;
    job.stop.watch(connection, |connection| connection.execute_batch("VACUUM").doing(DOING))
}

/// Tells whether all of the -wal is in the file.
fn checkpoint(connection: &Connection) -> Result<bool, Error> {
    let busy: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .doing("bringing the -wal into the file")?;
    Ok(busy == 0)
}
