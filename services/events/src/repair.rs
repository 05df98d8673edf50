//! The answer to damage: the file is set aside, unchanged, and a new one goes on where it ended.
//!
//! 1. The lock alone: nobody writes, and nobody makes another file.
//! 2. Another look: a note may be old, and someone else may have been faster.
//! 3. A new database is built beside it, which knows the highest ids and the messages written lately.
//! 4. A plan of what is to be salvaged, then the move of the old one, then the new one to its place: two renames.
//!
//! A crash between any two steps leaves either the damaged file where it was, or a plan and no file; a new one is made
//! then by whoever needs it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use crate::connection::open_reader;
use crate::create::{self, Seed};
use crate::error::{Doing, Error};
use crate::file::{folder_of, give_to_owner_of};
use crate::fingerprint::Fingerprint;
use crate::ids::Ids;
use crate::integrity::{self, Damage, Finding};
use crate::lock::Lock;
use crate::quarantine::{self, PARTS};
use crate::salvage::{self, Pace, Progress, SalvageReport};
use crate::{seen, suspect};

/// How long the writer looks through a file before it goes on with what it knows.
const LOOK: Duration = Duration::from_secs(8);
/// How long a person waits for it.
const LONG_LOOK: Duration = Duration::from_secs(600);
/// How long to wait for those who write.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to read from the damaged file before there is a new one.
const RECALL: Duration = Duration::from_secs(2);
const STEPS: i32 = 5_000;

/// Why a file is thought to be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// A reader left a note.
    Told,
    /// SQLite called it damaged when it was to be written.
    Met,
    /// It did so again, after the file had been looked through.
    Sure,
}

/// What became of a file that was looked through.
#[derive(Debug)]
#[must_use]
pub(crate) enum Examined {
    /// It stays.
    Whole,
    Replaced(Replaced),
}

#[derive(Debug)]
pub(crate) struct Replaced {
    pub(crate) damage: Damage,
    /// Where the damaged file is now.
    pub(crate) aside: PathBuf,
}

/// How to repair.
#[derive(Clone, Copy, Debug)]
pub struct RepairOptions {
    /// Copy back what can be read of the damaged file. It is set aside in any case.
    pub salvage: bool,
}

/// What a repair did.
#[derive(Clone, Debug)]
pub struct RepairReport {
    /// What was wrong; none: the file is whole and nothing was done to it.
    pub damage: Option<Damage>,
    /// Where the damaged file is now, unchanged.
    pub set_aside: Option<PathBuf>,
    /// What was copied back: one for each file set aside, the newest first. More than one when an earlier salvage had
    /// been interrupted.
    pub salvaged: Vec<SalvageReport>,
}

/// Replaces the database at `path` if it is damaged, and copies back what can be read. Services that use it may go on:
/// they notice. `progress` is called from time to time; who answers [`Pace::Stop`] is told [`Error::Stopped`], and the
/// next repair goes on.
///
/// # Errors
/// When there is no file, it cannot be read or moved, someone else holds the lock for ten seconds, or there is no room
/// for a new one. Nothing is changed then.
pub fn repair(
    path: &Path,
    options: RepairOptions,
    progress: &mut dyn FnMut(Progress) -> Pace,
) -> Result<RepairReport, Error> {
    if !path.try_exists().map_err(|error| Error::File(path.to_owned(), error))? {
        return Err(Error::File(path.to_owned(), io::ErrorKind::NotFound.into()));
    }
    if progress(Progress::Checking) == Pace::Stop {
        return Err(Error::Stopped);
    }
    let alone = Lock::exclusive(path, PATIENCE)?;
    let look = Look { time: LONG_LOOK, salvage: options.salvage };
    let examined = look.examine(path, &alone, Doubt::Told, Seed::default(), || false)?;
    drop(alone);
    let mut report = RepairReport { damage: None, set_aside: None, salvaged: Vec::new() };
    if let Examined::Replaced(replaced) = examined {
        report.damage = Some(replaced.damage);
        report.set_aside = Some(replaced.aside);
    }
    if options.salvage {
        for todo in salvage::todo(path) {
            report.salvaged.extend(salvage::run(path, &todo, progress)?);
        }
    }
    Ok(report)
}

/// Looks through the file, and replaces it if it is damaged. `memory` is what the caller knows of it.
///
/// # Errors
/// When the file cannot be read or moved, or the new one cannot be made.
pub(crate) fn examine(
    database: &Path,
    alone: &Lock,
    doubt: Doubt,
    memory: Seed,
    stop: impl Fn() -> bool + Send + 'static,
) -> Result<Examined, Error> {
    Look { time: LOOK, salvage: true }.examine(database, alone, doubt, memory, stop)
}

struct Look {
    time: Duration,
    salvage: bool,
}

impl Look {
    fn examine(
        &self,
        database: &Path,
        alone: &Lock,
        doubt: Doubt,
        memory: Seed,
        stop: impl Fn() -> bool + Send + 'static,
    ) -> Result<Examined, Error> {
        if !database.exists() {
            suspect::clear(database);
            return Ok(Examined::Whole);
        }
        let damage = match (integrity::check(database, self.time, stop)?, doubt) {
            (Finding::Damaged(damage), _) => damage,
            (_, Doubt::Sure) => Damage::Malformed("it is met at every attempt to write".to_owned()),
            (Finding::Whole | Finding::Unfinished, Doubt::Told | Doubt::Met) => {
                suspect::clear(database);
                return Ok(Examined::Whole);
            }
        };
        let aside = self.replace(database, alone, memory)?;
        Ok(Examined::Replaced(Replaced { damage, aside }))
    }

    fn replace(&self, database: &Path, alone: &Lock, memory: Seed) -> Result<PathBuf, Error> {
        let seed = recall(database, alone, memory);
        let built = create::build(database, alone, &seed)?;
        let aside = quarantine::place(database, Timestamp::now())?;
        give_to_owner_of(folder_of(database), folder_of(&aside))?;
        if self.salvage {
            salvage::plan(&aside, seed.ids)?;
        }
        quarantine::move_to(&aside, &PARTS, database, alone)?;
        create::put_in_place(&built, database, alone)?;
        seed.ids.remember(alone);
        suspect::clear(database);
        Ok(aside)
    }
}

/// Adds to the memory what the lock file and the damaged file still tell.
fn recall(database: &Path, lock: &Lock, mut memory: Seed) -> Seed {
    let deadline = Instant::now() + RECALL;
    memory.ids = memory.ids.max(Ids::remembered(lock));
    // What fails stays as it is: the salvage brings what it can.
    let _ = recall_by_sql(database, deadline, &mut memory);
    if memory.ids.get("webhook_events") == 0 {
        memory.ids = memory.ids.max(salvage::highest_ids(database, deadline));
    }
    memory
}

fn recall_by_sql(database: &Path, deadline: Instant, memory: &mut Seed) -> Result<(), Error> {
    const DOING: &str = "reading the damaged events database";
    let damaged = open_reader(database, Duration::ZERO)?;
    damaged.progress_handler(STEPS, Some(move || Instant::now() >= deadline)).doing(DOING)?;
    memory.ids = memory.ids.max(Ids::of_damaged(&damaged));
    if memory.spool.is_none() {
        let mark = damaged
            .query_row("SELECT value FROM dogwatch_meta WHERE key = 'spool'", [], |row| row.get(0))
            .optional();
        memory.spool = mark.unwrap_or_default();
    }
    recall_keys(&damaged, &mut memory.keys).doing(DOING)
}

fn recall_keys(damaged: &Connection, keys: &mut Vec<(Fingerprint, i64)>) -> rusqlite::Result<()> {
    let oldest = Timestamp::now().as_second() - i64::from(seen::AGE);
    let mut statement = damaged.prepare("SELECT key, at FROM dogwatch_seen WHERE at >= ?1")?;
    let mut rows = statement.query([oldest])?;
    while let Some(row) = rows.next()? {
        keys.push((Fingerprint::of_stored(row.get_ref(0)?.as_str()?), row.get(1)?));
    }
    Ok(())
}
