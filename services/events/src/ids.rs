//! The highest ids ever given, so that none is given twice, whichever file stands at the path.
//!
//! A database counts them itself, in `sqlite_sequence`. What it counted is also kept in the lock file: that one stays
//! where it is when the database is damaged beyond reading, deleted, or replaced by an older one. Watchers rely on it:
//! their cursor is an id.

use std::fmt::Write as _;
use std::os::unix::fs::FileExt;

use rusqlite::Connection;

use crate::error::{Doing, Error};
use crate::lock::Lock;

/// The tables that number their rows.
pub(crate) const TABLES: [&str; 3] = ["webhook_events", "webhook_metrics", "conversations"];

/// Numbers beyond this are no ids of ours but damage, and JavaScript could not read them.
const MAX: i64 = 1 << 50;
/// As much of the lock file as is read.
const BYTES: usize = 256;

/// One id for each of [`TABLES`]; 0: none was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids([i64; TABLES.len()]);

impl Ids {
    /// What the database counted.
    pub(crate) fn of(connection: &Connection) -> Result<Self, Error> {
        const DOING: &str = "reading the highest ids";
        let mut ids = Self::default();
        let mut statement =
            connection.prepare_cached("SELECT name, seq FROM sqlite_sequence").doing(DOING)?;
        let mut rows = statement.query([]).doing(DOING)?;
        while let Some(row) = rows.next().doing(DOING)? {
            let (name, id): (String, i64) = (row.get(0).doing(DOING)?, row.get(1).doing(DOING)?);
            ids.put(&name, id);
        }
        Ok(ids)
    }

    /// All that a damaged database still tells of them.
    pub(crate) fn of_damaged(connection: &Connection) -> Self {
        let mut ids = Self::of(connection).unwrap_or_default();
        for table in TABLES {
            let sql = format!("SELECT MAX(id) FROM {table} NOT INDEXED");
            if let Ok(Some(id)) = connection.query_row(&sql, [], |row| row.get::<_, Option<i64>>(0)) {
                ids.put(table, id);
            }
        }
        ids
    }

    /// What is kept in the lock file.
    pub(crate) fn remembered(lock: &Lock) -> Self {
        let mut bytes = [0; BYTES];
        let length = lock.file().read_at(&mut bytes, 0).unwrap_or(0);
        Self::parse(&String::from_utf8_lossy(&bytes[..length]))
    }

    /// Keeps them in the lock file. Failing costs nothing as long as the database can be read.
    pub(crate) fn remember(self, lock: &Lock) {
        let _ = lock.file().write_all_at(self.print().as_bytes(), 0);
    }

    /// Makes the database go on from here, where it is not further already.
    pub(crate) fn raise(self, connection: &Connection) -> Result<(), Error> {
        const DOING: &str = "going on from the highest ids";
        for (table, id) in TABLES.iter().zip(self.0).filter(|(_, id)| *id > 0) {
            let raised = connection
                .execute("UPDATE sqlite_sequence SET seq = MAX(seq, ?2) WHERE name = ?1", (table, id))
                .doing(DOING)?;
            if raised == 0 {
                connection
                    .execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", (table, id))
                    .doing(DOING)?;
            }
        }
        Ok(())
    }

    /// The higher one of each.
    pub(crate) fn max(mut self, other: Self) -> Self {
        for (one, other) in self.0.iter_mut().zip(other.0) {
            *one = other.max(*one);
        }
        self
    }

    /// Of one table.
    pub(crate) fn get(&self, table: &str) -> i64 {
        TABLES.iter().position(|name| *name == table).map_or(0, |index| self.0[index])
    }

    /// An id of this table was given, if it can be one.
    pub(crate) fn put(&mut self, table: &str, id: i64) {
        if let Some(index) = TABLES.iter().position(|name| *name == table)
            && (0..=MAX).contains(&id)
        {
            self.0[index] = self.0[index].max(id);
        }
    }

    /// A line for each table. Numbers of one width, so that a new text covers the old one whole.
    pub(crate) fn print(self) -> String {
        TABLES.iter().zip(self.0).fold(String::new(), |mut text, (table, id)| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{table} {id:016}");
            text
        })
    }

    /// What [`print`](Self::print) made; anything else counts as nothing.
    pub(crate) fn parse(text: &str) -> Self {
        let mut ids = Self::default();
        for (table, id) in text.lines().filter_map(|line| line.split_once(' ')) {
            ids.put(table, id.parse().unwrap_or(0));
        }
        ids
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_printed_is_understood(ids in prop::array::uniform3(0..=MAX)) {
            prop_assert_eq!(Ids::parse(&Ids(ids).print()), Ids(ids));
            prop_assert!(Ids(ids).print().len() <= BYTES);
        }

        #[test]
        fn anything_else_is_no_number_of_ours(text in ".*") {
            let ids = Ids::parse(&format!("webhook_events {text}\n{text} 7"));
            prop_assert!(ids.0.iter().all(|id| (0..=MAX).contains(id)));
        }
    }

    #[test]
    fn the_lock_file_keeps_them() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let database = folder.path().join("webhook_events.db");
        let lock = Lock::exclusive(&database, Duration::ZERO).expect("free");
        assert_eq!(Ids::remembered(&lock), Ids::default());
        Ids([70_000, 2, 3]).remember(&lock);
        Ids([70_001, 2, 3]).remember(&lock);
        drop(lock);
        let lock = Lock::shared(&database).expect("free");
        assert_eq!(Ids::remembered(&lock), Ids([70_001, 2, 3]));
    }

    #[test]
    fn a_database_goes_on_and_never_back() {
        let database = Connection::open_in_memory().expect("a database");
        for table in TABLES {
            let sql = format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY AUTOINCREMENT, x)");
            database.execute_batch(&sql).expect("a table");
        }
        database.execute_batch("INSERT INTO conversations (id) VALUES (50)").expect("a row");
        Ids([7, 0, 9]).raise(&database).expect("raised");
        assert_eq!(Ids::of(&database).expect("read"), Ids([7, 0, 50]));
        database.execute_batch("INSERT INTO webhook_events (x) VALUES (1)").expect("a row");
        assert_eq!(database.last_insert_rowid(), 8);
        assert_eq!(Ids::of_damaged(&database), Ids([8, 0, 50]));
    }
}
