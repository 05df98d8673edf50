//! Copying back what can be read of a damaged file that was set aside.
//!
//! A file `<set aside>.salvage` says that there is something to do. It is written before the file is set aside and
//! removed when all is copied, so a kill at any moment costs nothing but time: what is there already is known by its
//! id, and the daily counters, which must be added once, are added in one transaction with a note of it. Who works on it
//! holds a lock on it.
//!
//! * events and conversations: with their own ids, by the tree of the table (see [`walk`]) and, where that is destroyed,
//!   page by page (see [`pages`])
//! * daily counters: those of before and those since are added up; of days whose row is destroyed they are counted anew
//! * known messages: as far as they can be read
//!
//! The damaged file is only read, through another name; its -wal is read from a copy; see [`workbench`].

mod keys;
mod metrics;
mod pages;
mod report;
mod table;
mod target;
mod wal;
mod walk;
mod workbench;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use report::{SalvageReport, TableReport};

use crate::error::Error;
use crate::file::{self, beside, folder_of};
use crate::ids::Ids;
use crate::quarantine;
use pages::Pages;
use report::newer_backup;
use table::{CONVERSATIONS, EVENTS, Source};
use target::Target;
use workbench::Workbench;

const PLAN: &str = ".salvage";
/// For how long to work before asking how to go on.
const SLICE: Duration = Duration::from_millis(10);

/// What a repair is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It looks through the file.
    Checking,
    /// It copies back.
    Copying {
        /// From this table.
        table: &'static str,
        /// So many rows of it so far.
        kept: u64,
        /// How long it has worked since it asked last.
        busy: Duration,
    },
}

/// How to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    GoOn,
    /// Not now.
    Stop,
}

/// A file that was set aside and not copied back yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Todo {
    damaged: PathBuf,
}

impl Todo {
    pub(crate) fn damaged(&self) -> &Path {
        &self.damaged
    }

    fn plan(&self) -> PathBuf {
        beside(&self.damaged, PLAN)
    }
}

/// Writes down that the file, which is about to be moved to `aside`, is to be copied back. Rows up to `ids` are its own,
/// later ones those of the new database.
pub(crate) fn plan(aside: &Path, ids: Ids) -> Result<(), Error> {
    let path = beside(aside, PLAN);
    let failed = |error| Error::File(path.clone(), error);
    let mut file = file::make_new(&path)?;
    file.write_all(ids.print().as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    file::give_to_owner_of(folder_of(&path), &path)
}

/// What is to be copied back to this database: the newest file first, for it knows what it took from the others.
pub(crate) fn todo(database: &Path) -> Vec<Todo> {
    let stem = database.file_stem().unwrap_or_default().to_string_lossy().into_owned() + "-";
    let mut found: Vec<Todo> = fs::read_dir(quarantine::folder(database))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let damaged = name.strip_suffix(PLAN).filter(|name| name.starts_with(&stem))?;
            Some(Todo { damaged: entry.path().with_file_name(damaged) })
        })
        .collect();
    found.sort_by(|one, other| other.damaged.cmp(&one.damaged));
    found
}

/// Copies back what can be read. None: there is nothing to do, or someone else does it.
///
/// # Errors
/// When the new database cannot be written; and [`Error::Stopped`]. The next attempt goes on.
pub(crate) fn run(
    database: &Path,
    todo: &Todo,
    ask: &mut dyn FnMut(Progress) -> Pace,
) -> Result<Option<SalvageReport>, Error> {
    let Some((_lock, before)) = claim(todo)? else {
        return Ok(None);
    };
    let bench = Workbench::new(&todo.damaged)?;
    let mut job = Job { target: Target::open(database)?, ask, slice: Instant::now() };
    // A file that cannot be opened at all is still a heap of pages.
    let (sql, pages) = (bench.open().ok(), bench.pages());
    let source = Source { sql: sql.as_ref(), pages: pages.as_ref() };
    let events = table::copy(&EVENTS, &source, before, &mut job)?;
    let conversations = table::copy(&CONVERSATIONS, &source, before, &mut job)?;
    let metrics = metrics::merge(source.sql, before, todo, &mut job)?;
    let keys = keys::copy(source.sql, &mut job)?;
    let newest = job.target.finish(before)?;
    drop(bench);
    file::remove(&todo.plan())?;
    let tables = vec![events, conversations, metrics, keys];
    let newer_backup = newer_backup(database, newest.as_deref());
    Ok(Some(SalvageReport { from: todo.damaged.clone(), tables, newest, newer_backup }))
}

/// The highest ids of rows on any page of a file, however damaged, as far as there is time.
pub(crate) fn highest_ids(damaged: &Path, deadline: Instant) -> Ids {
    Pages::open(damaged).map(|pages| table::highest_ids(&pages, deadline)).unwrap_or_default()
}

/// The plan, locked for as long as the file lives, and the ids up to which rows are those of before.
fn claim(todo: &Todo) -> Result<Option<(File, Ids)>, Error> {
    let path = todo.plan();
    let failed = |error| Error::File(path.clone(), error);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    if !todo.damaged.exists() {
        // A plan that was not carried out: the file is where it was, or was taken away since.
        file::remove(&path)?;
        return Ok(None);
    }
    let text = io::read_to_string(&file).map_err(failed)?;
    Ok(Some((file, Ids::parse(&text))))
}

/// What all parts of a salvage need.
struct Job<'a> {
    target: Target,
    ask: &'a mut dyn FnMut(Progress) -> Pace,
    /// When the current slice of work began.
    slice: Instant,
}

impl Job<'_> {
    /// Asks, once a slice, how to go on.
    fn pace(&mut self, table: &'static str, kept: u64) -> Result<(), Error> {
        let busy = self.slice.elapsed();
        if busy >= SLICE {
            if (self.ask)(Progress::Copying { table, kept, busy }) == Pace::Stop {
                return Err(Error::Stopped);
            }
            self.slice = Instant::now();
        }
        Ok(())
    }
}
