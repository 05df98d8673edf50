//! Making a new database: whole or not at all, and never beside what an old one left.
//!
//! It is made under another name and then put at the path, so that nobody ever opens half of one. Whoever makes one
//! holds the lock alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

use crate::connection::open_writer;
use crate::error::{Doing, Error};
use crate::file::{self, FileId, beside, folder_of};
use crate::fingerprint::Fingerprint;
use crate::ids::Ids;
use crate::lock::Lock;
use crate::quarantine::{self, PARTS};
use crate::schema;

/// What a new database knows of what was before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seed {
    pub(crate) ids: Ids,
    /// Messages that were written before, and when, in seconds since 1970.
    pub(crate) keys: Vec<(Fingerprint, i64)>,
    /// How far the spool was taken over.
    pub(crate) spool: Option<String>,
}

/// A -wal that was open, and the database that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wal {
    pub(crate) database: FileId,
    pub(crate) file: FileId,
}

impl Wal {
    /// Does it stand beside a database that is another one? As long as its own is there, it holds what was written last.
    fn is_leftover_at(self, database: &Path) -> bool {
        self.file.is_still_at(&beside(database, "-wal")) && !self.database.is_still_at(database)
    }
}

/// A new database that is not at its place yet.
#[derive(Debug)]
pub(crate) struct Built {
    path: PathBuf,
}

/// Sees to it that a database can be opened at the path: makes one if there is none, and takes away what an old one
/// left: `wal` is the one that was open last. A new one goes on from `ids`.
///
/// # Errors
/// When that is not possible, or someone else held the lock for all of `patience`.
pub(crate) fn ensure(database: &Path, wal: Option<Wal>, ids: Ids, patience: Duration) -> Result<(), Error> {
    file::make_folder(folder_of(database))?;
    let has_leftover = || wal.is_some_and(|wal| wal.is_leftover_at(database));
    if exists(database)? && !has_leftover() {
        return file::tighten(database);
    }
    let alone = Lock::exclusive(database, patience)?;
    if has_leftover() {
        quarantine::set_leftovers_aside(database, &alone, Timestamp::now())?;
    }
    // Another process may have been faster.
    if !exists(database)? {
        let seed = Seed { ids: ids.max(Ids::remembered(&alone)), ..Seed::default() };
        let built = build(database, &alone, &seed)?;
        quarantine::set_aside(database, &alone, Timestamp::now())?;
        put_in_place(&built, database, &alone)?;
    }
    Ok(())
}

/// Makes a new database that goes on from `seed`.
///
/// # Errors
/// When it cannot be made; nothing is changed then.
pub(crate) fn build(database: &Path, _alone: &Lock, seed: &Seed) -> Result<Built, Error> {
    let path = beside(database, ".new");
    // What is left of an attempt that was killed.
    for part in PARTS {
        file::remove(&beside(&path, part))?;
    }
    file::make_new(&path)?;
    let mut connection = open_writer(&path, Duration::ZERO)?;
    schema::migrate_with(&mut connection)?;
    plant(&mut connection, seed)?;
    // The last one to close brings everything into the one file.
    connection.close().map_err(|(_, error)| error).doing("closing the new events database")?;
    file::sync(&path)?;
    let example = if exists(database)? { database } else { folder_of(database) };
    file::give_to_owner_of(example, &path)?;
    Ok(Built { path })
}

/// Puts it at the path, where there is none now.
///
/// # Errors
/// When it cannot be moved.
pub(crate) fn put_in_place(built: &Built, database: &Path, _alone: &Lock) -> Result<(), Error> {
    fs::rename(&built.path, database).map_err(|error| Error::Move(built.path.clone(), error))?;
    file::sync(folder_of(database))
}

fn plant(connection: &mut Connection, seed: &Seed) -> Result<(), Error> {
    const DOING: &str = "filling the new events database";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).doing(DOING)?;
    seed.ids.raise(&transaction)?;
    for (key, at) in &seed.keys {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO dogwatch_seen (key, at) VALUES (?1, ?2)")
            .and_then(|mut statement| statement.execute((key.to_string(), at)))
            .doing(DOING)?;
    }
    if let Some(mark) = &seed.spool {
        transaction
            .execute("INSERT OR REPLACE INTO dogwatch_meta (key, value) VALUES ('spool', ?1)", [mark])
            .doing(DOING)?;
    }
    transaction.commit().doing(DOING)
}

fn exists(database: &Path) -> Result<bool, Error> {
    database.try_exists().map_err(|error| Error::File(database.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_database_never_meets_an_old_wal() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let database = folder.path().join("data/webhook_events.db");
        ensure(&database, None, Ids::default(), Duration::ZERO).expect("made");
        let aside = folder.path().join("data/quarantine");
        assert!(!aside.exists());

        fs::remove_file(&database).expect("gone");
        fs::write(beside(&database, "-wal"), "stale").expect("left");
        ensure(&database, None, Ids::default(), Duration::ZERO).expect("made");
        assert!(database.exists() && !beside(&database, "-wal").exists());
        assert_eq!(fs::read_dir(&aside).expect("set aside").count(), 1);

        // Another file at the path, beside the -wal of the one before.
        fs::write(beside(&database, "-wal"), "stale").expect("left");
        let file = FileId::of(&beside(&database, "-wal")).expect("it is there");
        let mut wal = Wal { database: FileId::of(&database).expect("it is there"), file };
        ensure(&database, Some(wal), Ids::default(), Duration::ZERO).expect("looked at");
        assert!(
            beside(&database, "-wal").exists(),
            "its database is still there: it holds what was written last"
        );
        wal.database = file;
        ensure(&database, Some(wal), Ids::default(), Duration::ZERO).expect("cleared");
        assert!(!beside(&database, "-wal").exists());
        assert_eq!(fs::read_dir(&aside).expect("set aside").count(), 2);
    }

    #[test]
    fn while_it_is_replaced_nobody_makes_another() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let database = folder.path().join("webhook_events.db");
        let alone = Lock::exclusive(&database, Duration::ZERO).expect("free");
        let refused =
            ensure(&database, None, Ids::default(), Duration::ZERO).expect_err("someone replaces it");
        assert!(matches!(refused, Error::Replacing(_)), "{refused}");
        assert!(!database.exists());
        drop(alone);
        ensure(&database, None, Ids::default(), Duration::ZERO).expect("made");
    }
}
